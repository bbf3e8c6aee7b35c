//! A check-in, in the writer's transaction: state, director version, telemetry, and what is counted from it.

use super::batch::{StateRow, TelemetryRow};
use super::rows::{Columns, Named, bits, from_bits, int};
use super::writer::Progress;
use crate::{CheckInStored, CheckInWrite, Desired, StoreError};
use sanderling_wire::{DeviceId, Digest, Event, EventKind, PairedOutcome, Record, RecordBody, RolloutId};
use sqlx::{Row, SqliteConnection};

/// Outboxes that one device may begin. A new one means that it lost its state folder.
const MAX_INCARNATIONS: i64 = 64;
/// Distinct inputs counted for a rollout: beyond, more say nothing that the gates do not know.
const MAX_PAIRED_INPUTS: i64 = 1_000_000;
/// A device that reports a director version above this lies: no server allocates so many.
const MAX_DIRECTOR_VERSION: u64 = 1 << 48;

/// Images of which a device's answers are summed: it cannot fill the table with images that nobody knows.
const MAX_IMAGES: u32 = 64;
/// Newest events kept of a device.
const MAX_EVENTS: u32 = 1000;
/// Events beyond these that a device may have before the oldest go, so that they go many at a time.
const MORE_EVENTS: u32 = 100;

/// Events by which a device fails its rollout.
const FAILURES: [EventKind; 3] = [
    EventKind::SelfTestFailed,
    EventKind::CrashLoop,
    EventKind::FellBack,
];

/// A check-in with its bytes made, so that the writer need not.
#[derive(Debug)]
pub(super) struct Prepared {
    write: CheckInWrite,
    report: Vec<u8>,
    runtime: Vec<u8>,
    runtime_hash: Digest,
    bodies: Vec<Vec<u8>>,
}

impl Prepared {
    pub(super) fn new(mut write: CheckInWrite) -> Self {
        let state = &mut write.check_in.state;
        let runtime = sanderling_wire::encode(&state.runtime);
        state.runtime.operators = Vec::new();
        let report = sanderling_wire::encode(&*state);
        let bodies = write
            .check_in
            .records
            .iter()
            .map(sanderling_wire::encode)
            .collect();
        Self {
            report,
            runtime_hash: Digest::of(&runtime),
            runtime,
            bodies,
            write,
        }
    }
}

/// What is known of a device before a check-in. The writer keeps it from one to the next: nobody else writes it, and
/// changes to what devices are to run make it forget.
#[derive(Debug, Clone)]
pub(super) struct Before {
    incarnation: u64,
    desired: Option<Desired>,
    state: Option<StateBefore>,
    /// The high-water mark of this incarnation.
    next: Option<u64>,
    room: Room,
}

/// How much is stored of a device in tables that grow.
#[derive(Debug, Clone, Default)]
struct Room {
    /// Images whose answers are summed; those reported since the device was read may count twice.
    images: u32,
    /// Of these, those reported since the device was read.
    reported: Vec<Digest>,
    events: u32,
}

impl Room {
    /// Whether answers of an image are summed.
    fn has_image(&mut self, image: Digest) -> bool {
        if self.reported.contains(&image) {
            return true;
        }
        if self.images >= MAX_IMAGES {
            return false;
        }
        self.images += 1;
        self.reported.push(image);
        true
    }
}

#[derive(Debug, Clone)]
struct StateBefore {
    last_signed: u64,
    director_version: u64,
    minted_at: u64,
    minted_for: Vec<u8>,
    active: Option<Digest>,
    active_since: u64,
    runtime: Digest,
}

/// Devices that the writer remembers; beyond, it reads them again.
pub(super) const MAX_KNOWN: usize = 131_072;

/// Stores a check-in. Everything that can refuse it comes before the first write.
pub(super) async fn store(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    prepared: Prepared,
) -> Result<CheckInStored, StoreError> {
    let (device, incarnation) = (prepared.write.device, prepared.write.check_in.incarnation);
    let known = progress
        .known
        .get(&device)
        .filter(|before| before.incarnation == incarnation);
    let before = match known {
        Some(before) => before.clone(),
        None => {
            progress.batch.flush(connection).await?;
            load(connection, &prepared.write).await?
        }
    };
    if before.next.is_none() {
        check_incarnations(connection, device).await?;
    }
    let state = next_state(&before, &prepared);
    if before
        .state
        .as_ref()
        .is_none_or(|old| old.runtime != state.runtime)
    {
        put_runtime(connection, &prepared)
            .await
            .map_err(StoreError::database("storing a runtime"))?;
    }
    let (mut room, next) = (before.room, before.next.unwrap_or(0));
    let (acknowledged, fresh) = take_records(connection, progress, &prepared, next, &mut room)
        .await
        .map_err(StoreError::database("storing telemetry"))?;
    if before.next != Some(acknowledged) {
        progress.batch.marks.push((device, incarnation, acknowledged));
    }
    if let Some(rollout) = before.desired.and_then(|desired| desired.rollout) {
        for metric in &prepared.write.failed_metrics {
            put_failure(connection, rollout, device, metric, prepared.write.now)
                .await
                .map_err(StoreError::database("storing evidence"))?;
        }
    }
    let stored = CheckInStored {
        desired: before.desired,
        director_version: state.director_version,
        minted_at: state.minted_at,
        acknowledged,
        fresh,
    };
    let after = Before {
        incarnation,
        desired: before.desired,
        state: Some(state.clone()),
        next: Some(acknowledged),
        room,
    };
    progress.known.insert(device, after);
    progress.batch.states.push(state_row(state, prepared));
    Ok(stored)
}

async fn load(connection: &mut SqliteConnection, write: &CheckInWrite) -> Result<Before, StoreError> {
    let row = sqlx::query(
        "SELECT d.decommissioned_at, s.last_signed, s.director_version, s.minted_at, s.minted_for, s.active, \
                s.active_since, s.runtime, w.digest, w.rollout, w.arm, w.mode, w.since, o.next, \
                (SELECT COUNT(*) FROM serving v WHERE v.device = ?1) AS images, \
                (SELECT COUNT(*) FROM (SELECT 1 FROM device_event e WHERE e.device = ?1 LIMIT ?3)) AS events \
         FROM device d LEFT JOIN device_state s ON s.device = d.id LEFT JOIN desired w ON w.device = d.id \
         LEFT JOIN outbox o ON o.device = d.id AND o.incarnation = ?2 WHERE d.id = ?1",
    )
    .bind(&write.device.0[..])
    .bind(bits(write.check_in.incarnation))
    .bind(i64::from(MAX_EVENTS + MORE_EVENTS))
    .fetch_optional(connection)
    .await
    .map_err(StoreError::database("reading a device"))?
    .ok_or(StoreError::UnknownDevice(write.device))?;
    if row.maybe_uint("decommissioned_at")?.is_some() {
        return Err(StoreError::Decommissioned(write.device));
    }
    let state = match row.maybe_uint("last_signed")? {
        None => None,
        Some(last_signed) => Some(StateBefore {
            last_signed,
            director_version: row.uint("director_version")?,
            minted_at: row.uint("minted_at")?,
            minted_for: row.field("minted_for")?,
            active: row.maybe_digest("active")?,
            active_since: row.uint("active_since")?,
            runtime: row.digest("runtime")?,
        }),
    };
    let next = row.field::<Option<i64>>("next")?.map(from_bits);
    let count = |name| Ok(u32::try_from(row.uint(name)?).unwrap_or(u32::MAX));
    let room = Room {
        images: count("images")?,
        events: count("events")?,
        reported: Vec::new(),
    };
    Ok(Before {
        incarnation: write.check_in.incarnation,
        desired: super::read::desired(&row)?,
        state,
        next,
        room,
    })
}

async fn check_incarnations(connection: &mut SqliteConnection, device: DeviceId) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM outbox WHERE device = ?1")
        .bind(&device.0[..])
        .fetch_one(connection)
        .await
        .map_err(StoreError::database("counting a device's outboxes"))?;
    if row.field::<i64>("n")? < MAX_INCARNATIONS {
        Ok(())
    } else {
        Err(StoreError::TooManyIncarnations {
            device,
            limit: MAX_INCARNATIONS,
        })
    }
}

/// The director version for this check-in: the held one while nothing has changed and it is fresh, else one more
/// than any the device can have seen. What the device reports counts, so that a server restored from an
/// old backup jumps past what it handed out before.
fn allocate(before: &Before, write: &CheckInWrite) -> (u64, u64, Vec<u8>) {
    let mut wanted = write.mint.epoch.0.to_vec();
    if let Some(desired) = before.desired {
        wanted.extend_from_slice(&desired.digest.0);
        wanted.extend_from_slice(&desired.rollout.map_or(0, |rollout| rollout.0).to_be_bytes());
        wanted.push(desired.arm.map_or(0, |arm| 1 + arm as u8));
        wanted.push(desired.mode as u8);
    }
    let reported = match write.check_in.state.director_version {
        version if version <= MAX_DIRECTOR_VERSION => version,
        _ => 0,
    };
    match &before.state {
        Some(state)
            if write.mint.held == Some(state.director_version)
                && state.minted_for == wanted
                && state.director_version >= reported
                && write.now < state.minted_at.saturating_add(write.mint.refresh_after_s) =>
        {
            (state.director_version, state.minted_at, wanted)
        }
        Some(state) => (state.director_version.max(reported) + 1, write.now, wanted),
        None => (reported + 1, write.now, wanted),
    }
}

/// What is known of the device after the check-in.
fn next_state(before: &Before, prepared: &Prepared) -> StateBefore {
    let write = &prepared.write;
    let (director_version, minted_at, minted_for) = allocate(before, write);
    let active = write.check_in.state.active.map(|active| active.digest);
    let old = before.state.as_ref();
    StateBefore {
        last_signed: old.map_or(0, |old| old.last_signed).max(write.signed_at),
        director_version,
        minted_at,
        minted_for,
        active,
        active_since: match old {
            Some(old) if old.active == active => old.active_since,
            _ => write.now,
        },
        runtime: prepared.runtime_hash,
    }
}

fn state_row(state: StateBefore, prepared: Prepared) -> StateRow {
    let write = &prepared.write;
    StateRow {
        device: write.device,
        last_seen: write.now,
        last_signed: state.last_signed,
        incarnation: write.check_in.incarnation,
        phase: write.check_in.state.phase.name(),
        active: state.active,
        active_since: state.active_since,
        report: prepared.report,
        runtime: state.runtime,
        director_version: state.director_version,
        minted_at: state.minted_at,
        minted_for: state.minted_for,
    }
}

async fn put_runtime(connection: &mut SqliteConnection, prepared: &Prepared) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO runtime_info (hash, info) VALUES (?1, ?2) ON CONFLICT DO NOTHING")
        .bind(&prepared.runtime_hash.0[..])
        .bind(&prepared.runtime[..])
        .execute(connection)
        .await
        .map(drop)
}

/// Takes the records at and above the high-water mark `next`; answers the new mark and how many records were new.
/// Records come in order of sequence; one that does not is a repeat.
async fn take_records(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    prepared: &Prepared,
    mut next: u64,
    room: &mut Room,
) -> Result<(u64, u32), sqlx::Error> {
    let write = &prepared.write;
    let mut fresh = 0;
    for (record, body) in write.check_in.records.iter().zip(&prepared.bodies) {
        // The last number is never used: the mark after it would not fit.
        if record.sequence < next || record.sequence == u64::MAX {
            continue;
        }
        next = record.sequence + 1;
        fresh += 1;
        progress.batch.telemetry.push(TelemetryRow {
            device: write.device,
            incarnation: write.check_in.incarnation,
            sequence: record.sequence,
            received: write.now,
            body: body.clone(),
        });
        count(connection, progress, write, record, room).await?;
    }
    Ok((next, fresh))
}

/// Counts what a new record says.
async fn count(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    write: &CheckInWrite,
    record: &Record,
    room: &mut Room,
) -> Result<(), sqlx::Error> {
    match &record.body {
        RecordBody::Serving(window) => {
            if room.has_image(window.image) {
                progress.batch.serving.push((write.device, window.clone()));
            }
            Ok(())
        }
        RecordBody::Paired {
            rollout,
            new,
            old,
            outcomes,
        } => count_paired(connection, write, *rollout, [new, old], outcomes).await,
        RecordBody::Event(event) => {
            put_event(connection, progress, write, record.time, event).await?;
            room.events += 1;
            if room.events > MAX_EVENTS + MORE_EVENTS {
                drop_old_events(connection, write.device).await?;
                room.events = MAX_EVENTS;
            }
            match event.rollout {
                Some(rollout) if FAILURES.contains(&event.kind) => {
                    put_failure(connection, rollout, write.device, &event.kind.name(), write.now).await
                }
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Counts outcomes of a device that the rollout did give the new version, between the versions it is about.
async fn count_paired(
    connection: &mut SqliteConnection,
    write: &CheckInWrite,
    rollout: RolloutId,
    [new, old]: [&Digest; 2],
    outcomes: &[PairedOutcome],
) -> Result<(), sqlx::Error> {
    let row = sqlx::query(
        "SELECT a.hardware, COALESCE((SELECT inputs FROM paired_count c WHERE c.rollout = r.id AND c.hardware = ''), 0) \
         AS inputs FROM assignment a JOIN rollout r ON r.id = a.rollout \
         WHERE a.rollout = ?1 AND a.device = ?2 AND a.target_at IS NOT NULL AND r.target = ?3 AND r.base = ?4",
    )
    .bind(int(rollout.0))
    .bind(&write.device.0[..])
    .bind(&new.0[..])
    .bind(&old.0[..])
    .fetch_optional(&mut *connection)
    .await?;
    let Some(row) = row else { return Ok(()) };
    let hardware: String = row.try_get("hardware")?;
    if row.try_get::<i64, _>("inputs")? >= MAX_PAIRED_INPUTS {
        return Ok(());
    }
    // (inputs, disagreements) that are new to the fleet, and to the device's class.
    let (mut fleet, mut class) = ((0, 0), (0, 0));
    for outcome in outcomes {
        let differs = i64::from(!outcome.agree);
        let known = sqlx::query("SELECT 1 FROM paired_outcome WHERE rollout = ?1 AND unit = ?2 LIMIT 1")
            .bind(int(rollout.0))
            .bind(bits(outcome.unit))
            .fetch_optional(&mut *connection)
            .await?;
        let inserted = sqlx::query(
            "INSERT INTO paired_outcome (rollout, unit, hardware, device, agree) VALUES (?1, ?2, ?3, ?4, ?5) \
             ON CONFLICT DO NOTHING",
        )
        .bind(int(rollout.0))
        .bind(bits(outcome.unit))
        .bind(&hardware[..])
        .bind(&write.device.0[..])
        .bind(outcome.agree)
        .execute(&mut *connection)
        .await?;
        if known.is_none() {
            fleet = (fleet.0 + 1, fleet.1 + differs);
        }
        if inserted.rows_affected() == 1 {
            class = (class.0 + 1, class.1 + differs);
        }
    }
    for (name, (inputs, disagreements)) in [("", fleet), (hardware.as_str(), class)] {
        if inputs > 0 {
            add_paired(connection, rollout, name, inputs, disagreements).await?;
        }
    }
    Ok(())
}

async fn add_paired(
    connection: &mut SqliteConnection,
    rollout: RolloutId,
    hardware: &str,
    inputs: i64,
    disagreements: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO paired_count (rollout, hardware, inputs, disagreements) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT DO UPDATE SET inputs = inputs + excluded.inputs, \
         disagreements = disagreements + excluded.disagreements",
    )
    .bind(int(rollout.0))
    .bind(hardware)
    .bind(inputs)
    .bind(disagreements)
    .execute(connection)
    .await
    .map(drop)
}

async fn put_event(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    write: &CheckInWrite,
    time: u64,
    event: &Event,
) -> Result<(), sqlx::Error> {
    let detail: String = event
        .detail
        .chars()
        .filter(|c| !c.is_control())
        .take(240)
        .collect();
    let done = sqlx::query(
        "INSERT INTO device_event (device, at, received, kind, image, rollout, detail) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(&write.device.0[..])
    .bind(int(time))
    .bind(int(write.now))
    .bind(event.kind.name())
    .bind(event.image.as_ref().map(|image| &image.0[..]))
    .bind(event.rollout.map(|rollout| int(rollout.0)))
    .bind(detail)
    .execute(connection)
    .await?;
    progress.heads.event = u64::try_from(done.last_insert_rowid()).unwrap_or(progress.heads.event);
    Ok(())
}

/// Leaves the newest events of a device.
async fn drop_old_events(connection: &mut SqliteConnection, device: DeviceId) -> Result<(), sqlx::Error> {
    sqlx::query(
        "DELETE FROM device_event WHERE device = ?1 AND id <= \
         (SELECT id FROM device_event WHERE device = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )
    .bind(&device.0[..])
    .bind(i64::from(MAX_EVENTS))
    .execute(connection)
    .await
    .map(drop)
}

/// Notes a device's first failure of a kind in a rollout that it is in.
async fn put_failure(
    connection: &mut SqliteConnection,
    rollout: RolloutId,
    device: DeviceId,
    kind: &str,
    now: u64,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO health (rollout, device, kind, at) SELECT a.rollout, a.device, ?3, ?4 FROM assignment a \
         WHERE a.rollout = ?1 AND a.device = ?2 ON CONFLICT DO NOTHING",
    )
    .bind(int(rollout.0))
    .bind(&device.0[..])
    .bind(kind)
    .bind(int(now))
    .execute(connection)
    .await
    .map(drop)
}
