//! A check-in, in the writer's transaction: state, director version, telemetry, and what is counted from it.

use super::batch::{StateRow, TelemetryRow};
use super::counting::{MAX_EVENTS, MORE_EVENTS, Room, count, put_failure};
use super::rows::{Columns, Named, bits, from_bits};
use super::writer::Progress;
use crate::{CheckInStored, CheckInWrite, Desired, StoreError};
use sanderling_wire::{DeviceId, Digest};
use sqlx::SqliteConnection;

/// Outboxes that one device may begin. A new one means that it lost its state folder.
const MAX_INCARNATIONS: i64 = 64;
/// A device that reports a director version above this lies: no server allocates so many.
const MAX_DIRECTOR_VERSION: u64 = 1 << 48;

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
                (SELECT GROUP_CONCAT(HEX(v.image), '') FROM serving v WHERE v.device = ?1) AS images, \
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
    let room = Room {
        images: images(row.field::<Option<&str>>("images")?.unwrap_or_default())?,
        events: u32::try_from(row.uint("events")?).unwrap_or(u32::MAX),
    };
    Ok(Before {
        incarnation: write.check_in.incarnation,
        desired: super::read::desired(&row)?,
        state,
        next,
        room,
    })
}

/// Hashes written one after the other in hexadecimal.
fn images(text: &str) -> Result<Vec<Digest>, StoreError> {
    let one = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse().ok();
    let all = text.as_bytes().chunks(64).map(one).collect::<Option<_>>();
    all.ok_or(StoreError::Corrupt { what: "images" })
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
