//! A word to systemd, where it started this: one datagram (sd_notify(3)).

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// How often a device looks after itself where no watchdog asks.
const UNWATCHED: Duration = Duration::from_secs(60);

/// Whoever supervises this process, if anybody.
pub(crate) struct Supervisor {
    address: Option<SocketAddr>,
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// By `NOTIFY_SOCKET` and `WATCHDOG_USEC`.
    pub(crate) fn of_environment() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let watchdog = std::env::var("WATCHDOG_USEC").ok();
        Self {
            address: socket.and_then(|name| match name.as_bytes() {
                [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest).ok(),
                _ => SocketAddr::from_pathname(&name).ok(),
            }),
            watchdog: watchdog.and_then(|text| Some(Duration::from_micros(text.parse().ok()?))),
        }
    }

    /// Time between two words to the watchdog: three in its time.
    pub(crate) fn every(&self) -> Duration {
        self.watchdog
            .map_or(UNWATCHED, |time| (time / 3).max(Duration::from_millis(10)))
    }

    /// Says something.
    pub(crate) fn tell(&self, word: &str) {
        let Some(address) = &self.address else { return };
        let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to_addr(word.as_bytes(), address));
        if let Err(error) = sent {
            tracing::warn!(%error, word, "systemd could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_arrives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let heard = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor {
            address: Some(SocketAddr::from_pathname(&path).unwrap()),
            watchdog: Some(Duration::from_secs(3)),
        };
        assert_eq!(supervisor.every(), Duration::from_secs(1));
        supervisor.tell("READY=1");
        let mut word = [0; 16];
        let length = heard.recv(&mut word).unwrap();
        assert_eq!(&word[..length], b"READY=1");
    }
}
