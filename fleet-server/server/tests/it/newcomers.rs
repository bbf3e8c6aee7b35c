//! Devices that come after a rollout get the champion it left, and go back with it.

use crate::fixture::{Device, Fleet};
use crate::page::Browser;
use crate::rollouts::round;
use sanderling_store::{Alias, Change, SqliteOptions, SqliteStore, Store as _, Version};
use sanderling_trust::{DirectorTargets, Mode};
use sanderling_wire::Digest;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// The ledger's entries of a kind, once there are so many.
fn entries(fleet: &Fleet, kind: &str, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let page = fleet.get("/v1/ledger?limit=1000");
        let found = page["entries"].as_array().unwrap().iter();
        let found: Vec<Value> = found.filter(|entry| entry["kind"] == kind).cloned().collect();
        if found.len() >= count {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {count} {kind}: {page}",
            found.len()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How often the server has searched for newcomers.
fn searches(fleet: &Fleet) -> u64 {
    let metrics = fleet.keyed("GET", "/metrics", b"", &[]).text();
    let name = "sanderling_newcomer_searches_total ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

/// What a device is told once a search has begun and ended after its check-in: the first may have been under way before.
fn idle(fleet: &Fleet, device: &mut Device) -> DirectorTargets {
    device.check_in(fleet);
    let (before, deadline) = (searches(fleet), Instant::now() + Duration::from_secs(60));
    while searches(fleet) < before + 2 {
        assert!(Instant::now() < deadline, "nobody searches for newcomers");
        std::thread::sleep(Duration::from_millis(20));
        fleet.advance(1);
        device.check_in(fleet);
    }
    fleet.advance(1);
    device.check_in(fleet).1
}

fn told(document: &DirectorTargets) -> Option<Digest> {
    document.target.as_ref().map(|target| target.sha256)
}

/// A fleet of two on v1, moved to v2 by a rollout that has completed.
fn completed() -> (Fleet, Vec<Device>, Digest, Digest) {
    let fleet = Fleet::new();
    let (v1, v2) = (fleet.publish("v1", &["champion"]), fleet.publish("v2", &[]));
    let mut devices = vec![fleet.enrol_with(1, v1), fleet.enrol_with(2, v1)];
    complete(&fleet, &mut devices, "v2", v2, v1);
    (fleet, devices, v1, v2)
}

/// Rolls a version out to all devices, by the next rollout.
fn complete(fleet: &Fleet, devices: &mut [Device], label: &str, new: Digest, old: Digest) {
    let policy = json!({ "stages": ["100%"], "dwell_s": 1, "min_inputs": 40, "min_inputs_per_class": 1, "control": 0 });
    let target = format!("magika@{label}");
    let made = fleet.post("/v1/rollouts", json!({ "target": target, "policy": policy }));
    let rollout = made["id"].as_u64().unwrap();
    let path = format!("/v1/rollouts/{rollout}");
    fleet.wait_event(rollout, "assign");
    let mut unit = 0;
    for _ in 0..40 {
        round(fleet, devices);
        for device in &mut *devices {
            let outcomes: Vec<_> = (unit..unit + 100).map(|unit| (unit, true)).collect();
            device.paired(fleet, rollout, new, old, &outcomes);
            unit += 100;
        }
        if fleet.get(&path)["status"] == "completed" {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{}", fleet.get(&path));
}

#[test]
fn an_old_rollout_takes_nothing_from_a_newer_one() {
    let (fleet, mut devices, v1, v2) = completed();
    let v3 = fleet.publish("v3", &[]);
    complete(&fleet, &mut devices, "v3", v3, v2);
    // The first rollout has nobody left: it is refused, and says where to go.
    let refused = fleet.call("POST", "/v1/rollouts/1/rollback", json!({}));
    let problem = refused.json();
    assert_eq!((refused.status, &problem["type"]), (409, &json!("superseded")));
    assert!(problem["detail"].to_string().contains("rollout 2"), "{problem}");
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v3));
    assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], "v3");
    // Undone in order, both go back.
    fleet.post("/v1/rollouts/2/rollback", json!({}));
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v2));
    fleet.post("/v1/rollouts/1/rollback", json!({}));
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
    assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], "v1");
}

#[test]
fn an_old_rollout_takes_nothing_from_a_newer_one_to_the_same_version() {
    let (fleet, mut devices, v1, v2) = completed();
    let v3 = fleet.publish("v3", &[]);
    complete(&fleet, &mut devices, "v3", v3, v2);
    complete(&fleet, &mut devices, "v2", v2, v3);
    let mut late = fleet.enrol_with(7, v1);
    entries(&fleet, "newcomers.assigned", 1);
    let refused = fleet.call("POST", "/v1/rollouts/1/rollback", json!({}));
    let problem = refused.json();
    assert_eq!(
        (refused.status, &problem["type"]),
        (409, &json!("superseded")),
        "{problem}"
    );
    assert!(problem["detail"].to_string().contains("rollout 3"), "{problem}");
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v2));
    fleet.advance(1);
    assert_eq!(told(&late.check_in(&fleet).1), Some(v2));
    assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], "v2");
    // Undone in order, each gives back what it took.
    for (rollout, image, label) in [(3, v3, "v3"), (2, v2, "v2"), (1, v1, "v1")] {
        fleet.post(&format!("/v1/rollouts/{rollout}/rollback"), json!({}));
        round(&fleet, &mut devices);
        assert!(
            devices
                .iter()
                .all(|device| device.active.unwrap().digest == image)
        );
        assert_eq!(fleet.get("/v1/versions/magika:champion")["version"], label);
    }
}

/// Devices that a newer rollout left in its control arm, or sent back, are still the older one's.
#[test]
fn what_a_newer_rollout_did_not_keep_is_still_the_older_ones() {
    let (fleet, mut devices, v1, _) = completed();
    fleet.publish("v3", &[]);
    let made = fleet.post("/v1/rollouts", json!({ "target": "magika@v3" }));
    assert_eq!(made["id"], 2);
    fleet.wait_event(2, "assign");
    fleet.post("/v1/rollouts/2/abort", json!({}));
    fleet.post("/v1/rollouts/2/rollback", json!({}));
    fleet.post("/v1/rollouts/1/rollback", json!({}));
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
}

#[test]
fn a_newcomer_gets_the_champion_of_a_completed_rollout_once() {
    let (fleet, _devices, v1, v2) = completed();
    let mut late = fleet.enrol_with(7, v1);
    let [entry] = &entries(&fleet, "newcomers.assigned", 1)[..] else {
        panic!()
    };
    assert_eq!(entry["rollout"], Value::Null);
    assert_eq!(entry["body"]["devices"], json!([late.id]));
    let sentence = "1 device that no rollout reached gets magika v2, the champion";
    assert_eq!(entry["body"]["sentences"], json!([sentence]));
    fleet.advance(1);
    let (_, document) = late.check_in(&fleet);
    assert_eq!((told(&document), &document.rollout), (Some(v2), &None));
    late.obey(&document);
    let browser = Browser::login(&fleet);
    assert!(browser.get("/").text().contains(sentence));
    let page = browser.get(&format!("/devices/{}", late.id)).text();
    assert!(page.contains("magika v2, as its model's champion"), "{page}");
    // The title moved by hand moves nobody who was told, nor is anybody told twice.
    let alias = "/v1/models/magika/aliases/champion";
    let moved = fleet.call("PUT", alias, json!({ "version": "magika@v1" }));
    assert_eq!(moved.status, 200, "{}", moved.text());
    assert_eq!(told(&idle(&fleet, &mut late)), Some(v2));
    assert_eq!(entries(&fleet, "newcomers.assigned", 1).len(), 1);
}

#[test]
fn a_rollback_calls_newcomers_back_with_the_others() {
    let (fleet, mut devices, v1, v2) = completed();
    let mut late = fleet.enrol_with(7, v1);
    entries(&fleet, "newcomers.assigned", 1);
    devices.push(fleet.enrol_with(8, v2));
    fleet.advance(1);
    let (_, document) = late.check_in(&fleet);
    late.obey(&document);
    fleet.post("/v1/rollouts/1/rollback", json!({ "why": "drill" }));
    let recalled = entries(&fleet, "newcomers.recalled", 1);
    assert_eq!(recalled[0]["body"]["devices"], json!([late.id]));
    fleet.advance(1);
    let (_, document) = late.check_in(&fleet);
    let place = document.rollout.as_ref().unwrap();
    assert_eq!(
        (told(&document), place.rollout.0, place.mode),
        (Some(v1), 1, Mode::Restore)
    );
    // Who came with v2 was never told to run it: the title is v1's again, and so it is told now.
    let welcome = entries(&fleet, "newcomers.assigned", 2);
    assert_eq!(welcome[1]["body"]["devices"], json!([devices[2].id]));
    round(&fleet, &mut devices);
    assert!(devices.iter().all(|device| device.active.unwrap().digest == v1));
}

#[test]
fn a_frozen_fleet_welcomes_nobody() {
    let (fleet, _devices, v1, v2) = completed();
    fleet.post("/v1/freeze", json!({ "why": "holidays" }));
    let mut late = fleet.enrol_with(7, v1);
    assert_eq!(told(&idle(&fleet, &mut late)), None);
    fleet.post("/v1/unfreeze", json!({}));
    entries(&fleet, "newcomers.assigned", 1);
    fleet.advance(1);
    assert_eq!(told(&late.check_in(&fleet).1), Some(v2));
    // One device that its operator keeps.
    let mut kept = fleet.enrol(8);
    kept.check_in(&fleet);
    fleet.post(&format!("/v1/devices/{}/freeze", kept.id), json!({}));
    kept.active = late.active;
    assert_eq!(told(&idle(&fleet, &mut kept)), None);
}

#[test]
fn a_title_given_by_hand_moves_nobody_past_the_gates() {
    let fleet = Fleet::new();
    let v1 = fleet.publish("v1", &[]);
    fleet.publish("v2", &["champion"]);
    let mut device = fleet.enrol_with(1, v1);
    assert_eq!(told(&idle(&fleet, &mut device)), None);
}

/// A device that is told nothing says why, wherever it is shown.
#[test]
fn who_is_left_out_is_shown_with_the_reason() {
    let (fleet, _devices, v1, _) = completed();
    let mut late = fleet.enrol(7);
    late.runtime.operators = vec![":Relu".into()];
    late.active = Some(sanderling_wire::ActiveImage {
        digest: v1,
        rollout: None,
        confirmed: true,
    });
    assert_eq!(told(&idle(&fleet, &mut late)), None);
    let path = format!("/v1/devices/{}", late.id);
    let why = "the runtime lacks the operator :Conv";
    let shown = fleet.get(&path)["left_out"].as_str().unwrap().to_owned();
    assert_eq!(shown, format!("it does not get magika v2, the champion: {why}"));
    let page = || {
        Browser::login(&fleet)
            .get(&format!("/devices/{}", late.id))
            .text()
    };
    assert!(page().contains(&shown), "{}", page());
    // A rollout that is under way leaves it out for the same reason.
    fleet.publish("v3", &[]);
    fleet.post("/v1/rollouts", json!({ "target": "magika@v3" }));
    fleet.wait_event(2, "exclude");
    let shown = fleet.get(&path)["left_out"].as_str().unwrap().to_owned();
    assert_eq!(shown, format!("it is left out of rollout 2: {why}"));
    assert!(page().contains(&shown), "{}", page());
    fleet.post(&format!("{path}/decommission"), json!({}));
    assert_eq!(fleet.get(&path)["left_out"], Value::Null);
}

#[test]
fn a_rollout_that_is_aborted_proves_nothing() {
    let fleet = Fleet::new();
    let v1 = fleet.publish("v1", &[]);
    let v2 = fleet.publish("v2", &["champion"]);
    fleet.publish("v3", &[]);
    fleet.post("/v1/rollouts", json!({ "target": "magika@v3" }));
    fleet.post("/v1/rollouts/1/abort", json!({}));
    let mut device = fleet.enrol_with(1, v1);
    assert_eq!(told(&idle(&fleet, &mut device)), None);
    // The first champion is one once a rollout from it is over.
    fleet.post("/v1/rollouts/1/rollback", json!({}));
    assert_eq!(told(&idle(&fleet, &mut device)), Some(v2));
}

#[test]
fn a_champion_that_cannot_be_read_keeps_no_other_models_newcomers() {
    let (mut fleet, _devices, v1, v2) = completed();
    fleet.server.take().unwrap().stop().unwrap();
    let digest = Digest([9; 32]);
    let damaged = Version {
        digest,
        name: "aardvark".into(),
        version: "1".into(),
        length: 1,
        parent: None,
        metadata: "no JSON".into(),
        published_at: 0,
        published_by: "ann".into(),
    };
    let title = Alias {
        name: "aardvark".into(),
        alias: "champion".into(),
        digest,
        since: 0,
    };
    let file = fleet.folder.path().join("data/fleet.db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = SqliteStore::open(SqliteOptions::new(&file)).await.unwrap();
        let changes = vec![Change::AddVersion(damaged), Change::SetAlias(title)];
        store.commit(changes).await.unwrap();
        store.close().await.unwrap();
    });
    fleet.start(|_| {});
    let mut late = fleet.enrol_with(7, v1);
    assert_eq!(told(&idle(&fleet, &mut late)), Some(v2));
}
