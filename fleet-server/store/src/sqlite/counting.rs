//! What is counted from telemetry, in the check-in's transaction: sums by image, paired outcomes, events, failures.
//!
//! All of it is bounded by device or by rollout: a device may say what it likes.

use super::rows::{Named, bits, int};
use super::writer::Progress;
use crate::CheckInWrite;
use sanderling_wire::{DeviceId, Digest, Event, EventKind, PairedOutcome, Record, RecordBody, RolloutId};
use sqlx::{Row, SqliteConnection};

/// Distinct inputs counted for a rollout: beyond, more say nothing that the gates do not know.
const MAX_PAIRED_INPUTS: i64 = 1_000_000;
/// Images of which a device's answers are summed: it cannot fill the table with images that nobody knows. Beyond, the one
/// whose answers were reported longest ago goes.
const MAX_IMAGES: u32 = 64;
/// Newest events kept of a device.
pub(super) const MAX_EVENTS: u32 = 1000;
/// Events beyond these that a device may have before the oldest go, so that they go many at a time.
pub(super) const MORE_EVENTS: u32 = 100;

/// Events by which a device fails its rollout.
const FAILURES: [EventKind; 3] = [
    EventKind::SelfTestFailed,
    EventKind::CrashLoop,
    EventKind::FellBack,
];

/// How much is stored of a device in tables that grow.
#[derive(Debug, Clone, Default)]
pub(super) struct Room {
    /// Images whose answers are summed.
    pub(super) images: Vec<Digest>,
    pub(super) events: u32,
}

/// Counts what a new record says.
pub(super) async fn count(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    write: &CheckInWrite,
    record: &Record,
    room: &mut Room,
) -> Result<(), sqlx::Error> {
    match &record.body {
        RecordBody::Serving(window) => {
            make_room_for(connection, progress, write.device, window.image, room).await?;
            progress
                .batch
                .serving
                .push((write.device, write.now, window.clone()));
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

/// Sees to it that answers of an image can be summed: at the bound, the sums longest unused go.
async fn make_room_for(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    device: DeviceId,
    image: Digest,
    room: &mut Room,
) -> Result<(), sqlx::Error> {
    if room.images.contains(&image) {
        return Ok(());
    }
    if room.images.len() >= MAX_IMAGES as usize {
        // What was reported just now was used just now.
        progress.batch.flush_serving(connection).await?;
        let gone = sqlx::query(
            "DELETE FROM serving WHERE device = ?1 AND image NOT IN \
             (SELECT image FROM serving WHERE device = ?1 ORDER BY used DESC, image LIMIT ?2) RETURNING image",
        )
        .bind(&device.0[..])
        .bind(i64::from(MAX_IMAGES - 1))
        .fetch_all(&mut *connection)
        .await?;
        for row in gone {
            let image: &[u8] = row.try_get("image")?;
            room.images.retain(|kept| kept.0 != *image);
        }
    }
    room.images.push(image);
    Ok(())
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
pub(super) async fn put_failure(
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
