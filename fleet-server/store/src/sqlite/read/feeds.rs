//! Feeds: device events, telemetry, the ledger.

use super::{Query, all, message, one};
use crate::ledger::Entry;
use crate::sqlite::rows::{Columns, Named, bits, int};
use crate::{DeviceEvent, StoreError};
use sanderling_wire::{DeviceId, EventKind, Record, RolloutId};
use sqlx::sqlite::SqliteRow;
use sqlx::{SqliteConnection, SqlitePool};

fn parse_event(row: &SqliteRow) -> Result<DeviceEvent, StoreError> {
    Ok(DeviceEvent {
        id: row.uint("id")?,
        device: row.device_id("device")?,
        at: row.uint("at")?,
        received: row.uint("received")?,
        kind: EventKind::from_name(row.field("kind")?, "kind")?,
        image: row.maybe_digest("image")?,
        rollout: row.maybe_rollout("rollout")?,
        detail: row.field("detail")?,
    })
}

/// Events after `after`, oldest first.
pub(in crate::sqlite) async fn events(
    pool: &SqlitePool,
    device: Option<DeviceId>,
    after: u64,
    limit: u32,
) -> Result<Vec<DeviceEvent>, StoreError> {
    let query = match device {
        Some(id) => {
            sqlx::query("SELECT * FROM device_event WHERE id > ?1 AND device = ?3 ORDER BY id LIMIT ?2")
                .bind(int(after))
                .bind(i64::from(limit))
                .bind(id.0.to_vec())
        }
        None => sqlx::query("SELECT * FROM device_event WHERE id > ?1 ORDER BY id LIMIT ?2")
            .bind(int(after))
            .bind(i64::from(limit)),
    };
    all(pool, "reading events", query, parse_event).await
}

/// The newest events, newest first.
pub(in crate::sqlite) async fn recent_events(
    pool: &SqlitePool,
    device: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<DeviceEvent>, StoreError> {
    let query = match device {
        Some(id) => sqlx::query("SELECT * FROM device_event WHERE device = ?2 ORDER BY id DESC LIMIT ?1")
            .bind(i64::from(limit))
            .bind(id.0.to_vec()),
        None => sqlx::query("SELECT * FROM device_event ORDER BY id DESC LIMIT ?1").bind(i64::from(limit)),
    };
    all(pool, "reading events", query, parse_event).await
}

/// Telemetry as it came.
pub(in crate::sqlite) async fn telemetry(
    pool: &SqlitePool,
    device: DeviceId,
    incarnation: u64,
    from: u64,
    limit: u32,
) -> Result<Vec<Record>, StoreError> {
    let query = sqlx::query(
        "SELECT body FROM telemetry WHERE device = ?1 AND incarnation = ?2 AND sequence >= ?3 ORDER BY sequence LIMIT ?4",
    )
    .bind(device.0.to_vec())
    .bind(bits(incarnation))
    .bind(bits(from))
    .bind(i64::from(limit));
    all(pool, "reading telemetry", query, |row| message(row, "body")).await
}

fn parse_entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    Ok(Entry {
        seq: row.uint("seq")?,
        rollout: row.maybe_rollout("rollout")?,
        at: row.uint("at")?,
        kind: row.field("kind")?,
        body: row.field("body")?,
        previous: row.digest("previous")?,
        rollout_previous: row.digest("rollout_prev")?,
        hash: row.digest("hash")?,
    })
}

/// Ledger entries after `after`, oldest first.
pub(in crate::sqlite) async fn ledger(
    pool: &SqlitePool,
    rollout: Option<RolloutId>,
    after: u64,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    let query = match rollout {
        Some(id) => sqlx::query("SELECT * FROM ledger WHERE seq > ?1 AND rollout = ?3 ORDER BY seq LIMIT ?2")
            .bind(int(after))
            .bind(i64::from(limit))
            .bind(int(id.0)),
        None => sqlx::query("SELECT * FROM ledger WHERE seq > ?1 ORDER BY seq LIMIT ?2")
            .bind(int(after))
            .bind(i64::from(limit)),
    };
    all(pool, "reading the ledger", query, parse_entry).await
}

fn head_query(rollout: Option<RolloutId>) -> Query<'static> {
    match rollout {
        Some(id) => {
            sqlx::query("SELECT * FROM ledger WHERE rollout = ?1 ORDER BY seq DESC LIMIT 1").bind(int(id.0))
        }
        None => sqlx::query("SELECT * FROM ledger ORDER BY seq DESC LIMIT 1"),
    }
}

/// The newest ledger entry, for the writer.
pub(in crate::sqlite) async fn ledger_head_on(
    connection: &mut SqliteConnection,
    rollout: Option<RolloutId>,
) -> Result<Option<Entry>, StoreError> {
    let row = head_query(rollout).fetch_optional(connection).await;
    row.map_err(StoreError::database("reading the ledger"))?
        .as_ref()
        .map(parse_entry)
        .transpose()
}

/// The newest ledger entry.
pub(in crate::sqlite) async fn ledger_head(
    pool: &SqlitePool,
    rollout: Option<RolloutId>,
) -> Result<Option<Entry>, StoreError> {
    one(pool, "reading the ledger", head_query(rollout), parse_entry).await
}
