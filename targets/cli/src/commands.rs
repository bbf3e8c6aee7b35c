//! One file a command. Each takes its arguments apart, calls a library and prints.

pub(crate) mod agent;
pub(crate) mod bench;
pub(crate) mod completions;
mod compute;
pub(crate) mod demo;
pub(crate) mod device;
pub(crate) mod files;
pub(crate) mod hash;
pub(crate) mod inspect;
pub(crate) mod keys;
pub(crate) mod model;
pub(crate) mod operator;
pub(crate) mod pack;
pub(crate) mod rollout;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod server;
pub(crate) mod sign;
pub(crate) mod verify;

use sanderling_trust::UnixTime;
use std::time::{SystemTime, UNIX_EPOCH};

/// Waits for Ctrl-C or SIGTERM, so that what runs can end in good order.
pub(crate) fn until_stopped() -> anyhow::Result<()> {
    let (stop, stopped) = std::sync::mpsc::channel();
    // Nobody listens to a second signal: the first is being obeyed.
    on_stop(move || stop.send(()).unwrap_or(()))?;
    Ok(stopped.recv()?)
}

/// Most threads of a model: more than any machine of ours has processors, fewer than it has stacks for.
const MAX_THREADS: usize = 256;

/// A number of threads on the command line.
pub(crate) fn threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if (1..=MAX_THREADS).contains(&threads) => Ok(threads),
        _ => Err(format!("give 1 to {MAX_THREADS}")),
    }
}

/// Days until something signed expires, on the command line.
pub(crate) fn days(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("what expires at once is refused by every device: give 1 day or more".to_owned()),
        Ok(days) => Ok(days),
        Err(_) => Err("give a number of days, 1 or more".to_owned()),
    }
}

/// Calls `stop` at Ctrl-C or SIGTERM.
pub(crate) fn on_stop(stop: impl FnMut() + Send + 'static) -> anyhow::Result<()> {
    Ok(ctrlc::set_handler(stop)?)
}

/// The system's clock, once: libraries take time as an argument.
pub(crate) fn now() -> anyhow::Result<UnixTime> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Ok(UnixTime(
        since
            .map_err(|_| anyhow::anyhow!("this machine's clock stands before 1970: set it"))?
            .as_secs(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_signed_to_expire_at_once() {
        assert_eq!(days("90"), Ok(90));
        assert!(days("0").unwrap_err().contains("refused by every device"));
        assert!(days("-1").unwrap_err().contains("1 or more"));
    }
}
