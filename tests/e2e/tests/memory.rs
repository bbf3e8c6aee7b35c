//! What an agent holds in memory at rest: after an update and its trial, when two models lay beside each other.
#![allow(missing_docs)]

use sanderling_e2e::fleet::{Fleet, PATIENCE, Versions};
use sanderling_e2e::wait_for;
use std::time::Duration;

/// Most bytes of an agent at rest, program text included.
const LIMIT: u64 = 30_000_000;

#[test]
fn an_agent_at_rest() {
    let versions = Versions::pack();
    let fleet = Fleet::start(&versions, 1);
    let mut device = fleet.device("a", &versions.old);
    device.start(50);
    device.wait_for_answers();
    // Before the trial, on it, and when it has ended.
    let first = device.resident();
    let rollout = fleet.roll_out("100%");
    let mut most = 0;
    wait_for("the new version, confirmed", PATIENCE, || {
        most = most.max(device.resident());
        let state = device.inspect()?;
        let serves = state.pointer("/serving/image/digest")? == versions.new.digest.as_str();
        (serves && state["trial"].is_null()).then_some(())
    });
    fleet.wait_completed(&rollout);
    device.wait_for_answers();
    std::thread::sleep(Duration::from_secs(2));
    let rest = device.resident();
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "agent: {:.1} MB after its start, {:.1} MB on trial, {:.1} MB at rest after an update",
        megabytes(first),
        megabytes(most),
        megabytes(rest)
    );
    assert!(
        rest < LIMIT,
        "an agent at rest holds {rest} bytes, more than {LIMIT}"
    );
}
