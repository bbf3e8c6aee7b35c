//! The agent against a fleet that is good, broken, or hostile. No I/O and no waiting: time is an argument.
#![allow(clippy::unwrap_used)]

mod device;
mod fleet;

use device::{Device, medium};
use fleet::{DIRECTOR_KEY, Fault, Fleet, Kind, MALLORY, digest, image};
use sanderling_agent::{Action, Agent, AgentError, Input, Now, Paired, Report, Trouble};
use sanderling_slots::sim::FaultyStorage;
use sanderling_slots::{MemoryStorage, Region, Slot, Storage};
use sanderling_trust::{Ed25519Signer, Mode, UnixTime};
use sanderling_wire::{DeviceId, EventKind, PairedOutcome, Phase, RecordBody, RolloutId};

fn fleet(versions: &[u8]) -> Fleet {
    let mut fleet = Fleet::new();
    versions.iter().for_each(|&n| fleet.release(n, 1));
    fleet
}

fn on(n: u8) -> (Fleet, Device) {
    let mut fleet = fleet(&[1, 2, 3, 4]);
    let mut device = Device::new(&fleet);
    device.update(&mut fleet, n, 1);
    (fleet, device)
}

#[test]
fn installs_updates_and_goes_back() {
    let (mut fleet, mut device) = on(1);
    assert!(device.agent.is_enrolled());
    device.update(&mut fleet, 2, 2);
    assert_eq!(device.agent.state_report().standby, Some(digest(1)));
    let images = fleet.seen.requests[&Kind::Image];

    // Back by one command: no download, no trial, and at the next check-in.
    fleet.want(1, 2, Mode::Restore);
    assert!(device.run_till(&mut fleet, 30, |device, _| device.is_confirmed_on(1)));
    device.run(&mut fleet, 30);
    assert_eq!(
        fleet.seen.requests[&Kind::Image],
        images,
        "a rollback downloads nothing"
    );
    for kind in [
        EventKind::Started,
        EventKind::DownloadStarted,
        EventKind::Verified,
        EventKind::SelfTestPassed,
        EventKind::Activated,
        EventKind::Confirmed,
        EventKind::RolledBack,
    ] {
        assert!(fleet.has_event(kind), "{kind:?}");
    }
    let pairs = fleet
        .seen
        .records
        .values()
        .filter_map(|record| match &record.body {
            RecordBody::Paired {
                new,
                old,
                outcomes,
                rollout,
            } => {
                assert_eq!((*new, *old, rollout.0), (digest(2), digest(1), 2));
                Some(outcomes.len())
            }
            _ => None,
        });
    assert!(pairs.sum::<usize>() >= 4);
    fleet.check_telemetry();
    assert_eq!(device.agent.state_report().phase, Phase::Idle);
}

#[test]
fn a_newcomer_takes_the_champion_on_trial_without_a_rollout() {
    let (mut fleet, mut device) = on(1);
    let records = fleet.seen.records.len();
    fleet.want_champion(2);
    assert!(
        device.run_till(&mut fleet, 600, |device, _| device.is_confirmed_on(2)),
        "{:#?}",
        device.reports
    );
    device.run(&mut fleet, 30);
    assert!(fleet.has_event(EventKind::Activated));
    assert_eq!(device.agent.state_report().active.unwrap().rollout, None);
    let compared = |record: &&sanderling_wire::Record| matches!(record.body, RecordBody::Paired { .. });
    assert!(fleet.seen.records.len() > records);
    assert_eq!(
        fleet.seen.records.values().filter(compared).count(),
        0,
        "nobody asked"
    );
    // It fails its self-test: the device stays where it is and does not fetch it again.
    device.fails_self_test.insert(digest(3));
    fleet.want_champion(3);
    device.run(&mut fleet, 300);
    assert!(device.is_confirmed_on(2));
    let events = fleet.events();
    let fetched = events
        .iter()
        .filter(|(kind, _)| *kind == EventKind::DownloadStarted);
    assert_eq!(fetched.count(), 3, "once for each version");
    // A rollout that calls it back finds the old one in the other slot, or fetches it.
    fleet.want(1, 4, Mode::Restore);
    assert!(device.run_till(&mut fleet, 600, |device, _| device.is_confirmed_on(1)));
    fleet.check_telemetry();
}

/// Each fault, at each kind of request, several times over: the device gets there in the end, never over budget.
#[test]
fn every_fault_is_survived() {
    let faults = [
        Fault::Drop,
        Fault::Status(404),
        Fault::Status(500),
        Fault::Status(302),
        Fault::RetryAfter(4),
        Fault::Cut(10),
        Fault::Flip,
        Fault::Endless,
        Fault::Garbage,
        Fault::NoRanges,
        Fault::LostAnswer,
    ];
    for kind in [Kind::Enrol, Kind::CheckIn, Kind::Metadata, Kind::Image] {
        for fault in &faults {
            let mut fleet = fleet(&[1, 2]);
            fleet.want(1, 1, Mode::Activate);
            for _ in 0..4 {
                fleet.fault(kind, fault.clone());
            }
            let mut device = Device::new(&fleet);
            let done = device.run_till(&mut fleet, 900, |device, _| device.is_confirmed_on(1));
            assert!(done, "{kind:?} {fault:?}: {:#?}", device.reports);
            device.run(&mut fleet, 30);
            fleet.check_telemetry();
        }
    }
}

#[test]
fn wrong_bytes_are_thrown_away_and_fetched_again() {
    let (mut fleet, mut device) = on(1);
    fleet.fault(Kind::Image, Fault::Flip);
    device.update(&mut fleet, 2, 2);
    device.run(&mut fleet, 15);
    assert!(fleet.has_event(EventKind::DownloadRefused));
}

#[test]
fn a_failed_self_test_is_never_activated_nor_fetched_again() {
    let (mut fleet, mut device) = on(1);
    device.fails_self_test.insert(digest(4));
    fleet.want(4, 9, Mode::Activate);
    device.run(&mut fleet, 300);
    assert!(
        fleet
            .events()
            .contains(&(EventKind::SelfTestFailed, Some(digest(4))))
    );
    assert!(!device.served.contains(&digest(4)));
    assert!(device.is_confirmed_on(1));
    let started = fleet
        .events()
        .iter()
        .filter(|(kind, _)| *kind == EventKind::DownloadStarted)
        .count();
    assert_eq!(started, 2, "once for version 1, once for version 4");
    // Another rollout may bring it again, repaired.
    device.fails_self_test.clear();
    device.update(&mut fleet, 4, 10);
}

#[test]
fn errors_on_trial_end_it() {
    let (mut fleet, mut device) = on(1);
    device.errs.insert(digest(3));
    fleet.want(3, 5, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |_, fleet| fleet.has_event(EventKind::FellBack)));
    device.run(&mut fleet, 60);
    assert!(device.is_confirmed_on(1));
    assert!(fleet.events().contains(&(EventKind::FellBack, Some(digest(3)))));
}

#[test]
fn an_image_that_does_not_load_is_left() {
    let (mut fleet, mut device) = on(1);
    device.unloadable.insert(digest(3));
    fleet.want(3, 5, Mode::Activate);
    device.run(&mut fleet, 100);
    assert!(device.is_confirmed_on(1));
    assert!(fleet.has_event(EventKind::FellBack));
}

#[test]
fn crashes_on_trial_end_it() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 5, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.answers_from
        == Some(digest(2))));
    for seed in 0..3 {
        assert_eq!(device.answers_from.is_none(), seed > 0);
        device = device.restart(&fleet, 100 + seed);
    }
    device.run(&mut fleet, 100);
    assert!(device.is_confirmed_on(1));
    assert!(fleet.events().contains(&(EventKind::CrashLoop, Some(digest(2)))));
}

#[test]
fn programs_that_end_in_order_are_no_crash_loop() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 5, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.answers_from
        == Some(digest(2))));
    for seed in 0..6 {
        device = device.restart(&fleet, 100 + seed);
        device.agent.rest().unwrap();
    }
    // A crash in between still counts, and three of them are three.
    for seed in 0..3 {
        assert!(!fleet.has_event(EventKind::CrashLoop));
        device = device.restart(&fleet, 200 + seed);
        device.agent.rest().unwrap();
        device = device.restart(&fleet, 300 + seed);
    }
    device.run(&mut fleet, 100);
    assert!(fleet.events().contains(&(EventKind::CrashLoop, Some(digest(2)))));
}

#[test]
fn restarts_with_good_answers_in_between_are_no_crash_loop() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 5, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.answers_from
        == Some(digest(2))));
    for seed in 0..6 {
        device = device.restart(&fleet, 100 + seed);
        device.run(&mut fleet, 3);
    }
    device.update(&mut fleet, 2, 5);
    assert!(!fleet.has_event(EventKind::CrashLoop));
}

#[test]
fn a_director_that_changes_its_mind_on_trial_is_followed() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 5, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.answers_from
        == Some(digest(2))));
    fleet.want(1, 5, Mode::Restore);
    device.agent.handle(Input::Doorbell, device.now);
    assert!(device.run_till(&mut fleet, 5, |device, _| device.is_confirmed_on(1)));
    // What did not finish its trial is no standby.
    assert_eq!(device.agent.state_report().standby, None);
    device.update(&mut fleet, 3, 6);
}

/// Documents that must not be followed, and the attack each is.
#[test]
fn hostile_documents_are_refused_and_reported() {
    type Forge = fn(&mut Fleet, DeviceId) -> Vec<u8>;
    let forgeries: &[(&str, Forge)] = &[
        ("a stranger's key", |fleet, device| {
            fleet.mint(device, MALLORY, |_| {})
        }),
        ("another device's", |fleet, _| {
            fleet.mint(DeviceId([1; 16]), DIRECTOR_KEY, |_| {})
        }),
        ("expired", |fleet, device| {
            let now = fleet.now;
            fleet.mint(device, DIRECTOR_KEY, |d| {
                d.issued = UnixTime(now - 100);
                d.header.expires = UnixTime(now - 1);
            })
        }),
        ("older", |fleet, device| {
            fleet.mint(device, DIRECTOR_KEY, |d| d.header.version = 1)
        }),
        ("another hash", |fleet, device| {
            fleet.mint(device, DIRECTOR_KEY, |d| {
                d.target.as_mut().unwrap().sha256 = digest(77)
            })
        }),
        ("another length", |fleet, device| {
            fleet.mint(device, DIRECTOR_KEY, |d| d.target.as_mut().unwrap().length += 1)
        }),
        ("not listed", |fleet, device| {
            fleet.mint(device, DIRECTOR_KEY, |d| {
                d.target.as_mut().unwrap().name = "evil.sdl".into()
            })
        }),
        ("no document", |_, _| b"{}".to_vec()),
    ];
    for (name, forge) in forgeries {
        let (mut fleet, mut device) = on(1);
        fleet.want(2, 3, Mode::Activate);
        let id = device.agent.device();
        let before = fleet.seen.check_ins;
        let forged = forge(&mut fleet, id);
        fleet.document = Some(forged.clone());
        fleet.wanted = None;
        assert!(
            device.run_till(&mut fleet, 60, |_, fleet| fleet.seen.check_ins >= before + 3),
            "{name}"
        );
        assert!(
            fleet.has_event(EventKind::MetadataRefused),
            "{name}: {:#?}",
            device.reports
        );
        assert!(device.is_confirmed_on(1), "{name}");
        assert!(!device.served.contains(&digest(2)), "{name}");
        // And the next good one is followed.
        device.update(&mut fleet, 2, 3);
    }
}

#[test]
fn a_rotated_director_key_is_learnt() {
    let (mut fleet, mut device) = on(1);
    fleet.rotate_director(15);
    device.update(&mut fleet, 2, 3);
    assert_eq!(device.agent.state_report().director_root_version, 2);
    // After a restart the old key's documents stay refused: the new root is on the medium.
    device = device.restart(&fleet, 3);
    assert_eq!(device.agent.state_report().director_root_version, 2);
    let id = device.agent.device();
    fleet.document = Some(fleet.mint(id, DIRECTOR_KEY, |_| {}));
    let before = fleet.seen.check_ins;
    device.run_till(&mut fleet, 60, |_, fleet| fleet.seen.check_ins > before + 1);
    assert!(fleet.has_event(EventKind::MetadataRefused));
}

#[test]
fn expired_image_metadata_blocks_installing_and_nothing_else() {
    let (mut fleet, mut device) = on(1);
    device.update(&mut fleet, 2, 2);
    // The timestamp lives for a day and nobody signs a new one.
    device.now.unix_s += 2 * 86_400;
    fleet.now += 2 * 86_400;
    fleet.want(3, 3, Mode::Activate);
    device.run(&mut fleet, 60);
    assert!(device.is_confirmed_on(2));
    assert!(fleet.has_event(EventKind::MetadataRefused));
    device = device.restart(&fleet, 8);
    device.run(&mut fleet, 2);
    assert!(device.is_confirmed_on(2), "expiry never stops booting");
    fleet.want(1, 3, Mode::Restore);
    assert!(
        device.run_till(&mut fleet, 60, |device, _| device.is_confirmed_on(1)),
        "nor going back"
    );
    fleet.publish();
    device.update(&mut fleet, 3, 4);
}

#[test]
fn a_withdrawn_image_is_not_gone_back_to() {
    let (mut fleet, mut device) = on(1);
    device.update(&mut fleet, 2, 2);
    device.update(&mut fleet, 3, 3);
    fleet.withdraw(2);
    fleet.release(4, 1);
    // The device learns of it at its next look at the image repository.
    device.update(&mut fleet, 4, 4);
    device.update(&mut fleet, 3, 5);
    fleet.withdraw(4);
    device.update(&mut fleet, 1, 6);
    fleet.want(3, 7, Mode::Restore);
    assert!(device.run_till(&mut fleet, 60, |device, _| device.is_confirmed_on(3)));
}

#[test]
fn a_raised_release_counter_holds_for_ever() {
    let (mut fleet, mut device) = on(1);
    fleet.release(5, 2);
    device.update(&mut fleet, 5, 2);
    assert_eq!(device.agent.state_report().release_floor, 2);
    assert_eq!(
        device.agent.state_report().standby,
        None,
        "what is under the floor is nothing to go back to"
    );
    fleet.want(1, 3, Mode::Restore);
    device.run(&mut fleet, 60);
    assert!(device.is_confirmed_on(5));
    assert!(fleet.has_event(EventKind::MetadataRefused));
}

#[test]
fn an_image_for_a_later_runtime_is_left_alone() {
    let (mut fleet, mut device) = on(1);
    fleet.release(99, 1);
    fleet.want(99, 2, Mode::Activate);
    device.run(&mut fleet, 120);
    assert!(device.is_confirmed_on(1));
    let told = fleet
        .events()
        .iter()
        .filter(|(kind, image)| *kind == EventKind::DownloadRefused && *image == Some(digest(99)))
        .count();
    assert_eq!(told, 1);
}

#[test]
fn a_shadow_answers_nothing() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 4, Mode::Shadow);
    assert!(device.run_till(&mut fleet, 100, |device, _| {
        device
            .serving
            .beside
            .is_some_and(|at| at.image.digest == digest(2))
    }));
    device.run(&mut fleet, 20);
    assert!(!device.served.contains(&digest(2)));
    let compared = fleet.seen.records.values().any(|record| {
        matches!(&record.body, RecordBody::Paired { new, old, .. } if (*new, *old) == (digest(2), digest(1)))
    });
    assert!(compared);
    assert!(device.is_confirmed_on(1));
    // Promoted: no second download.
    let images = fleet.seen.requests[&Kind::Image];
    device.update(&mut fleet, 2, 4);
    assert_eq!(fleet.seen.requests[&Kind::Image], images);
}

#[test]
fn the_byte_budget_is_kept_across_restarts_and_days() {
    let fleet_of = fleet;
    let mut fleet = fleet_of(&[1, 2]);
    fleet.want(1, 1, Mode::Activate);
    let mut config = Device::config(&fleet);
    config.network.daily_budget = 4_000;
    let mut now = Now {
        unix_s: fleet.now,
        uptime_ms: 0,
    };
    let mut held = medium();
    let start_day = fleet.now / 86_400;
    let mut done = false;
    for day in 0..3 {
        let before = fleet.seen.image_bytes;
        for seed in 0..3 {
            let mut device = Device::start(
                FaultyStorage::new(held, None),
                config.clone(),
                now,
                day * 10 + seed,
            )
            .unwrap();
            done = device.run_till(&mut fleet, 900, |device, _| device.is_confirmed_on(1));
            now = device.now;
            held = device.agent.storage().live().clone();
        }
        assert!(
            fleet.seen.image_bytes - before <= 4_000,
            "{} bytes on one day",
            fleet.seen.image_bytes - before
        );
        if done {
            break;
        }
        let midnight = (start_day + day + 1) * 86_400 + 10;
        (now.unix_s, fleet.now) = (midnight, midnight);
        fleet.publish();
    }
    assert!(done, "5000 bytes fit two days of 4000");
}

#[test]
fn a_long_time_without_network_costs_nothing_but_time() {
    let (mut fleet, mut device) = on(1);
    device.offline = true;
    device.run(&mut fleet, 400);
    let answered = device.served.len();
    assert!(answered > 390, "{answered} windows");
    device = device.restart(&fleet, 5);
    device.offline = false;
    device.run(&mut fleet, 60);
    fleet.check_telemetry();
    let windows = fleet
        .seen
        .records
        .values()
        .filter(|r| matches!(r.body, RecordBody::Serving(_)))
        .count() as u64;
    let state = device.agent.state_report();
    assert!(
        windows + state.dropped_records >= answered as u64,
        "{windows} came, {} dropped",
        state.dropped_records
    );
}

#[test]
fn a_full_outbox_drops_the_oldest_and_says_so() {
    let mut fleet = fleet(&[1]);
    let now = Now {
        unix_s: fleet.now,
        uptime_ms: 0,
    };
    let medium = FaultyStorage::new(MemoryStorage::new(16_384, 4_096), None);
    let mut device = Device::start(medium, Device::config(&fleet), now, 1).unwrap();
    device.update(&mut fleet, 1, 1);
    device.offline = true;
    device.run(&mut fleet, 600);
    device.offline = false;
    device.run(&mut fleet, 60);
    let dropped = fleet.seen.state.as_ref().unwrap().dropped_records;
    assert!(dropped > 0);
    assert_eq!(fleet.seen.contradictions, 0);
    let sequences: Vec<u64> = fleet.seen.records.keys().map(|(_, sequence)| *sequence).collect();
    let missing = sequences.last().unwrap() + 1 - sequences.len() as u64;
    assert_eq!(missing, dropped);
}

#[test]
fn a_dead_server_is_not_stormed() {
    let mut fleet = fleet(&[1]);
    let mut device = Device::new(&fleet);
    for _ in 0..100_000 {
        fleet.fault(Kind::Enrol, Fault::Status(500));
    }
    device.run(&mut fleet, 3_600);
    let asked = fleet.seen.requests[&Kind::Enrol];
    assert!((100..=2_000).contains(&asked), "{asked} requests in an hour");
}

#[test]
fn a_state_belongs_to_one_fleet() {
    let (mut fleet, mut device) = on(1);
    let held = device.agent.storage().live().clone();
    let mut config = Device::config(&fleet);
    config.enrolment = None;
    assert!(
        Device::start(
            FaultyStorage::new(held.clone(), None),
            config.clone(),
            device.now,
            1
        )
        .is_ok()
    );
    let mut other = fleet.enrolment("https://elsewhere.example");
    other.director_root = digest(9);
    config.enrolment = Some(other);
    let error = Device::start(
        FaultyStorage::new(held.clone(), None),
        config.clone(),
        device.now,
        1,
    )
    .err()
    .unwrap();
    assert!(matches!(error, AgentError::OtherFleet { .. }), "{error}");
    // The same fleet at another address is the same fleet: the device enrols there with the key it has.
    config.enrolment = Some(fleet.enrolment("http://127.0.0.1:2"));
    let mut moved = Device::start(FaultyStorage::new(held, None), config.clone(), device.now, 1).unwrap();
    assert!(!moved.agent.is_enrolled());
    moved.run(&mut fleet, 5);
    assert!(moved.agent.is_enrolled() && moved.is_confirmed_on(1));
    config.enrolment = None;
    let error = Device::start(FaultyStorage::new(medium(), None), config, device.now, 1)
        .err()
        .unwrap();
    assert_eq!(error, AgentError::NotEnrolled);
}

#[test]
fn a_state_that_lost_its_enrolment_is_not_a_new_one() {
    let (fleet, mut device) = on(1);
    let held = device.agent.storage().live().clone();
    let start = |blobs: &[(&str, Option<&[u8]>)], given: bool| {
        let mut held = held.clone();
        for (name, bytes) in blobs {
            match bytes {
                Some(bytes) => held.write_blob(name, bytes).unwrap(),
                None => held.remove_blob(name).unwrap(),
            }
        }
        let mut config = Device::config(&fleet);
        config.enrolment = config.enrolment.filter(|_| given);
        Device::start(FaultyStorage::new(held, None), config, device.now, 1).map(drop)
    };
    type Blobs = &'static [(&'static str, Option<&'static [u8]>)];
    let damaged: [Blobs; 4] = [
        &[("enrolment", Some(b"sdl1:AAAA"))],
        &[("enrolment", Some(&[0xff; 40]))],
        &[("enrolment", Some(b"")), ("enrolled", None)],
        &[("enrolment", None), ("enrolled", None)],
    ];
    for blobs in damaged {
        let error = start(blobs, false).unwrap_err();
        assert!(
            matches!(error, AgentError::EnrolmentDamaged { .. }),
            "{blobs:?}: {error}"
        );
        assert!(error.to_string().contains("start once with"), "{error}");
        assert_eq!(start(blobs, true), Ok(()), "the string heals it");
    }
    // A damaged answer of the server is asked for again.
    assert_eq!(start(&[("enrolled", Some(b"?"))], false), Ok(()));
}

#[test]
fn the_key_of_another_device_is_noticed() {
    let (fleet, mut device) = on(1);
    let held = device.agent.storage().live().clone();
    let mut config = Device::config(&fleet);
    config.enrolment = None;
    let error = Agent::start(
        config,
        FaultyStorage::new(held, None),
        Box::new(Ed25519Signer::from_seed(&[43; 32])),
        Box::new(device::Seeded(1)),
        device.now,
    )
    .err()
    .unwrap();
    let AgentError::OtherKey { stored, found } = error else {
        panic!("{error}");
    };
    assert_eq!(stored, device.agent.device());
    assert_ne!(found, stored);
}

#[test]
fn a_decommissioned_device_says_so_and_goes_on_answering() {
    let (mut fleet, mut device) = on(1);
    (0..20).for_each(|_| fleet.fault(Kind::CheckIn, Fault::Status(410)));
    let at = Some(fleet::DECOMMISSIONED_AT);
    let said = |device: &Device| {
        device.reports.iter().find_map(|report| match report {
            Report::Trouble(trouble @ Trouble::Decommissioned { .. }) => Some(trouble.clone()),
            _ => None,
        })
    };
    assert!(device.run_till(&mut fleet, 600, |device, _| said(device).is_some()));
    let told = said(&device).unwrap();
    assert_eq!(told, Trouble::Decommissioned { what: "check-in", at });
    let words = told.to_string();
    for part in [
        "decommissioned",
        "2026-01-01T00:00:00Z",
        "sanderling device enrol",
        "new, empty state folder",
    ] {
        assert!(words.contains(part), "{words}");
    }
    assert!(device.is_confirmed_on(1));
}

#[test]
fn rot_of_the_image_served_falls_back_and_fetches_again() {
    let (mut fleet, mut device) = on(1);
    device.update(&mut fleet, 2, 2);
    device.agent.storage().live().bytes_mut(Region::Slot(Slot::B))[100] ^= 1;
    device = device.restart(&fleet, 4);
    assert_eq!(device.agent.state_report().active.unwrap().digest, digest(1));
    assert!(device.run_till(&mut fleet, 200, |device, _| device.is_confirmed_on(2)));
    // Both at once: no model, and it says so, and heals.
    for slot in [Slot::A, Slot::B] {
        device.agent.storage().live().bytes_mut(Region::Slot(slot))[100] ^= 1;
    }
    device = device.restart(&fleet, 4);
    assert_eq!(device.agent.state_report().phase, Phase::NoModel);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.is_confirmed_on(2)));
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 2, Mode::Activate);
    // The room goes away in the middle of the download.
    fleet.fault(Kind::Image, Fault::Cut(700));
    assert!(device.run_till(&mut fleet, 60, |device, _| {
        device.agent.slots().incoming().is_some_and(|(_, n)| n > 0)
    }));
    device.agent.storage().live().set_room(100);
    device.run(&mut fleet, 100);
    assert!(device.is_confirmed_on(1));
    device.agent.storage().live().set_room(u64::MAX);
    device.update(&mut fleet, 2, 2);
    device.run(&mut fleet, 20);
    // Not even the event fitted while the disk was full.
    assert!(fleet.has_event(EventKind::StorageFull));
    assert!(device.agent.state_report().dropped_records > 0);
}

/// The same document comes again and again to a disk that takes nothing: it is neither trusted nor acted upon before
/// it is stored, so that a restart finds the version that was acted upon.
#[test]
fn a_document_that_cannot_be_stored_is_not_followed() {
    let (mut fleet, mut device) = on(1);
    device.run(&mut fleet, 5);
    let stored = device.agent.state_report().director_version;
    fleet.want(2, 2, Mode::Activate);
    let id = device.agent.device();
    let document = fleet.mint(id, DIRECTOR_KEY, |_| {});
    device.agent.storage().live().set_room(0);
    for _ in 0..3 {
        fleet.document = Some(document.clone());
        let before = fleet.seen.check_ins;
        assert!(device.run_till(&mut fleet, 300, |_, fleet| fleet.seen.check_ins > before));
        device.agent.handle(Input::Tick, device.now);
        let report = device.agent.state_report();
        assert_eq!((report.director_version, report.phase), (stored, Phase::Idle));
    }
    device = device.restart(&fleet, 9);
    assert_eq!(device.agent.state_report().director_version, stored);
    device.agent.storage().live().set_room(u64::MAX);
    device.update(&mut fleet, 2, 2);
    let newest = device.agent.state_report().director_version;
    device = device.restart(&fleet, 10);
    assert_eq!(device.agent.state_report().director_version, newest);
}

/// A new root that does not reach the medium is not the trusted one.
#[test]
fn a_root_that_cannot_be_stored_is_not_trusted() {
    let (mut fleet, mut device) = on(1);
    fleet.rotate_director(15);
    device.agent.storage().live().set_room(0);
    device.run(&mut fleet, 200);
    assert_eq!(device.agent.state_report().director_root_version, 1);
    device.agent.storage().live().set_room(u64::MAX);
    device.update(&mut fleet, 2, 3);
    device = device.restart(&fleet, 3);
    assert_eq!(device.agent.state_report().director_root_version, 2);
}

/// A rollout that is begun again under another name while its image is on the way: what comes of it is the new one's.
#[test]
fn a_rollout_begun_again_takes_the_goal_over() {
    let (mut fleet, mut device) = on(1);
    fleet.want(2, 2, Mode::Activate);
    fleet.fault(Kind::Image, Fault::Cut(700));
    assert!(device.run_till(&mut fleet, 60, |device, _| {
        device.agent.slots().incoming().is_some_and(|(_, n)| n > 0)
    }));
    fleet.want(2, 3, Mode::Activate);
    device.agent.handle(Input::Doorbell, device.now);
    device.update(&mut fleet, 2, 3);
    let active = device.agent.state_report().active.unwrap();
    assert_eq!(active.rollout.map(|rollout| rollout.0), Some(3));
    device.run(&mut fleet, 30);
    let of = |kind, rollout: u64| {
        fleet.seen.records.values().any(|record| match &record.body {
            RecordBody::Event(event) => {
                event.kind == kind && event.rollout.map(|rollout| rollout.0) == Some(rollout)
            }
            _ => false,
        })
    };
    for kind in [
        EventKind::Verified,
        EventKind::SelfTestPassed,
        EventKind::Activated,
        EventKind::Confirmed,
    ] {
        assert!(of(kind, 3) && !of(kind, 2), "{kind:?}");
    }
}

/// A rollout that is rolled back and begun again: the outcomes are evidence of the second one, whether the device has
/// gone back meanwhile, is still on trial with the image, or has kept it because it did not hear of the rollback.
#[test]
fn a_rollout_begun_again_is_compared_for() {
    let outcomes = |fleet: &Fleet, of: u64| -> usize {
        let records = fleet.seen.records.values();
        let counts = records.filter_map(|record| match &record.body {
            RecordBody::Paired {
                rollout,
                new,
                old,
                outcomes,
            } if (rollout.0, *new, *old) == (of, digest(2), digest(1)) => Some(outcomes.len()),
            _ => None,
        });
        counts.sum()
    };
    let check = |before: &dyn Fn(&mut Fleet, &mut Device)| {
        let (mut fleet, mut device) = on(1);
        before(&mut fleet, &mut device);
        fleet.want(2, 3, Mode::Activate);
        device.agent.handle(Input::Doorbell, device.now);
        assert!(device.run_till(&mut fleet, 600, |device, fleet| {
            device.is_confirmed_on(2) && outcomes(fleet, 3) >= 4
        }));
        let active = device.agent.state_report().active.unwrap();
        assert_eq!(active.rollout, Some(RolloutId(3)));
        device.run(&mut fleet, 100);
        let compared = outcomes(&fleet, 3);
        device.run(&mut fleet, 100);
        assert_eq!(outcomes(&fleet, 3), compared, "and only as many as are wanted");
        assert!(fleet.has_event(EventKind::Confirmed));
        fleet.check_telemetry();
    };
    check(&|fleet, device| {
        device.update(fleet, 2, 2);
        fleet.want(1, 2, Mode::Restore);
        assert!(device.run_till(fleet, 600, |device, _| device.is_confirmed_on(1)));
    });
    check(&|fleet, device| {
        device.update(fleet, 2, 2);
        device.run(fleet, 100);
    });
    check(&|fleet, device| {
        fleet.want(2, 2, Mode::Activate);
        let on_trial = |device: &Device, _: &Fleet| device.answers_from == Some(digest(2));
        assert!(device.run_till(fleet, 600, on_trial) && !device.is_confirmed_on(2));
    });
}

/// A control device that runs the base already goes on running it, and compares nothing.
#[test]
fn a_control_device_compares_nothing() {
    let (mut fleet, mut device) = on(1);
    device.update(&mut fleet, 2, 2);
    device.run(&mut fleet, 100);
    fleet.control = true;
    fleet.want(2, 3, Mode::Activate);
    device.run(&mut fleet, 100);
    assert!(device.serving.beside.is_none() && device.is_confirmed_on(2));
    let active = device.agent.state_report().active.unwrap();
    assert_eq!(active.rollout, Some(RolloutId(2)));
}

/// The same under a self-test: its outcome is noted under the rollout that asks now, and a refusal holds for that one.
#[test]
fn a_rollout_begun_again_takes_a_self_test_over() {
    let (mut fleet, mut device) = on(1);
    device.slow_self_test = true;
    fleet.want(2, 2, Mode::Activate);
    let testing = |device: &Device| device.agent.state_report().phase == Phase::SelfTest;
    assert!(device.run_till(&mut fleet, 200, |device, _| testing(device)));
    fleet.want(2, 3, Mode::Activate);
    device.agent.handle(Input::Doorbell, device.now);
    device.run(&mut fleet, 30);
    let (image, outcome) = (digest(2), Err("golden vector 1 differs".into()));
    let failed = Input::SelfTested { image, outcome };
    device.agent.handle(failed, device.now);
    let journal = device.agent.slots().journal();
    assert!(journal.is_rejected(&image, Some(RolloutId(3))));
    assert!(!journal.is_rejected(&image, Some(RolloutId(2))));
}

/// Outcomes come after the agent has told the host to serve something else: they keep their names, and prove nothing of
/// the image that serves now.
#[test]
fn late_outcomes_belong_to_the_images_that_gave_them() {
    let (mut fleet, mut device) = on(1);
    device.update(&mut fleet, 2, 2);
    fleet.want(3, 3, Mode::Activate);
    assert!(device.run_till(&mut fleet, 200, |device, _| device.answers_from
        == Some(digest(3))));
    let late = Paired {
        rollout: RolloutId(2),
        new: digest(2),
        old: digest(1),
        outcomes: (0..5_000)
            .map(|unit| PairedOutcome { unit, agree: false })
            .collect(),
    };
    device.agent.handle(Input::Paired(late), device.now);
    assert!(
        device.serving.beside.is_some(),
        "the comparison of the image on trial goes on"
    );
    device.run(&mut fleet, 60);
    let disagree = |n: u8, of: u64| {
        let records = fleet.seen.records.values();
        let outcomes = records.filter_map(|record| match &record.body {
            RecordBody::Paired {
                rollout,
                new,
                outcomes,
                ..
            } if (rollout.0, *new) == (of, digest(n)) => Some(outcomes),
            _ => None,
        });
        outcomes.flatten().filter(|outcome| !outcome.agree).count()
    };
    assert_eq!((disagree(2, 2), disagree(3, 3)), (5_000, 0));
}

/// A host that takes no actions for a day costs a bounded amount of memory.
#[test]
fn actions_that_nobody_takes_are_bounded() {
    let (_, mut device) = on(1);
    for second in 0..86_400 {
        let now = Now {
            unix_s: device.now.unix_s + second,
            uptime_ms: device.now.uptime_ms + second * 1_000,
        };
        device.agent.handle(Input::Tick, now);
    }
    let mut waiting = Vec::new();
    while let Some(action) = device.agent.poll_action() {
        waiting.push(action);
    }
    assert!(waiting.len() <= 256, "{}", waiting.len());
    let todo = waiting
        .iter()
        .filter(|action| !matches!(action, Action::Report(_)));
    assert!(todo.count() <= 5);
}

/// The power fails at storage operation `cut_at` of an update; of the media that may be left, one is picked and the
/// device switched on again on it. Whether the update was done before the cut.
fn cut_power(base: &Device, base_fleet: &Fleet, held: &MemoryStorage, cut_at: usize, pick: usize) -> bool {
    let mut fleet = fleet(&[1, 2, 3, 4]);
    fleet.key = base_fleet.key.clone();
    fleet.director_version = 1_000;
    fleet.now = base.now.unix_s;
    fleet.publish();
    fleet.want(2, 2, Mode::Activate);
    let medium = FaultyStorage::new(held.clone(), Some(cut_at));
    let config = Device::config(&fleet);
    let (mut done, mut now) = (false, base.now);
    if let Ok(mut device) = Device::start(medium.clone(), config.clone(), base.now, 5) {
        device.run_till(&mut fleet, 120, |device, _| {
            medium.is_cut() || device.is_confirmed_on(2)
        });
        (done, now) = (!medium.is_cut(), device.now);
    }
    let survivors = medium.survivors();
    let survivor = survivors[pick * (survivors.len() - 1) / 2].clone();
    let mut device = Device::start(FaultyStorage::new(survivor, None), config, now, 50).unwrap();
    let serves = device.agent.state_report().active.unwrap().digest;
    assert!(serves == digest(1) || serves == digest(2));
    let healed = device.run_till(&mut fleet, 300, |device, _| device.is_confirmed_on(2));
    assert!(healed, "cut at {cut_at}: {:#?}", device.reports);
    assert_eq!(fleet.seen.contradictions, 0, "cut at {cut_at}");
    done
}

#[test]
fn power_cuts_during_an_update_cost_time_and_nothing_else() {
    let (mut base_fleet, mut base) = on(1);
    base.run(&mut base_fleet, 5);
    let held = base.agent.storage().live().clone();
    for pick in 0..3 {
        let cuts = (pick..)
            .step_by(3)
            .take_while(|&cut_at| !cut_power(&base, &base_fleet, &held, cut_at, pick));
        let cuts = cuts.count();
        assert!(cuts > 15, "{cuts} cuts");
    }
}

#[test]
fn reports_say_what_a_person_can_act_on() {
    let (mut fleet, mut device) = on(1);
    device.reports.clear();
    fleet.fault(Kind::CheckIn, Fault::Status(401));
    device.run(&mut fleet, 30);
    let words: Vec<String> = device
        .reports
        .iter()
        .filter_map(|report| {
            if let Report::Trouble(trouble) = report {
                Some(trouble.to_string())
            } else {
                None
            }
        })
        .collect();
    assert!(
        words
            .iter()
            .any(|words| words.contains("401") && words.contains("clocks")),
        "{words:?}"
    );
    assert_eq!(image(1).len(), 5_000);
}
