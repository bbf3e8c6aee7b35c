use super::*;
use crate::ledger::NewEntry;
use sanderling_wire::{
    ActiveImage, Arm, CheckIn, Event, EventKind, HardwareId, PairedOutcome, Phase, RecordBody, RuntimeInfo,
    ServingWindow, Sketch, StateReport,
};
use sqlx::Connection;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

const NOW: u64 = 1_900_000_000;

async fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(SqliteOptions::new(&path.join("fleet.db")))
        .await
        .unwrap()
}

async fn fresh() -> (TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    (folder, store)
}

fn key(n: u8) -> [u8; 32] {
    [n; 32]
}

fn id(n: u8) -> DeviceId {
    DeviceId::of_public_key(&key(n))
}

fn image(n: u8) -> Digest {
    Digest([n; 32])
}

fn runtime() -> RuntimeInfo {
    let operators = vec![":Conv".into(), ":Gemm".into()];
    RuntimeInfo {
        version: (0, 1, 0),
        numerics: 1,
        bundle_format: 1,
        operators,
        memory_limit: 0,
    }
}

fn token(n: u8) -> NewToken {
    NewToken {
        hash: Digest([n; 32]),
        label: format!("token {n}"),
        created_at: NOW,
        expires_at: NOW + 60,
    }
}

fn enrolment(n: u8, key_of: u8) -> Enrolment {
    let hardware = HardwareId::new("pi4").unwrap();
    Enrolment {
        token: Digest([n; 32]),
        public_key: key(key_of),
        hardware,
        runtime: runtime(),
        now: NOW + 1,
    }
}

async fn enrolled(store: &SqliteStore, n: u8) -> DeviceId {
    store.commit(vec![Change::AddToken(token(n))]).await.unwrap();
    store.enrol(enrolment(n, n)).await.unwrap().device
}

#[tokio::test]
async fn a_device_is_called_what_its_newest_enrolment_says() {
    let (_folder, store) = fresh().await;
    let device = enrolled(&store, 1).await;
    let label = async || store.device(device).await.unwrap().unwrap().device.label;
    assert_eq!(label().await, "token 1");
    let unnamed = NewToken {
        label: String::new(),
        ..token(2)
    };
    store
        .commit(vec![Change::AddToken(unnamed), Change::AddToken(token(3))])
        .await
        .unwrap();
    store.enrol(enrolment(2, 1)).await.unwrap();
    assert_eq!(label().await, "token 1");
    store.enrol(enrolment(3, 1)).await.unwrap();
    assert_eq!(label().await, "token 3");
}

fn serving(sequence: u64, answers: u64) -> Record {
    let window = ServingWindow {
        image: image(1),
        seconds: 10,
        answers,
        errors: 1,
        rejected_inputs: 0,
        flagged_inputs: 0,
        cascaded: 2,
        degraded: 0,
        latency_us: Sketch::new(),
        confidence: [0; 10],
        classes: Vec::new(),
    };
    Record {
        sequence,
        time: NOW,
        body: RecordBody::Serving(window),
    }
}

fn event(sequence: u64, kind: EventKind, rollout: u64) -> Record {
    let event = Event {
        kind,
        image: Some(image(2)),
        rollout: Some(RolloutId(rollout)),
        detail: "so".into(),
    };
    Record {
        sequence,
        time: NOW,
        body: RecordBody::Event(event),
    }
}

fn paired(sequence: u64, outcomes: &[(u64, bool)]) -> Record {
    let outcomes = outcomes
        .iter()
        .map(|&(unit, agree)| PairedOutcome { unit, agree })
        .collect();
    let body = RecordBody::Paired {
        rollout: RolloutId(1),
        new: image(2),
        old: image(1),
        outcomes,
    };
    Record {
        sequence,
        time: NOW,
        body,
    }
}

fn check_in(n: u8, now: u64, reported: u64, records: Vec<Record>) -> CheckInWrite {
    let active = ActiveImage {
        digest: image(1),
        rollout: None,
        confirmed: true,
    };
    let state = StateReport {
        phase: Phase::Idle,
        active: Some(active),
        standby: None,
        director_version: reported,
        image_root_version: 1,
        director_root_version: 1,
        release_floor: 0,
        runtime: runtime(),
        dropped_records: 0,
    };
    CheckInWrite {
        device: id(n),
        now,
        signed_at: now,
        check_in: CheckIn {
            incarnation: u64::MAX - 3,
            state,
            records,
        },
        failed_metrics: Vec::new(),
        mint: MintPolicy {
            epoch: Digest([9; 32]),
            refresh_after_s: 1000,
            held: None,
        },
    }
}

fn rollout_row(n: u64) -> RolloutRow {
    RolloutRow {
        id: RolloutId(n),
        status: "running".into(),
        target: image(2),
        base: image(1),
        created_at: NOW,
        created_by: "ann".into(),
        state: "{}".into(),
    }
}

fn place(n: u8, target_at: Option<u64>) -> AssignmentRow {
    AssignmentRow {
        device: id(n),
        hardware: HardwareId::new("pi4").unwrap(),
        stage: 0,
        enrolled_at: NOW,
        target_at,
        silent_at: None,
        reverted_at: None,
    }
}

fn entry(rollout: Option<u64>, kind: &str) -> Change {
    let rollout = rollout.map(RolloutId);
    Change::Ledger(NewEntry {
        rollout,
        at: NOW,
        kind: kind.into(),
        body: "{}".into(),
    })
}

#[tokio::test]
async fn a_token_is_redeemed_once_by_one_key() {
    let (_folder, store) = fresh().await;
    store
        .commit(vec![Change::AddToken(token(1)), Change::AddToken(token(2))])
        .await
        .unwrap();
    assert_eq!(
        store.enrol(enrolment(1, 1)).await.unwrap(),
        Enrolled {
            device: id(1),
            new: true
        }
    );
    // A lost reply is repeated, even long after; another key is refused.
    let late = Enrolment {
        now: NOW + 9999,
        ..enrolment(1, 1)
    };
    assert_eq!(
        store.enrol(late).await.unwrap(),
        Enrolled {
            device: id(1),
            new: false
        }
    );
    assert!(matches!(
        store.enrol(enrolment(1, 7)).await,
        Err(StoreError::TokenUsed)
    ));
    assert!(matches!(
        store.enrol(enrolment(5, 5)).await,
        Err(StoreError::TokenInvalid)
    ));
    let late = Enrolment {
        now: NOW + 61,
        ..enrolment(2, 2)
    };
    assert!(matches!(store.enrol(late).await, Err(StoreError::TokenInvalid)));
    assert_eq!(
        store
            .tokens(10)
            .await
            .unwrap()
            .iter()
            .filter(|t| t.used_by == Some(id(1)))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_refused_enrolment_does_not_use_up_its_token() {
    let (_folder, store) = fresh().await;
    let device = enrolled(&store, 1).await;
    store
        .commit(vec![
            Change::Decommission { device, at: NOW },
            Change::AddToken(token(2)),
        ])
        .await
        .unwrap();
    assert!(matches!(
        store.enrol(enrolment(2, 1)).await,
        Err(StoreError::Decommissioned(_))
    ));
    assert!(store.enrol(enrolment(2, 3)).await.unwrap().new);
    assert!(matches!(
        store.check_in(check_in(1, NOW, 0, vec![])).await,
        Err(StoreError::Decommissioned(_))
    ));
    assert!(matches!(
        store.check_in(check_in(99, NOW, 0, vec![])).await,
        Err(StoreError::UnknownDevice(_))
    ));
}

#[tokio::test]
async fn telemetry_is_stored_exactly_once() {
    let (_folder, store) = fresh().await;
    enrolled(&store, 1).await;
    let first = check_in(1, NOW, 0, vec![serving(0, 5), serving(1, 7)]);
    let stored = store.check_in(first.clone()).await.unwrap();
    assert_eq!((stored.acknowledged, stored.fresh), (2, 2));
    // The reply was lost: the device sends the same again, and more. A gap is what the full outbox dropped.
    let again = check_in(1, NOW + 1, 0, vec![serving(0, 5), serving(1, 7), serving(4, 1)]);
    let stored = store.check_in(again).await.unwrap();
    assert_eq!((stored.acknowledged, stored.fresh), (5, 1));
    let totals = store.serving(Some(id(1))).await.unwrap();
    assert_eq!(
        (totals[0].1.answers, totals[0].1.errors, totals[0].1.cascaded),
        (13, 3, 6)
    );
    let kept = store.telemetry(id(1), u64::MAX - 3, 1, 10).await.unwrap();
    assert_eq!(kept.iter().map(|r| r.sequence).collect::<Vec<_>>(), [1, 4]);
    // Another life of the outbox counts from 0 again.
    let mut reborn = check_in(1, NOW + 2, 0, vec![serving(0, 1)]);
    reborn.check_in.incarnation = 3;
    assert_eq!(store.check_in(reborn).await.unwrap().fresh, 1);
    // A number that no mark can follow is not stored.
    assert_eq!(
        store
            .check_in(check_in(1, NOW + 3, 0, vec![serving(u64::MAX, 1)]))
            .await
            .unwrap()
            .fresh,
        0
    );
}

#[tokio::test]
async fn outboxes_of_a_device_are_bounded() {
    let (_folder, store) = fresh().await;
    enrolled(&store, 1).await;
    let nth = |n: u64| {
        let mut write = check_in(1, NOW, 0, vec![]);
        write.check_in.incarnation = n;
        write
    };
    for n in 0..64 {
        store.check_in(nth(n)).await.unwrap();
    }
    assert!(matches!(
        store.check_in(nth(64)).await,
        Err(StoreError::TooManyIncarnations { .. })
    ));
    store.check_in(nth(63)).await.unwrap();
}

#[tokio::test]
async fn director_versions_rise_with_what_they_say() {
    let (_folder, store) = fresh().await;
    enrolled(&store, 1).await;
    let version = async |now, reported, held| {
        let mut write = check_in(1, now, reported, vec![]);
        write.mint.held = held;
        store.check_in(write).await.unwrap()
    };
    assert_eq!(version(NOW, 0, None).await.director_version, 1);
    let same = version(NOW + 999, 1, Some(1)).await;
    assert_eq!((same.director_version, same.minted_at), (1, NOW));
    // Renewed before it expires, where the server has lost the document, past what the device has seen, and
    // when the assignment changes.
    assert_eq!(version(NOW + 1000, 1, Some(1)).await.director_version, 2);
    assert_eq!(version(NOW + 1001, 2, None).await.director_version, 3);
    assert_eq!(version(NOW + 1001, 40, Some(3)).await.director_version, 41);
    let desired = Desired {
        digest: image(2),
        rollout: None,
        arm: Some(Arm::Target),
        mode: Mode::Activate,
        since: NOW,
    };
    store
        .commit(vec![Change::Desire {
            devices: vec![id(1)],
            desired: Some(desired),
        }])
        .await
        .unwrap();
    let stored = version(NOW + 1002, 41, Some(41)).await;
    assert_eq!((stored.director_version, stored.desired), (42, Some(desired)));
    // No server has allocated so many: the report is not believed.
    assert_eq!(version(NOW + 1003, u64::MAX, Some(42)).await.director_version, 42);
}

#[tokio::test]
async fn evidence_counts_distinct_inputs_of_assigned_devices() {
    let (_folder, store) = fresh().await;
    for n in 1..=3 {
        enrolled(&store, n).await;
    }
    let rows = vec![place(1, Some(NOW)), place(2, Some(NOW)), place(3, None)];
    let assign = Change::Assign {
        rollout: RolloutId(1),
        rows,
    };
    store
        .commit(vec![Change::AddRollout(rollout_row(1)), assign])
        .await
        .unwrap();
    store
        .check_in(check_in(
            1,
            NOW,
            0,
            vec![paired(0, &[(7, true), (8, false), (7, false)])],
        ))
        .await
        .unwrap();
    store
        .check_in(check_in(2, NOW, 0, vec![paired(0, &[(8, true), (9, false)])]))
        .await
        .unwrap();
    // In the control arm; not in the rollout's versions.
    store
        .check_in(check_in(3, NOW, 0, vec![paired(0, &[(10, false)])]))
        .await
        .unwrap();
    let mut other = paired(1, &[(11, false)]);
    if let RecordBody::Paired { new, .. } = &mut other.body {
        *new = image(5);
    }
    store.check_in(check_in(1, NOW, 0, vec![other])).await.unwrap();
    let counts = store.paired_counts(RolloutId(1)).await.unwrap();
    let pi4 = Some(HardwareId::new("pi4").unwrap());
    assert_eq!(
        counts[0],
        PairedCount {
            hardware: None,
            inputs: 3,
            disagreements: 2
        }
    );
    assert_eq!(
        counts[1],
        PairedCount {
            hardware: pi4,
            inputs: 3,
            disagreements: 2
        }
    );
}

#[tokio::test]
async fn only_the_first_failure_of_a_device_counts() {
    let (_folder, store) = fresh().await;
    enrolled(&store, 1).await;
    let assign = Change::Assign {
        rollout: RolloutId(1),
        rows: vec![place(1, Some(NOW))],
    };
    let desired = Desired {
        digest: image(2),
        rollout: Some(RolloutId(1)),
        arm: Some(Arm::Target),
        mode: Mode::Activate,
        since: NOW,
    };
    let desire = Change::Desire {
        devices: vec![id(1)],
        desired: Some(desired),
    };
    store
        .commit(vec![Change::AddRollout(rollout_row(1)), assign, desire])
        .await
        .unwrap();
    let failing = |sequence| event(sequence, EventKind::SelfTestFailed, 1);
    let records = vec![
        event(0, EventKind::Activated, 1),
        failing(1),
        failing(2),
        event(3, EventKind::CrashLoop, 8),
    ];
    store.check_in(check_in(1, NOW, 0, records)).await.unwrap();
    let mut write = check_in(1, NOW + 5, 0, vec![failing(4)]);
    write.failed_metrics = vec!["errors".into()];
    store.check_in(write).await.unwrap();
    let health = store.health(RolloutId(1)).await.unwrap();
    let kinds: Vec<_> = health.iter().map(|row| (row.kind.as_str(), row.at)).collect();
    assert_eq!(kinds, [("self_test_failed", NOW), ("errors", NOW + 5)]);
    assert_eq!(store.events(Some(id(1)), 0, 100).await.unwrap().len(), 5);
    assert_eq!(
        store.recent_events(None, 1).await.unwrap()[0].id,
        store.heads().borrow().event
    );
}

#[tokio::test]
async fn assignments_are_written_once_and_only_gain() {
    let (_folder, store) = fresh().await;
    enrolled(&store, 1).await;
    let assign = |rows| Change::Assign {
        rollout: RolloutId(1),
        rows,
    };
    store
        .commit(vec![
            Change::AddRollout(rollout_row(1)),
            assign(vec![place(1, None)]),
        ])
        .await
        .unwrap();
    let later = AssignmentRow {
        stage: 2,
        enrolled_at: NOW + 9,
        ..place(1, Some(NOW + 9))
    };
    store.commit(vec![assign(vec![later])]).await.unwrap();
    let last = AssignmentRow {
        stage: 5,
        reverted_at: Some(NOW + 20),
        ..place(1, Some(NOW + 19))
    };
    store.commit(vec![assign(vec![last])]).await.unwrap();
    let want = AssignmentRow {
        stage: 2,
        reverted_at: Some(NOW + 20),
        ..place(1, Some(NOW + 9))
    };
    assert_eq!(
        store.assignments(RolloutId(1)).await.unwrap(),
        std::slice::from_ref(&want)
    );
    assert_eq!(store.assignments_of(id(1)).await.unwrap(), [(RolloutId(1), want)]);
    let unknown = store.commit(vec![assign(vec![place(77, None)])]).await;
    assert!(matches!(unknown, Err(StoreError::Conflict { .. })), "{unknown:?}");
}

#[tokio::test]
async fn a_commit_is_whole_or_nothing() {
    let (_folder, store) = fresh().await;
    store
        .commit(vec![
            Change::AddRollout(rollout_row(1)),
            entry(Some(1), "rollout.created"),
        ])
        .await
        .unwrap();
    let refused = store
        .commit(vec![entry(None, "never"), Change::AddRollout(rollout_row(1))])
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict { .. })));
    assert_eq!(store.ledger(None, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.heads().borrow().ledger, 1);
}

#[tokio::test]
async fn the_ledger_is_chained_and_append_only() {
    let (folder, store) = fresh().await;
    store
        .commit(vec![
            entry(Some(1), "a"),
            entry(Some(2), "b"),
            entry(Some(1), "c"),
        ])
        .await
        .unwrap();
    let mut all = store.ledger(None, 0, 10).await.unwrap();
    ledger::check_chain(None, &all).unwrap();
    ledger::check_chain(Some(&all[0]), &all[1..]).unwrap();
    assert_eq!(all[2].rollout_previous, all[0].hash);
    assert_eq!(all[1].rollout_previous, ledger::GENESIS);
    assert_eq!(
        store.ledger_head(Some(RolloutId(2))).await.unwrap().unwrap(),
        all[1]
    );
    all[1].body = "{\"forged\":true}".into();
    assert!(ledger::check_chain(None, &all).is_err());
    let url = format!("sqlite://{}", folder.path().join("fleet.db").display());
    let mut direct = sqlx::SqliteConnection::connect(&url).await.unwrap();
    for sql in ["UPDATE ledger SET body = 'x'", "DELETE FROM ledger"] {
        let refused = sqlx::query(sql).execute(&mut direct).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"));
    }
}

fn version(n: u8, model: &str, version: &str) -> Version {
    Version {
        digest: image(n),
        name: model.into(),
        version: version.into(),
        length: 10,
        parent: None,
        metadata: "{}".into(),
        published_at: NOW,
        published_by: "ann".into(),
    }
}

fn alias(n: u8, model: &str) -> Change {
    Change::SetAlias(Alias {
        name: model.into(),
        alias: "champion".into(),
        digest: image(n),
        since: NOW,
    })
}

/// All check-ins of these tests answer from image 1, a version of magika.
#[tokio::test]
async fn newcomers_are_those_that_were_never_told() {
    let (_folder, store) = fresh().await;
    let versions = [
        version(1, "magika", "v1"),
        version(2, "magika", "v2"),
        version(3, "ocr", "1"),
    ];
    store
        .commit(versions.map(Change::AddVersion).into())
        .await
        .unwrap();
    for n in 1..=5 {
        enrolled(&store, n).await;
    }
    for n in 1..=4 {
        store.check_in(check_in(n, NOW, 0, Vec::new())).await.unwrap();
    }
    let newcomers = async || {
        let rows = store.newcomers("champion").await.unwrap();
        let mut found: Vec<DeviceId> = rows.iter().map(|row| row.device).collect();
        found.sort_unstable();
        found
    };
    let sorted = |ns: &[u8]| {
        let mut ids: Vec<DeviceId> = ns.iter().map(|&n| id(n)).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(newcomers().await, [], "no model has a champion");
    store
        .commit(vec![alias(1, "magika"), alias(3, "ocr")])
        .await
        .unwrap();
    assert_eq!(newcomers().await, [], "they answer from it");
    store.commit(vec![alias(2, "magika")]).await.unwrap();
    assert_eq!(
        newcomers().await,
        sorted(&[1, 2, 3, 4]),
        "the fifth has not checked in"
    );
    let desired = Desired {
        digest: image(2),
        rollout: None,
        arm: None,
        mode: Mode::Activate,
        since: NOW,
    };
    let change = vec![
        Change::Desire {
            devices: vec![id(1)],
            desired: Some(desired),
        },
        Change::FreezeDevice {
            device: id(2),
            frozen: true,
        },
        Change::Decommission {
            device: id(3),
            at: NOW,
        },
    ];
    store.commit(change).await.unwrap();
    assert_eq!(newcomers().await, [id(4)]);
    assert_eq!(store.told(image(2)).await.unwrap(), [id(1)]);
    let told = |row: &FleetRow| row.told == (row.device == id(1)).then_some(image(2));
    assert!(store.fleet().await.unwrap().iter().all(told));
    let models = store.models().await.unwrap();
    assert_eq!(models.iter().filter(|(_, name)| name == "magika").count(), 2);
}

#[tokio::test]
async fn rollouts_that_are_over_prove_what_they_started_from_and_complete_with() {
    let (_folder, store) = fresh().await;
    let proven = async || {
        let of = [store.is_proven(image(1)), store.is_proven(image(2))];
        let [base, target] = of;
        (base.await.unwrap(), target.await.unwrap())
    };
    assert_eq!(proven().await, (false, false));
    store
        .commit(vec![Change::AddRollout(rollout_row(1))])
        .await
        .unwrap();
    // Started from it says nothing yet, nor if it is aborted.
    assert_eq!(proven().await, (false, false));
    let over = [
        ("stopped", (false, false)),
        ("completed", (true, true)),
        ("rolled back", (true, false)),
    ];
    for (status, holds) in over {
        let set = Change::SetRollout {
            id: RolloutId(1),
            status: status.into(),
            state: "{}".into(),
        };
        store.commit(vec![set]).await.unwrap();
        assert_eq!(proven().await, holds);
    }
}

#[tokio::test]
async fn versions_and_aliases() {
    let (_folder, store) = fresh().await;
    let version = |n: u8, name: &str| version(n, "magika", name);
    let alias = |n: u8| alias(n, "magika");
    store
        .commit(vec![Change::AddVersion(version(1, "v1")), alias(1)])
        .await
        .unwrap();
    store
        .commit(vec![Change::AddVersion(version(1, "v1"))])
        .await
        .unwrap();
    for taken in [version(2, "v1"), version(1, "v2")] {
        assert!(matches!(
            store.commit(vec![Change::AddVersion(taken)]).await,
            Err(StoreError::Conflict { .. })
        ));
    }
    assert!(matches!(
        store.commit(vec![alias(9)]).await,
        Err(StoreError::Conflict { .. })
    ));
    assert_eq!(
        store.version_named("magika", "v1").await.unwrap().unwrap().digest,
        image(1)
    );
    assert_eq!(store.aliases().await.unwrap()[0].digest, image(1));
    let remove = || Change::RemoveAlias {
        name: "magika".into(),
        alias: "champion".into(),
    };
    store.commit(vec![remove()]).await.unwrap();
    assert!(matches!(
        store.commit(vec![remove()]).await,
        Err(StoreError::NotFound { .. })
    ));
}

#[tokio::test]
async fn a_kept_answer_is_kept_once() {
    let (_folder, store) = fresh().await;
    let reply = IdempotentReply {
        operator: "ann".into(),
        key: "k".into(),
        fingerprint: image(1),
        status: 201,
        body: "{}".into(),
        at: NOW,
    };
    store.commit(vec![Change::Remember(reply.clone())]).await.unwrap();
    assert_eq!(store.remembered("ann", "k").await.unwrap(), Some(reply.clone()));
    assert_eq!(store.remembered("bob", "k").await.unwrap(), None);
    assert!(matches!(
        store.commit(vec![Change::Remember(reply)]).await,
        Err(StoreError::Conflict { .. })
    ));
    let prune = Change::Prune {
        telemetry_before: NOW,
        replies_before: NOW + 1,
        tokens_before: NOW,
    };
    store.commit(vec![prune]).await.unwrap();
    assert_eq!(store.remembered("ann", "k").await.unwrap(), None);
}

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    enrolled(&store, 1).await;
    store
        .check_in(check_in(
            1,
            NOW,
            0,
            vec![serving(0, 5), event(1, EventKind::Started, 1)],
        ))
        .await
        .unwrap();
    store
        .commit(vec![
            entry(None, "a"),
            Change::Set {
                name: "freeze",
                value: "on".into(),
            },
        ])
        .await
        .unwrap();
    store
        .commit(vec![Change::FreezeDevice {
            device: id(1),
            frozen: true,
        }])
        .await
        .unwrap();
    let before = (store.device(id(1)).await.unwrap(), store.fleet().await.unwrap());
    store.close().await.unwrap();
    assert!(matches!(store.commit(vec![]).await, Err(StoreError::Closed)));
    let store = open(folder.path()).await;
    assert_eq!(
        (store.device(id(1)).await.unwrap(), store.fleet().await.unwrap()),
        before
    );
    assert_eq!(before.0.unwrap().state.unwrap().report.runtime, runtime());
    assert!(before.1[0].frozen);
    let heads = *store.heads().borrow();
    assert_eq!((heads.ledger, heads.event), (1, 1));
    assert_eq!(store.setting("freeze").await.unwrap().as_deref(), Some("on"));
    assert_eq!(
        store
            .check_in(check_in(1, NOW, 0, vec![serving(0, 5)]))
            .await
            .unwrap()
            .fresh,
        0
    );
    let hash = store.fleet().await.unwrap()[0].runtime;
    let unknown = image(9);
    assert_eq!(
        store.runtimes(vec![hash, unknown]).await.unwrap(),
        [(hash, runtime())]
    );
    assert_eq!(
        store.fleet_counts().await.unwrap()[0].phase.as_deref(),
        Some("Idle")
    );
}

#[tokio::test]
async fn an_unusable_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fleet.db");
    std::fs::write(
        &path,
        b"this is not a database, and long enough to be looked at as one by SQLite",
    )
    .unwrap();
    let error = SqliteStore::open(SqliteOptions::new(&path)).await.unwrap_err();
    assert!(error.to_string().contains("fleet.db"), "{error}");
    let missing = folder.path().join("no/such/folder/fleet.db");
    assert!(matches!(
        SqliteStore::open(SqliteOptions::new(&missing)).await,
        Err(StoreError::Open { .. })
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_check_ins_share_commits() {
    let (_folder, store) = fresh().await;
    let store = Arc::new(store);
    for n in 1..=50 {
        enrolled(&store, n).await;
    }
    let before = store.heads().borrow().commits;
    let tasks: Vec<_> = (1..=50u8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for sequence in 0..4 {
                    let write = check_in(n, NOW + sequence, 0, vec![serving(sequence, 1)]);
                    assert_eq!(store.check_in(write).await.unwrap().acknowledged, sequence + 1);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.serving(None).await.unwrap()[0].1.answers, 200);
    let commits = store.heads().borrow().commits - before;
    assert!(commits < 100, "{commits} commits for 200 check-ins");
}

#[tokio::test]
async fn the_log_is_moved_into_the_database_beside_the_writer() {
    let (folder, store) = fresh().await;
    let files = vec![("big.json".to_owned(), vec![7; 1 << 20])];
    let put = Change::PutTufFiles {
        repository: "image",
        files,
    };
    store.commit(vec![put]).await.unwrap();
    let size = || std::fs::metadata(folder.path().join("fleet.db")).unwrap().len();
    for _ in 0..100 {
        if size() > 1 << 20 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the database file has {} bytes only", size());
}

#[tokio::test]
async fn the_newest_image_counts_and_the_one_longest_unused_goes() {
    let (_folder, store) = fresh().await;
    let device = enrolled(&store, 1).await;
    let tell = async |sequence: u64, image: u8| {
        let mut record = serving(sequence, 1);
        if let RecordBody::Serving(window) = &mut record.body {
            window.image = Digest([image; 32]);
        }
        let check_in = check_in(1, NOW + sequence, 0, vec![record]);
        store.check_in(check_in).await.unwrap();
    };
    let sums = async || {
        let serving = store.serving(Some(device)).await.unwrap();
        let sums = serving.iter().map(|(image, totals)| (image.0[0], totals.answers));
        sums.collect::<std::collections::BTreeMap<u8, u64>>()
    };
    for n in 0..64 {
        tell(u64::from(n), n).await;
    }
    // An assignment makes the writer read the device again: what is stored is not new to it.
    let desire = Change::Desire {
        devices: vec![device],
        desired: None,
    };
    store.commit(vec![desire]).await.unwrap();
    tell(64, 0).await;
    assert_eq!(
        sums().await,
        (0..64).map(|n| (n, 1 + u64::from(n == 0))).collect()
    );
    tell(65, 64).await;
    assert_eq!(
        sums().await.into_keys().collect::<Vec<_>>(),
        (0..65).filter(|n| *n != 1).collect::<Vec<_>>()
    );
    // One that went comes back as a new one.
    tell(66, 1).await;
    let sums = sums().await;
    assert_eq!((sums.get(&1), sums.get(&2), sums.len()), (Some(&1), None, 64));
}

#[tokio::test]
async fn one_device_fills_no_table() {
    let (_folder, store) = fresh().await;
    let device = enrolled(&store, 1).await;
    let mut sequence = 0;
    let mut next = || {
        sequence += 1;
        sequence - 1
    };
    // Two lives of the writer's memory, as it were: an assignment makes it read the device again.
    for life in 0..2_u8 {
        for n in 0..70 {
            let mut record = serving(next(), 1);
            if let RecordBody::Serving(window) = &mut record.body {
                window.image = Digest([100 * life + n; 32]);
            }
            let mut write = check_in(1, NOW, 0, vec![record]);
            write.check_in.state.runtime.memory_limit = u64::from(100 * life + n);
            store.check_in(write).await.unwrap();
        }
        let desire = Change::Desire {
            devices: vec![device],
            desired: None,
        };
        store.commit(vec![desire]).await.unwrap();
    }
    assert_eq!(store.serving(Some(device)).await.unwrap().len(), 64);
    for _ in 0..6 {
        let records = (0..200).map(|_| event(next(), EventKind::Started, 1)).collect();
        store.check_in(check_in(1, NOW, 0, records)).await.unwrap();
    }
    let kept = store.events(Some(device), 0, 10_000).await.unwrap();
    assert!((1000..=1100).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept.last().unwrap().id, 1200, "the oldest go");
    let prune = Change::Prune {
        telemetry_before: 0,
        replies_before: 0,
        tokens_before: 0,
    };
    store.commit(vec![prune]).await.unwrap();
    let hash = |limit| {
        let info = RuntimeInfo {
            memory_limit: limit,
            ..runtime()
        };
        Digest::of(&sanderling_wire::encode(&info))
    };
    let left = store.runtimes((0..200).map(hash).collect()).await.unwrap();
    assert_eq!(left, [(hash(0), runtime())], "the one that it has now");
    assert!(store.device(device).await.unwrap().unwrap().state.is_some());
}
