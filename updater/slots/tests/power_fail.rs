//! Power fails at every storage operation of every scenario, and again at every operation of each recovery.
//!
//! A scenario is a row of calls on [`Slots`]. While it runs, a [`Ledger`] notes what each returned call promised.
//! The power is cut at operation 0, 1, 2, …; every medium that may be found then is opened again and held against
//! the ledger. The recovery is cut in the same way. At the end the same calls, with the mutations of
//! `sim::Mutation`, show that the test can fail.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

use sanderling_slots::sim::{FaultyStorage, Mutation};
use sanderling_slots::{
    Boot, Image, MemoryStorage, Place, Region, Slot, SlotState, Slots, SlotsError, StorageError,
};
use sanderling_wire::{Digest, Event, EventKind, RecordBody, RolloutId};
use std::collections::BTreeMap;

type Medium = FaultyStorage<MemoryStorage>;

const CHUNK: usize = 700;
const BUDGET: u64 = 1 << 20;

/// The bytes of version `n`; version 0 is the factory's.
fn bytes_of(n: u8) -> Vec<u8> {
    (0..2_500u32)
        .map(|i| (i.wrapping_mul(31) >> 3) as u8 ^ n.wrapping_mul(37))
        .collect()
}

fn image(n: u8) -> Image {
    let bytes = bytes_of(n);
    let rollout = (n > 0).then_some(RolloutId(n.into()));
    Image {
        digest: Digest::of(&bytes),
        length: bytes.len() as u64,
        release: u64::from(n / 4),
        rollout,
    }
}

fn medium() -> MemoryStorage {
    MemoryStorage::new(3_000, 400)
}

fn event(n: u64) -> RecordBody {
    let detail = format!("event {n}");
    RecordBody::Event(Event {
        kind: EventKind::Started,
        image: None,
        rollout: None,
        detail,
    })
}

/// What was promised so far.
#[derive(Clone, Default)]
struct Ledger {
    /// Versions that the device may answer from, and whether it must have one.
    may_serve: Vec<u8>,
    must_serve: bool,
    spent: u64,
    floor: u64,
    /// Incarnation and the texts of records that were synced, by sequence number.
    incarnation: Option<u64>,
    synced: BTreeMap<u64, String>,
    pushed: BTreeMap<u64, String>,
    acknowledged: u64,
    dropped: u64,
}

impl Ledger {
    fn serves(&mut self, n: u8) {
        (self.may_serve, self.must_serve) = (vec![n], true);
    }
}

type Scenario = fn(&mut Slots<Medium>, &mut Ledger) -> Result<(), SlotsError>;

fn push(slots: &mut Slots<Medium>, ledger: &mut Ledger, n: u64) -> Result<(), SlotsError> {
    let before = slots.journal().dropped_records;
    let result = slots.push_record(n, event(n));
    // Even a push that failed may have dropped older ones; both counts are in the journal.
    ledger.dropped += slots.journal().dropped_records - before;
    ledger.pushed.insert(result?, format!("event {n}"));
    Ok(())
}

fn sync(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    slots.sync_outbox()?;
    ledger.incarnation = Some(slots.outbox().incarnation());
    ledger.synced.append(&mut ledger.pushed);
    Ok(())
}

fn download(slots: &mut Slots<Medium>, ledger: &mut Ledger, n: u8) -> Result<Slot, SlotsError> {
    let image = image(n);
    let slot = slots.journal().inactive();
    if slots
        .journal()
        .held(Place::Slot(slot))
        .is_some_and(|at| at.image.digest == image.digest)
    {
        return Ok(slot);
    }
    let at = slots.begin_download(image)?;
    for (i, chunk) in bytes_of(n)[at as usize..].chunks(CHUNK).enumerate() {
        slots.reserve(20_000, chunk.len() as u64, BUDGET)?;
        ledger.spent = slots.journal().budget.spent;
        slots.write(chunk)?;
        if i % 2 == 1 {
            slots.checkpoint()?;
        }
    }
    slots.finish()?;
    Ok(slot)
}

/// Brings the device to version `n`, from wherever it is.
fn update(slots: &mut Slots<Medium>, ledger: &mut Ledger, n: u8) -> Result<(), SlotsError> {
    let on = |slots: &Slots<Medium>| slots.journal().serving().map(|at| at.image.digest);
    if on(slots) != Some(image(n).digest) {
        let slot = download(slots, ledger, n)?;
        slots.begin_self_test(slot)?;
        slots.self_tested(slot)?;
        ledger.may_serve.push(n);
        slots.activate(slot, 1_000)?;
        ledger.serves(n);
    }
    if slots.journal().trial.is_some() {
        slots.healthy()?;
        slots.confirm()?;
        ledger.floor = ledger.floor.max(image(n).release);
    }
    Ok(())
}

fn install(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    update(slots, ledger, 1)
}

fn update_twice(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    if slots
        .journal()
        .serving()
        .is_none_or(|at| at.image.digest != image(5).digest)
    {
        update(slots, ledger, 2)?;
    }
    update(slots, ledger, 5)
}

fn roll_back(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    let standby = slots.journal().standby().map(|at| at.image.digest);
    if standby == Some(image(2).digest) {
        return Ok(());
    }
    update(slots, ledger, 2)?;
    ledger.may_serve.push(1);
    slots.roll_back()?;
    ledger.serves(1);
    Ok(())
}

fn fall_back(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    if slots.journal().is_rejected(&image(3).digest, image(3).rollout) {
        return Ok(());
    }
    if slots.journal().trial.is_none() {
        let slot = download(slots, ledger, 3)?;
        slots.begin_self_test(slot)?;
        slots.self_tested(slot)?;
        ledger.may_serve.push(3);
        slots.activate(slot, 1_000)?;
        ledger.serves(3);
    }
    ledger.may_serve = vec![3, 1];
    slots.fall_back()?;
    ledger.serves(1);
    Ok(())
}

fn refuse(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    if slots.journal().is_rejected(&image(3).digest, image(3).rollout) {
        return Ok(());
    }
    let slot = download(slots, ledger, 3)?;
    slots.begin_self_test(slot)?;
    slots.reject(slot)
}

fn full_disk(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    if slots
        .journal()
        .serving()
        .is_some_and(|at| at.image.digest == image(2).digest)
    {
        return update(slots, ledger, 2);
    }
    let at = slots.begin_download(image(2))?;
    slots.storage().live().set_room(4_900);
    let mut full = false;
    for chunk in bytes_of(2)[at as usize..].chunks(CHUNK) {
        match slots.write(chunk).and_then(|()| slots.checkpoint()) {
            Err(SlotsError::Storage(StorageError::Full { .. })) => full = true,
            other => other?,
        }
        if full {
            break;
        }
    }
    slots.storage().live().set_room(u64::MAX);
    assert!(full || at == 2_500);
    push(slots, ledger, 0)?;
    update(slots, ledger, 2)
}

fn telemetry(slots: &mut Slots<Medium>, ledger: &mut Ledger) -> Result<(), SlotsError> {
    for n in 0..25 {
        push(slots, ledger, n)?;
        if n % 3 == 2 {
            sync(slots, ledger)?;
        }
        if n % 5 == 4 {
            let batch = slots.batch(3, 1_000)?;
            sync(slots, ledger)?;
            if let Some(last) = batch.records.last() {
                slots.acknowledge(last.sequence + 1, 0)?;
                ledger.acknowledged = last.sequence + 1;
            }
        }
    }
    Ok(())
}

/// (name, versions installed before, whether there is a factory image, what happens, whether it can be repeated).
const SCENARIOS: &[(&str, &[u8], bool, Scenario)] = &[
    ("first install", &[], false, install),
    ("first install over a factory image", &[], true, install),
    ("update", &[1], false, update_twice),
    ("rollback", &[1], false, roll_back),
    ("fall back by itself", &[1], true, fall_back),
    ("self-test refuses", &[1], false, refuse),
    ("full disk", &[1], false, full_disk),
    ("telemetry", &[1], false, telemetry),
];

fn start(medium: Medium, incarnation: u64) -> Result<(Slots<Medium>, Boot), SlotsError> {
    let mut slots = Slots::open(medium, incarnation)?;
    let boot = slots.boot(200)?;
    Ok((slots, boot))
}

fn prepare(versions: &[u8], factory: bool) -> MemoryStorage {
    let storage = if factory {
        medium().with_factory(bytes_of(0))
    } else {
        medium()
    };
    let (mut slots, _) = start(FaultyStorage::new(storage, None), 77).unwrap();
    for &n in versions {
        update(&mut slots, &mut Ledger::default(), n).unwrap();
    }
    slots.into_storage().live().clone()
}

/// Holds an opened medium against the ledger.
fn check(slots: &mut Slots<Medium>, boot: &Boot, ledger: &Ledger) -> Result<(), String> {
    let version = |digest: &Digest| (0..=9).find(|&n| image(n).digest == *digest);
    match &boot.serving {
        None if !ledger.must_serve => {}
        None => return Err(format!("no model, {:?} may be served", ledger.may_serve)),
        Some(at) => {
            let n = version(&at.image.digest).ok_or("an image that never was")?;
            let region = sanderling_slots::region_of(at.place);
            let held = slots.storage().live().bytes(region)[..at.image.length as usize].to_vec();
            if held != bytes_of(n) {
                return Err(format!("serves damaged bytes as version {n}"));
            }
            if !ledger.may_serve.is_empty() && !ledger.may_serve.contains(&n) {
                return Err(format!("serves version {n}, {:?} may be", ledger.may_serve));
            }
        }
    }
    for slot in [Slot::A, Slot::B] {
        let (image, whole) = match *slots.journal().slot(slot) {
            SlotState::Empty => continue,
            SlotState::Filling { image, written } => (image, written),
            SlotState::Held { image, .. } => (image, image.length),
        };
        let n = version(&image.digest).ok_or("a slot with an image that never was")?;
        let held = slots
            .storage()
            .live()
            .bytes(Region::Slot(slot))
            .get(..whole as usize)
            .map(<[u8]>::to_vec);
        if held.as_deref() != bytes_of(n).get(..whole as usize) {
            return Err(format!(
                "slot {slot} claims {whole} bytes of version {n} that it has not"
            ));
        }
    }
    if slots.journal().budget.spent < ledger.spent {
        return Err(format!(
            "budget went back to {} from {}",
            slots.journal().budget.spent,
            ledger.spent
        ));
    }
    if slots.journal().release_floor < ledger.floor {
        return Err("release floor went back".into());
    }
    check_outbox(slots, ledger)
}

fn check_outbox(slots: &mut Slots<Medium>, ledger: &Ledger) -> Result<(), String> {
    let records = slots.batch(1_000, 1 << 20).map_err(|e| e.to_string())?.records;
    let text = |body: &RecordBody| match body {
        RecordBody::Event(event) => event.detail.clone(),
        _ => String::new(),
    };
    let found: BTreeMap<u64, String> = records.iter().map(|r| (r.sequence, text(&r.body))).collect();
    if let Some(incarnation) = ledger.incarnation
        && slots.outbox().incarnation() != incarnation
    {
        return Err("the outbox began anew though records were synced".into());
    }
    let mut missing = 0;
    for (sequence, text) in ledger.synced.iter().filter(|(s, _)| **s >= ledger.acknowledged) {
        match found.get(sequence) {
            Some(same) if same == text => {}
            Some(other) => return Err(format!("record {sequence} was {text:?} and is {other:?}")),
            None => missing += 1,
        }
    }
    let dropped = slots.journal().dropped_records;
    if missing > dropped {
        return Err(format!(
            "{missing} synced records are gone, {dropped} were counted as dropped"
        ));
    }
    if slots.outbox().next_sequence() < ledger.synced.keys().last().map_or(0, |s| s + 1) {
        return Err("a sequence number would be used twice".into());
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    points: usize,
    media: usize,
}

/// Opens a medium after a cut, checks it, repeats the scenario to its end; then cuts the recovery too.
fn recover(
    found: &MemoryStorage,
    ledger: &Ledger,
    scenario: Scenario,
    mutation: Option<Mutation>,
    depth: usize,
    tally: &mut Tally,
) -> Result<(), String> {
    tally.media += 1;
    let wrap = |cut| FaultyStorage::new(found.clone(), cut).with_mutation(mutation);
    let (mut slots, boot) = start(wrap(None), 99).map_err(|e| format!("does not start: {e}"))?;
    check(&mut slots, &boot, ledger)?;
    let mut again = ledger.clone();
    again.pushed.clear();
    scenario(&mut slots, &mut again).map_err(|e| format!("does not go on: {e}"))?;
    if depth == 0 {
        return Ok(());
    }
    for cut_at in 0.. {
        let medium = wrap(Some(cut_at));
        let open = start(medium.clone(), 99).is_ok();
        tally.points += 1;
        for survivor in distinct(&medium) {
            recover(&survivor, ledger, scenario, mutation, depth - 1, tally)?;
        }
        if open {
            break;
        }
    }
    Ok(())
}

fn distinct(medium: &Medium) -> Vec<MemoryStorage> {
    let mut found: Vec<MemoryStorage> = Vec::new();
    for survivor in medium.survivors() {
        if !found.contains(&survivor) {
            found.push(survivor);
        }
    }
    found
}

fn sweep(
    name: &str,
    versions: &[u8],
    factory: bool,
    scenario: Scenario,
    mutation: Option<Mutation>,
    tally: &mut Tally,
) -> Result<(), String> {
    let base = prepare(versions, factory);
    for cut_at in 0.. {
        let mut ledger = Ledger::default();
        let first = versions.last().copied().or(factory.then_some(0));
        first.into_iter().for_each(|n| ledger.serves(n));
        let medium = FaultyStorage::new(base.clone(), Some(cut_at)).with_mutation(mutation);
        let started = start(medium.clone(), 99);
        let done = started
            .and_then(|(mut slots, _)| scenario(&mut slots, &mut ledger))
            .is_ok();
        if !done && !medium.is_cut() {
            return Err(format!("{name}: fails without a cut"));
        }
        tally.points += 1;
        for found in distinct(&medium) {
            recover(&found, &ledger, scenario, mutation, 1, tally)
                .map_err(|e| format!("{name}, cut at {cut_at}: {e}"))?;
        }
        if done {
            return Ok(());
        }
    }
    Ok(())
}

#[test]
fn every_cut_leaves_the_old_or_the_new_image_and_every_promise() {
    let mut tally = Tally::default();
    for &(name, versions, factory, scenario) in SCENARIOS {
        sweep(name, versions, factory, scenario, None, &mut tally).unwrap();
    }
    println!(
        "{} fault points, {} media recovered, 0 broken",
        tally.points, tally.media
    );
    assert!(tally.points > 1_000, "{} fault points", tally.points);
}

/// The simulator can fail: each promise taken away is missed by some scenario.
#[test]
fn each_mutation_is_caught() {
    let all = [
        Mutation::NoSlotSync,
        Mutation::NoOutboxSync,
        Mutation::NoPageSync,
        Mutation::NoPageChecksum,
    ];
    for mutation in all {
        let caught = SCENARIOS.iter().find_map(|&(name, versions, factory, scenario)| {
            let sweep = || {
                sweep(
                    name,
                    versions,
                    factory,
                    scenario,
                    Some(mutation),
                    &mut Tally::default(),
                )
            };
            // A mutant may also break so badly that the scenario itself panics.
            std::panic::catch_unwind(sweep)
                .unwrap_or(Err("panics".into()))
                .err()
        });
        println!("{mutation:?}: {}", caught.as_deref().unwrap_or("not caught"));
        assert!(caught.is_some(), "{mutation:?} was not caught");
    }
}

/// Rot of either slot or both: the other intact image, the factory's, or a typed "no model".
#[test]
fn rot_leaves_an_intact_image_or_none() {
    for (rot, factory, expected) in [
        (&[Slot::B][..], false, Some(1)),
        (&[Slot::A][..], false, Some(2)),
        (&[Slot::A, Slot::B][..], true, Some(0)),
        (&[Slot::A, Slot::B][..], false, None),
    ] {
        let mut base = prepare(&[1, 2], factory);
        for &slot in rot {
            base.bytes_mut(Region::Slot(slot))[1_000] ^= 1;
        }
        let (slots, boot) = start(FaultyStorage::new(base, None), 1).unwrap();
        let served = boot
            .serving
            .map(|at| (0..3).find(|&n| image(n).digest == at.image.digest).unwrap());
        assert_eq!(served, expected, "{rot:?} {:?}", boot.notes);
        assert_eq!(slots.journal().serving().is_none(), expected.is_none());
    }
}

/// Both journal pages torn by rot: the device says so and starts anew rather than guessing.
#[test]
fn a_lost_journal_is_told_apart_from_a_new_device() {
    let mut base = prepare(&[1], false);
    for page in sanderling_slots::Page::BOTH {
        base.page_mut(page)[30] ^= 0xff;
    }
    let (mut slots, boot) = start(FaultyStorage::new(base, None), 1).unwrap();
    assert_eq!(boot.notes, [sanderling_slots::BootNote::JournalLost]);
    assert_eq!(boot.serving, None);
    assert_eq!(slots.roll_back(), Err(SlotsError::NoModel));
    install(&mut slots, &mut Ledger::default()).unwrap();
}
