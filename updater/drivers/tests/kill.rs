//! SIGKILL at random moments of one update after the other: the device goes on from its state folder, answers from
//! an image that was signed, and its telemetry arrives whole and once.
#![allow(clippy::unwrap_used)]

mod device;
#[path = "../../agent/tests/fleet/mod.rs"]
mod fleet;
mod server;

use device::{Device, options_for};
use fleet::digest;
use sanderling_drivers::{OsEntropy, inspect};
use sanderling_trust::Mode;
use server::Server;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const STATE: &str = "SANDERLING_TEST_STATE";
const ENROLMENT: &str = "SANDERLING_TEST_ENROLMENT";
const KILLS: u64 = 12;

/// An agent in a process of its own: this test program, at the ignored test below.
fn agent(folder: &Path, server: &Server) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "killed_child"])
        .env(STATE, folder)
        .env(ENROLMENT, server.enrolment().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
#[ignore = "the process that killed_at_random_moments kills"]
fn killed_child() {
    let (Ok(state), Ok(enrolment)) = (std::env::var(STATE), std::env::var(ENROLMENT)) else {
        return;
    };
    let mut options = options_for(&PathBuf::from(state), enrolment.parse().unwrap());
    // Each kill is a start without many good answers in between; a crash loop is another test.
    options.trial.max_boots = 200;
    let device = Device::start(options);
    // Longer than the test; the parent kills this process.
    std::thread::sleep(Duration::from_secs(60));
    device.stop();
}

#[test]
fn killed_at_random_moments() {
    use sanderling_agent::Entropy;
    let server = Server::start();
    (1..=4).for_each(|n| server.fleet().release(n, 1));
    server.fleet().next_check_in_s = 1;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut entropy = OsEntropy::new().unwrap();
    let mut moments = Vec::new();
    for round in 0..KILLS {
        // Versions 1 to 3 in turn; version 4 fails its self-test.
        let version = (round / 3 % 3) as u8 + 1;
        server.fleet().want(version, round / 3 + 1, Mode::Activate);
        let mut child = agent(&state, &server);
        let moment = entropy.number() % 500;
        moments.push(moment);
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        // Where the journal is there already, it can be read, and what it says serves is one of ours.
        if let Ok(view) = inspect(&state)
            && let Some(at) = view.serving
        {
            assert!(
                (1..=3).any(|n| at.image.digest == digest(n)),
                "killed after {moments:?} ms"
            );
        }
    }
    server.fleet().want(2, 1_000, Mode::Activate);
    let mut child = agent(&state, &server);
    let end = Instant::now() + Duration::from_secs(20);
    let stands = || {
        inspect(&state).is_ok_and(|view| {
            view.serving.is_some_and(|at| at.image.digest == digest(2)) && view.trial.is_none()
        })
    };
    while !stands() {
        assert!(
            Instant::now() < end,
            "version 2 does not stand; killed after {moments:?} ms"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    // The last records go out with the next check-ins.
    std::thread::sleep(Duration::from_millis(1_500));
    child.kill().unwrap();
    child.wait().unwrap();
    let fleet = server.fleet();
    println!("{} records after {KILLS} kills", fleet.seen.records.len());
    fleet.check_telemetry();
    let lives: std::collections::BTreeSet<u64> = fleet
        .seen
        .records
        .keys()
        .map(|(incarnation, _)| *incarnation)
        .collect();
    assert_eq!(lives.len(), 1, "the outbox never began anew");
}
