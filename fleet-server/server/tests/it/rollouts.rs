//! Rollouts through the API: evidence moves them, evidence stops them, operators command them.

use crate::fixture::{Device, Fleet};
use crate::page::Browser;
use sanderling_server::api::{LedgerView, check_head, check_ledger};
use sanderling_store::{Change, SqliteOptions, SqliteStore, Store as _};
use sanderling_trust::{DirectorTargets, Mode};
use sanderling_wire::{Arm, Digest, EventKind, Phase, RolloutId};
use serde_json::{Value, json};

/// A fleet of devices that answer from v1, and v2 published.
fn fleet(count: u8) -> (Fleet, Vec<Device>, Digest, Digest) {
    let fleet = Fleet::new();
    let (v1, v2) = (fleet.publish("v1", &["champion"]), fleet.publish("v2", &[]));
    let devices = (1..=count).map(|seed| fleet.enrol_with(seed, v1)).collect();
    (fleet, devices, v1, v2)
}

fn policy() -> Value {
    json!({ "stages": ["1", "100%"], "dwell_s": 5, "min_inputs": 40, "min_inputs_per_class": 1, "control": 250_000 })
}

fn start(fleet: &Fleet) -> Value {
    fleet.post(
        "/v1/rollouts",
        json!({ "target": "magika@v2", "policy": policy() }),
    )
}

/// Everybody checks in and runs what it is told.
pub(crate) fn round(fleet: &Fleet, devices: &mut [Device]) -> Vec<DirectorTargets> {
    fleet.advance(1);
    let tell = |device: &mut Device| {
        let (_, document) = device.check_in(fleet);
        device.obey(&document);
        document
    };
    devices.iter_mut().map(tell).collect()
}

fn assigned(document: &DirectorTargets) -> Option<Arm> {
    document.rollout.as_ref().map(|rollout| rollout.arm)
}

#[test]
fn a_good_version_goes_from_one_device_to_all() {
    let (fleet, mut devices, v1, v2) = fleet(4);
    let made = start(&fleet);
    assert_eq!(
        (&made["status"], &made["target_label"]),
        (&json!("running"), &json!("v2"))
    );
    fleet.wait_event(1, "assign");
    let told = round(&fleet, &mut devices);
    let canaries: Vec<_> = told
        .iter()
        .map(|document| assigned(document) == Some(Arm::Target))
        .collect();
    assert_eq!(canaries.iter().filter(|canary| **canary).count(), 1);
    let canary = canaries.iter().position(|canary| *canary).unwrap();
    let target = told[canary].target.clone().unwrap();
    assert_eq!(
        (target.sha256, target.name.as_str(), target.release_counter),
        (v2, "magika-v2.sdl", 1)
    );
    // Evidence: the canary answers the same inputs by both versions.
    devices[canary].paired(
        &fleet,
        1,
        v2,
        v1,
        &(0..200).map(|unit| (unit, true)).collect::<Vec<_>>(),
    );
    let mut unit = 1000;
    for _ in 0..40 {
        round(&fleet, &mut devices);
        for device in &mut devices {
            device.paired(
                &fleet,
                1,
                v2,
                v1,
                &(unit..unit + 40).map(|unit| (unit, true)).collect::<Vec<_>>(),
            );
            unit += 40;
        }
        if fleet.get("/v1/rollouts/1")["status"] == "completed" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let done = fleet.get("/v1/rollouts/1");
    assert_eq!(done["status"], "completed", "{done}");
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v2));
    assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], "v2");
    // One manual rollback sends everybody home, in a hurry, and the title with them.
    let back = fleet.post("/v1/rollouts/1/rollback", json!({ "why": "drill" }));
    assert_eq!(back["status"], "rolled back");
    let told = round(&fleet, &mut devices);
    assert!(
        told.iter()
            .all(|document| document.rollout.as_ref().unwrap().mode == Mode::Restore)
    );
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
    assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], "v1");
}

#[test]
fn disagreement_stops_and_rolls_back() {
    let (fleet, mut devices, v1, v2) = fleet(4);
    start(&fleet);
    fleet.wait_event(1, "assign");
    let told = round(&fleet, &mut devices);
    let canary = told
        .iter()
        .position(|document| assigned(document) == Some(Arm::Target))
        .unwrap();
    let outcomes: Vec<_> = (0..50).map(|unit| (unit, unit % 5 == 0)).collect();
    devices[canary].paired(&fleet, 1, v2, v1, &outcomes);
    round(&fleet, &mut devices);
    let entry = fleet.wait_event(1, "rollback");
    let sentences = entry["body"]["sentences"].to_string();
    assert!(sentences.contains("40 of 50"), "{sentences}");
    let view = fleet.get("/v1/rollouts/1");
    assert_eq!(view["status"], "rolled back");
    assert!(view["reason"].as_str().unwrap().contains("40 of 50"), "{view}");
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
    // What the stage showed stays, though nobody has the version any more.
    let view = fleet.get("/v1/rollouts/1");
    let shown = view["inference"].as_str().unwrap();
    assert!(
        shown.ends_with("1 device had v2 and was sent back; until then 40 of 50 answers differed from v1"),
        "{shown}"
    );
    let page = Browser::login(&fleet).get("/rollouts/1").text();
    for (words, there) in [
        (shown, true),
        ("1 device had the new version and was sent back.", true),
        ("going on asks for", false),
        ("rules out nothing", false),
    ] {
        assert_eq!(page.contains(words), there, "{words}: {page}");
    }
}

#[test]
fn one_failed_self_test_stops_hard() {
    let (mut fleet, mut devices, v1, v2) = fleet(3);
    start(&fleet);
    fleet.wait_event(1, "assign");
    fleet.restart();
    fleet.advance(1);
    let told: Vec<_> = devices
        .iter_mut()
        .map(|device| device.check_in(&fleet).1)
        .collect();
    let canary = told
        .iter()
        .position(|document| assigned(document) == Some(Arm::Target))
        .unwrap();
    devices[canary].phase = Phase::SelfTest;
    devices[canary].event(&fleet, EventKind::SelfTestFailed, v2, 1);
    devices[canary].check_in(&fleet);
    fleet.wait_event(1, "rollback");
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
}

#[test]
fn operators_pause_resume_and_abort() {
    let (fleet, _devices, ..) = fleet(3);
    start(&fleet);
    let command = |word: &str| {
        fleet.call(
            "POST",
            &format!("/v1/rollouts/1/{word}"),
            json!({ "why": "a test" }),
        )
    };
    assert_eq!(command("pause").json()["status"], "paused");
    assert_eq!(command("pause").status, 409);
    assert_eq!(command("resume").json()["status"], "running");
    let second = fleet.call("POST", "/v1/rollouts", json!({ "target": "magika@v2" }));
    assert_eq!(
        (second.status, second.json()["type"].as_str()),
        (409, Some("rollout-live"))
    );
    assert_eq!(command("abort").json()["status"], "stopped");
    assert_eq!(command("dance").status, 404);
    assert_eq!(fleet.call("POST", "/v1/rollouts/7/pause", json!({})).status, 404);
    start(&fleet);
    assert_eq!(fleet.get("/v1/rollouts").as_array().unwrap().len(), 2);
}

#[test]
fn nonsense_is_refused_with_a_reason() {
    let (fleet, ..) = fleet(1);
    let refused = |body: Value| {
        let answer = fleet.call("POST", "/v1/rollouts", body);
        (
            answer.status,
            answer.json()["detail"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(refused(json!({ "target": "magika@v9" })).0, 404);
    let (status, detail) = refused(json!({ "target": "magika@v2", "policy": { "stages": ["100%", "1"] } }));
    assert!(status == 422 && detail.contains("100"), "{status} {detail}");
    let (status, detail) = refused(json!({ "target": "magika@v2", "policy": { "stages": ["one"] } }));
    assert!(status == 400 && detail.contains("one"), "{status} {detail}");
    let (status, detail) = refused(json!({ "target": "magika@v1" }));
    assert!(
        status == 422 && detail.contains("same bundle"),
        "{status} {detail}"
    );
    fleet.call("DELETE", "/v1/models/magika/aliases/champion", Value::Null);
    let (status, detail) = refused(json!({ "target": "magika@v2" }));
    assert!(status == 422 && detail.contains("champion"), "{status} {detail}");
}

#[test]
fn a_frozen_fleet_does_not_move() {
    let (fleet, mut devices, ..) = fleet(2);
    fleet.post("/v1/freeze", json!({ "why": "holidays" }));
    start(&fleet);
    fleet.wait_event(1, "hold");
    let told = round(&fleet, &mut devices);
    assert!(
        told.iter()
            .all(|document| assigned(document) != Some(Arm::Target))
    );
    fleet.post("/v1/unfreeze", json!({}));
    fleet.wait_event(1, "assign");
}

#[test]
fn what_evidence_stops_while_frozen_is_rolled_back_at_the_thaw() {
    let (mut fleet, mut devices, v1, v2) = fleet(4);
    start(&fleet);
    fleet.wait_event(1, "assign");
    let told = round(&fleet, &mut devices);
    let canary = told
        .iter()
        .position(|document| assigned(document) == Some(Arm::Target))
        .unwrap();
    fleet.post("/v1/freeze", json!({ "why": "holidays" }));
    devices[canary].event(&fleet, EventKind::SelfTestFailed, v2, 1);
    round(&fleet, &mut devices);
    fleet.wait_event(1, "stop");
    assert_eq!(fleet.get("/v1/rollouts/1")["status"], "stopped");
    // It is not forgotten: neither by a second rollout nor by a server that starts anew.
    let second = fleet.call("POST", "/v1/rollouts", json!({ "target": "magika@v2" }));
    assert_eq!(second.json()["type"], "rollout-live");
    fleet.restart();
    fleet.post("/v1/unfreeze", json!({}));
    fleet.wait_event(1, "rollback");
    assert_eq!(fleet.get("/v1/rollouts/1")["status"], "rolled back");
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
    // What is over stays so, and keeps nobody from the next.
    assert_eq!(start(&fleet)["id"], 2);
}

#[test]
fn a_clock_that_is_set_back_keeps_no_rollout_from_being_looked_at_and_ended() {
    let (fleet, mut devices, _, v2) = fleet(4);
    start(&fleet);
    fleet.wait_event(1, "assign");
    round(&fleet, &mut devices);
    let health = |fleet: &Fleet| fleet.get("/v1/rollouts/1")["assessment"]["health"].to_string();
    let before = health(&fleet);
    fleet.advance(1000);
    devices[0].event(&fleet, EventKind::FellBack, v2, 1);
    devices[0].check_in(&fleet);
    fleet.clock.fetch_sub(900, std::sync::atomic::Ordering::Relaxed);
    devices[1].event(&fleet, EventKind::FellBack, v2, 1);
    devices[1].check_in(&fleet);
    let view = fleet.get("/v1/rollouts/1");
    assert!(!view["holding"].to_string().contains("planned"), "{view}");
    assert_ne!(health(&fleet), before, "the evidence counts");
    assert_eq!(fleet.get("/v1/rollouts").as_array().unwrap().len(), 1);
    let paused = fleet.post("/v1/rollouts/1/pause", json!({}));
    assert_eq!(paused["status"], "paused");
    let back = fleet.post("/v1/rollouts/1/rollback", json!({}));
    assert_eq!(back["status"], "rolled back");
}

#[test]
fn a_rollout_that_cannot_be_planned_keeps_no_other() {
    let (mut fleet, _devices, ..) = fleet(2);
    start(&fleet);
    fleet.wait_event(1, "assign");
    fleet.server.take().unwrap().stop().unwrap();
    let damage = Change::SetRollout {
        id: RolloutId(1),
        status: "running".into(),
        state: "{}".into(),
    };
    let file = fleet.folder.path().join("data/fleet.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(SqliteOptions::new(&file)).await.unwrap();
        store.commit(vec![damage]).await.unwrap();
        store.close().await.unwrap();
    });
    fleet.start(|_| {});
    let image = fleet.publish_model("ocr", "v1", &["champion"]);
    fleet.publish_model("ocr", "v2", &[]);
    let _device = fleet.enrol_with(9, image);
    fleet.post("/v1/rollouts", json!({ "target": "ocr@v2", "policy": policy() }));
    fleet.wait_event(2, "assign");
    // Nor does it hide one: it is in the list, with what is wrong.
    let list = fleet.get("/v1/rollouts");
    assert_eq!((&list[0]["id"], &list[0]["model"]), (&json!(2), &json!("ocr")));
    let holding = list[1]["holding"].to_string();
    assert!(holding.contains("cannot be read"), "{list}");
    let page = Browser::login(&fleet).get("/").text();
    assert!(page.contains("cannot be read"), "{page}");
    let metrics = fleet.keyed("GET", "/metrics", b"", &[]).text();
    assert!(
        !metrics.contains("sanderling_planning_failures_total 0"),
        "{metrics}"
    );
}

#[test]
fn the_ledger_is_whole_and_heads_are_signed() {
    let (fleet, mut devices, ..) = fleet(2);
    start(&fleet);
    fleet.wait_event(1, "assign");
    let told = round(&fleet, &mut devices);
    let entries = fleet.get("/v1/ledger?rollout=1");
    let entries = entries["entries"].as_array().unwrap();
    let head = &told[0].rollout.as_ref().unwrap().ledger_head;
    assert!(entries.iter().any(|entry| entry["hash"] == json!(head)));
    for pair in entries.windows(2) {
        assert_eq!(pair[1]["rollout_previous"], pair[0]["hash"]);
    }
    let all = fleet.get("/v1/ledger");
    for pair in all["entries"].as_array().unwrap().windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["hash"]);
    }
    let mut all: Vec<LedgerView> = serde_json::from_value(all["entries"].clone()).unwrap();
    check_ledger(&all).unwrap();
    check_head(&all, all[0].hash).unwrap();
    let (last, unknown) = (all.last().unwrap().hash, Digest([1; 32]));
    let refused = check_head(&all, unknown).unwrap_err().to_string();
    assert!(
        refused.contains(&unknown.to_string()) && refused.contains(&last.to_string()),
        "{refused}"
    );
    // What was cut off at the end is not seen without a head that was noted.
    all.pop();
    check_ledger(&all).unwrap();
    assert!(check_head(&all, last).is_err());
    all[0].kind = "forged".into();
    assert!(check_ledger(&all).is_err());
}
