use super::*;
use crate::journal::forge_checksum;
use alloc::vec::Vec;
use proptest::prelude::*;
use sanderling_wire::{Digest, Event, EventKind, RecordBody, RolloutId};

fn image(n: u8) -> Image {
    Image {
        digest: Digest([n; 32]),
        length: 10,
        release: u64::from(n / 3),
        rollout: Some(RolloutId(n.into())),
    }
}

/// One of the journal's transitions by number; those that do not apply leave the record as it is.
fn apply(journal: &Journal, kind: u8, n: u8) -> Journal {
    let slot = if n.is_multiple_of(2) { Slot::A } else { Slot::B };
    let next = match kind {
        0 => journal.begin_download(image(n)),
        1 => journal.progress(slot, 10),
        2 => journal.verified(slot),
        3 => Ok(journal.abandon(slot)),
        4 => journal.begin_self_test(slot),
        5 => journal.self_tested(slot),
        6 => Ok(journal.reject(slot)),
        7 => journal.activate(slot, 5),
        8 => journal.roll_back(slot),
        9 => journal.confirm(),
        10 => journal.fall_back(),
        11 => Ok(journal.booted()),
        15 => Ok(journal.rested()),
        12 => journal.reserve(u64::from(n), 1 << n, 1_000),
        13 => journal.adopt(slot, image(n)),
        _ => journal.roll_back_to_factory(),
    };
    next.unwrap_or_else(|_| journal.clone())
}

proptest! {
    #[test]
    fn no_order_of_transitions_loses_what_serves(steps in proptest::collection::vec((0u8..16, 0u8..9), 0..80)) {
        let mut journal = Journal { factory: Some(Image { release: 0, ..image(0) }), ..Journal::default() };
        journal.serving = Some(Place::Factory);
        for (kind, n) in steps {
            let next = apply(&journal, kind, n);
            // What serves is whole. It goes away only by leaving a trial with nothing left at or above the floor.
            match next.serving {
                Some(_) => prop_assert!(next.serving().is_some()),
                None => prop_assert!(journal.serving.is_none() || kind == 10),
            }
            if next.serving.is_none() && journal.serving.is_some() {
                prop_assert!(journal.standby().is_none());
            }
            prop_assert!(next.release_floor >= journal.release_floor);
            prop_assert!(next.budget.day >= journal.budget.day);
            prop_assert!(next.budget.day > journal.budget.day || next.budget.spent >= journal.budget.spent);
            prop_assert!(next.budget.spent <= 1_000);
            // On trial there is always a whole image that is not the one on trial, unless there never was one.
            if let (Some(_), Some(at)) = (next.trial, next.serving()) {
                prop_assert!(next.standby() != Some(at));
            }
            prop_assert!(next.rejected.len() <= MAX_REJECTED);
            journal = next;
        }
    }

    #[test]
    fn reading_a_page_is_total(bytes in proptest::collection::vec(any::<u8>(), PAGE_LEN), forge in any::<bool>()) {
        let mut page = [0; PAGE_LEN];
        page.copy_from_slice(&bytes);
        if forge {
            page[..6].copy_from_slice(b"SDLJ\x01\x00");
            page[16..18].copy_from_slice(&[0, 0]);
            forge_checksum(&mut page);
        }
        let _ = Journal::decode(&page);
    }
}

/// The largest record fits a page.
#[test]
fn the_largest_record_fits() {
    let most = Image {
        digest: Digest([255; 32]),
        length: u64::MAX,
        release: u64::MAX,
        rollout: Some(RolloutId(u64::MAX)),
    };
    let held = SlotState::Held {
        image: most,
        grade: Grade::Testing { attempts: 255 },
    };
    let rejected = Rejected {
        digest: most.digest,
        rollout: most.rollout,
    };
    let journal = Journal {
        serving: Some(Place::Slot(Slot::B)),
        trial: Some(Trial {
            started: u64::MAX,
            boots: 255,
        }),
        slots: [held, held],
        factory: Some(most),
        rejected: (0..MAX_REJECTED).map(|_| rejected).collect::<Vec<_>>(),
        budget: Budget {
            day: u64::MAX,
            spent: u64::MAX,
        },
        release_floor: u64::MAX,
        acknowledged: u64::MAX,
        dropped_records: u64::MAX,
        boots: u64::MAX,
    };
    let page = journal.encode(u64::MAX).unwrap();
    assert_eq!(Journal::decode(&page), Some((u64::MAX, journal)));
}

/// A flip to bytes that changed after they were verified is refused, and the slot given up.
#[test]
fn what_was_verified_is_what_is_served() {
    let bytes = [7u8; 100];
    let image = Image {
        digest: Digest::of(&bytes),
        length: 100,
        release: 0,
        rollout: None,
    };
    let mut slots = Slots::open(MemoryStorage::new(1_000, 4_000), 1).unwrap();
    slots.boot(3).unwrap();
    slots.begin_download(image).unwrap();
    slots.write(&bytes).unwrap();
    assert_eq!(slots.write(&[0]), Err(SlotsError::TooLong { length: 100 }));
    slots.finish().unwrap();
    slots.begin_self_test(Slot::A).unwrap();
    slots.self_tested(Slot::A).unwrap();
    slots.storage().bytes_mut(Region::Slot(Slot::A))[5] = 0;
    assert!(matches!(
        slots.activate(Slot::A, 0),
        Err(SlotsError::WrongBytes { .. })
    ));
    assert_eq!(slots.journal().slot(Slot::A), &SlotState::Empty);
    assert!(slots.journal().serving().is_none());
}

/// An image whose self-test kills the process is refused after two tries, and one that keeps crashing is left.
#[test]
fn a_start_counts_what_killed_the_last_one() {
    let bytes = [7u8; 100];
    let image = Image {
        digest: Digest::of(&bytes),
        length: 100,
        release: 0,
        rollout: Some(RolloutId(1)),
    };
    let storage = MemoryStorage::new(1_000, 4_000).with_factory([1; 50].to_vec());
    let mut slots = Slots::open(storage, 1).unwrap();
    slots.boot(3).unwrap();
    let fetch = |slots: &mut Slots<MemoryStorage>| {
        slots.begin_download(image).unwrap();
        slots.write(&bytes).unwrap();
        slots.finish().unwrap();
    };
    fetch(&mut slots);
    for _ in 0..MAX_SELF_TEST_ATTEMPTS {
        slots.begin_self_test(Slot::A).unwrap();
        slots = Slots::open(slots.into_storage(), 2).unwrap();
    }
    let at = ImageAt {
        place: Place::Slot(Slot::A),
        image,
    };
    assert_eq!(slots.boot(3).unwrap().notes, [BootNote::SelfTestDied(at)]);
    assert!(slots.journal().is_rejected(&image.digest, image.rollout));

    fetch(&mut slots);
    slots.begin_self_test(Slot::A).unwrap();
    slots.self_tested(Slot::A).unwrap();
    slots.activate(Slot::A, 9).unwrap();
    let mut served = Vec::new();
    for _ in 0..3 {
        slots = Slots::open(slots.into_storage(), 2).unwrap();
        served.push(slots.boot(3).unwrap().serving.unwrap().place);
    }
    assert_eq!(
        served,
        [Place::Slot(Slot::A), Place::Slot(Slot::A), Place::Factory]
    );
    assert!(slots.journal().trial.is_none());
}

fn event(n: u64) -> RecordBody {
    RecordBody::Event(Event {
        kind: EventKind::Started,
        image: None,
        rollout: None,
        detail: alloc::format!("{n}"),
    })
}

/// A medium with three records, the first two acknowledged and the mark on it.
fn three_records() -> MemoryStorage {
    let mut slots = Slots::open(MemoryStorage::new(1_000, 4_000), 1).unwrap();
    for n in 0..3 {
        slots.push_record(n, event(n)).unwrap();
    }
    slots.sync_outbox().unwrap();
    slots.acknowledge(2, 9).unwrap();
    slots.count_dropped(1).unwrap();
    slots.into_storage()
}

/// Numbers that the server has are never given to other records: a lost record ends the outbox's life.
#[test]
fn records_lost_on_the_medium_begin_a_new_incarnation() {
    let whole = Slots::open(three_records(), 2).unwrap();
    assert_eq!((whole.outbox().incarnation(), whole.outbox().waiting()), (1, 1));

    let mut medium = three_records();
    // In the first frame's checksum, after the half's head of 28 bytes.
    medium.bytes_mut(Region::Outbox(Page::Zero))[28 + 6] ^= 1;
    let mut slots = Slots::open(medium, 2).unwrap();
    assert_eq!(slots.outbox().incarnation(), 2);
    assert_eq!(slots.journal().dropped_records, 2);
    assert_eq!(slots.push_record(7, event(7)), Ok(0));
    slots.sync_outbox().unwrap();
    // The mark of the life before is gone, too: the next start acknowledges nothing of this one.
    let again = Slots::open(slots.into_storage(), 3).unwrap();
    assert_eq!((again.outbox().incarnation(), again.outbox().waiting()), (2, 1));
    assert_eq!(again.journal().dropped_records, 2);
}

/// An older copy of the medium was put back: its numbers were used for records that the server has.
#[test]
fn a_server_that_knows_more_records_begins_a_new_incarnation() {
    let mut slots = Slots::open(three_records(), 2).unwrap();
    slots.acknowledge(3, 5).unwrap();
    assert_eq!((slots.outbox().incarnation(), slots.outbox().waiting()), (1, 0));
    slots.push_record(8, event(8)).unwrap();
    slots.acknowledge(40, 5).unwrap();
    assert_eq!((slots.outbox().incarnation(), slots.outbox().waiting()), (5, 0));
    assert_eq!(slots.journal().dropped_records, 2);
    assert_eq!(slots.push_record(9, event(9)), Ok(0));
}
