//! Rollouts, who is in them, and what was counted.

use super::{all, one};
use crate::sqlite::rows::{Columns, int};
use crate::{AssignmentRow, HealthRow, PairedCount, RolloutRow, StoreError, TakenOver};
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

fn parse_rollout(row: &SqliteRow) -> Result<RolloutRow, StoreError> {
    Ok(RolloutRow {
        id: row.rollout_id("id")?,
        status: row.field("status")?,
        target: row.digest("target")?,
        base: row.digest("base")?,
        created_at: row.uint("created_at")?,
        created_by: row.field("created_by")?,
        state: row.field("state")?,
    })
}

/// Rollouts, newest first.
pub(in crate::sqlite) async fn rollouts(
    pool: &SqlitePool,
    limit: u32,
) -> Result<Vec<RolloutRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM rollout ORDER BY id DESC LIMIT ?1").bind(i64::from(limit));
    all(pool, "listing rollouts", query, parse_rollout).await
}

/// Rollouts that are not at their end, oldest first.
pub(in crate::sqlite) async fn live_rollouts(pool: &SqlitePool) -> Result<Vec<RolloutRow>, StoreError> {
    let query =
        sqlx::query("SELECT * FROM rollout WHERE status IN ('running', 'paused', 'stopping') ORDER BY id");
    all(pool, "listing live rollouts", query, parse_rollout).await
}

/// Whether a rollout completed with a version, or one from it came to its end: completed or rolled back, not aborted.
pub(in crate::sqlite) async fn is_proven(pool: &SqlitePool, digest: Digest) -> Result<bool, StoreError> {
    let query = sqlx::query(
        "SELECT 1 FROM rollout WHERE (target = ?1 AND status = 'completed') \
         OR (base = ?1 AND status IN ('completed', 'rolled back')) LIMIT 1",
    );
    let found = one(
        pool,
        "asking whether a version is proven",
        query.bind(digest.0.to_vec()),
        |_| Ok(()),
    );
    Ok(found.await?.is_some())
}

/// What later rollouts of the same model took over. CROSS JOIN fixes the order: few rollouts, and the rows of those alone.
pub(in crate::sqlite) async fn taken_over(
    pool: &SqlitePool,
    rollout: RolloutId,
) -> Result<TakenOver, StoreError> {
    let during = "asking what later rollouts took over";
    let devices = sqlx::query(
        "SELECT a.device FROM rollout own CROSS JOIN version mine ON mine.digest = own.target \
         CROSS JOIN rollout later ON later.id > own.id \
         CROSS JOIN version its ON its.digest = later.target AND its.name = mine.name \
         CROSS JOIN assignment a ON a.rollout = later.id \
         WHERE own.id = ?1 AND a.target_at IS NOT NULL AND a.reverted_at IS NULL ORDER BY a.device",
    );
    let target = sqlx::query(
        "SELECT 1 FROM rollout own JOIN rollout later ON later.id > own.id AND later.target = own.target \
         WHERE own.id = ?1 AND later.status = 'completed' LIMIT 1",
    );
    let id = int(rollout.0);
    Ok(TakenOver {
        devices: all(pool, during, devices.bind(id), |row| row.device_id("device")).await?,
        target: one(pool, during, target.bind(id), |_| Ok(())).await?.is_some(),
    })
}

/// A rollout.
pub(in crate::sqlite) async fn rollout(
    pool: &SqlitePool,
    id: RolloutId,
) -> Result<Option<RolloutRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM rollout WHERE id = ?1").bind(int(id.0));
    one(pool, "reading a rollout", query, parse_rollout).await
}

fn parse_assignment(row: &SqliteRow) -> Result<AssignmentRow, StoreError> {
    let stage = row.uint("stage")?;
    Ok(AssignmentRow {
        device: row.device_id("device")?,
        hardware: row.hardware("hardware")?,
        stage: u16::try_from(stage).map_err(|_| StoreError::Corrupt { what: "stage" })?,
        enrolled_at: row.uint("enrolled_at")?,
        target_at: row.maybe_uint("target_at")?,
        silent_at: row.maybe_uint("silent_at")?,
        reverted_at: row.maybe_uint("reverted_at")?,
    })
}

/// Who is in a rollout.
pub(in crate::sqlite) async fn assignments(
    pool: &SqlitePool,
    rollout: RolloutId,
) -> Result<Vec<AssignmentRow>, StoreError> {
    let query =
        sqlx::query("SELECT * FROM assignment WHERE rollout = ?1 ORDER BY device").bind(int(rollout.0));
    all(pool, "reading assignments", query, parse_assignment).await
}

/// A device's places in rollouts, newest first.
pub(in crate::sqlite) async fn assignments_of(
    pool: &SqlitePool,
    device: DeviceId,
) -> Result<Vec<(RolloutId, AssignmentRow)>, StoreError> {
    let query = sqlx::query("SELECT * FROM assignment WHERE device = ?1 ORDER BY rollout DESC LIMIT 100");
    let parse = |row: &SqliteRow| Ok((row.rollout_id("rollout")?, parse_assignment(row)?));
    all(
        pool,
        "reading a device's rollouts",
        query.bind(device.0.to_vec()),
        parse,
    )
    .await
}

/// Distinct paired inputs: the fleet's first.
pub(in crate::sqlite) async fn paired_counts(
    pool: &SqlitePool,
    rollout: RolloutId,
) -> Result<Vec<PairedCount>, StoreError> {
    let query =
        sqlx::query("SELECT * FROM paired_count WHERE rollout = ?1 ORDER BY hardware").bind(int(rollout.0));
    let parse = |row: &SqliteRow| {
        let hardware = match row.field::<&str>("hardware")? {
            "" => None,
            name => Some(HardwareId::new(name).map_err(|_| StoreError::Corrupt { what: "hardware" })?),
        };
        Ok(PairedCount {
            hardware,
            inputs: row.uint("inputs")?,
            disagreements: row.uint("disagreements")?,
        })
    };
    all(pool, "reading paired evidence", query, parse).await
}

/// First failures, in order of commit.
pub(in crate::sqlite) async fn health(
    pool: &SqlitePool,
    rollout: RolloutId,
) -> Result<Vec<HealthRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM health WHERE rollout = ?1 ORDER BY id").bind(int(rollout.0));
    let parse = |row: &SqliteRow| {
        Ok(HealthRow {
            id: row.uint("id")?,
            device: row.device_id("device")?,
            kind: row.field("kind")?,
            at: row.uint("at")?,
        })
    };
    all(pool, "reading health evidence", query, parse).await
}
