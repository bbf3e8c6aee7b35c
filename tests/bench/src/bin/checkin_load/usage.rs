//! Processor time and memory of a process, from `/proc` (Linux).

use anyhow::Context;
use std::time::Duration;

/// What a process has used so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// Processor time, user and system, of all threads.
    pub(crate) cpu: Duration,
    /// Resident memory, bytes.
    pub(crate) rss: u64,
}

/// Ticks of `/proc/PID/stat` a second: USER_HZ, which Linux fixes at 100 for user space.
const TICKS: f64 = 100.0;

/// Of another process.
pub(crate) fn of(pid: u32) -> anyhow::Result<Usage> {
    read(&pid.to_string())
}

/// Of this one.
pub(crate) fn own() -> anyhow::Result<Usage> {
    read("self")
}

fn read(process: &str) -> anyhow::Result<Usage> {
    let file = |name: &str| {
        let path = format!("/proc/{process}/{name}");
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
    };
    let (stat, status) = (file("stat")?, file("status")?);
    // The command's name, in brackets, may hold blanks; fields count from behind it (proc_pid_stat(5): utime is 14).
    let after = stat.rsplit_once(')').context("/proc stat has no command")?.1;
    let fields: Vec<&str> = after.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok());
    let cpu = ticks(14).zip(ticks(15)).context("/proc stat has no times")?;
    let rss = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .strip_suffix(" kB")?
            .parse::<u64>()
            .ok()
    });
    Ok(Usage {
        cpu: Duration::from_secs_f64((cpu.0 + cpu.1) as f64 / TICKS),
        rss: rss.context("/proc status has no VmRSS")? * 1024,
    })
}
