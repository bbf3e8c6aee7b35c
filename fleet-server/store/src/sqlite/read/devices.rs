//! Devices: one, many, counted, and as the planner sees them.

use super::{all, message, one};
use crate::sqlite::rows::{Columns, Named, from_bits};
use crate::{
    Desired, Device, DeviceRecord, DeviceState, FleetCount, FleetRow, Mode, ServingTotals, StoreError,
    TokenRow,
};
use sanderling_wire::{Arm, DeviceId, Digest, RuntimeInfo, StateReport};
use sqlx::SqlitePool;
use sqlx::sqlite::SqliteRow;

/// The columns of a [`DeviceRecord`], and what comes after `WHERE d.id`.
macro_rules! device_sql {
    ($tail:literal) => {
        concat!(
            "SELECT d.id, d.public_key, d.label, d.hardware, d.enrolled_at, d.decommissioned_at, d.frozen, s.last_seen, \
             s.last_signed, s.incarnation, s.report, s.director_version, s.minted_at, s.active_since, r.info, \
             w.digest, w.rollout, w.arm, w.mode, w.since FROM device d LEFT JOIN device_state s ON s.device = d.id \
             LEFT JOIN runtime_info r ON r.hash = s.runtime LEFT JOIN desired w ON w.device = d.id WHERE d.id ",
            $tail
        )
    };
}

/// A device.
pub(in crate::sqlite) async fn device(
    pool: &SqlitePool,
    id: DeviceId,
) -> Result<Option<DeviceRecord>, StoreError> {
    let query = sqlx::query(device_sql!("= ?1")).bind(id.0.to_vec());
    one(pool, "reading a device", query, device_record).await
}

/// Devices by id.
pub(in crate::sqlite) async fn devices(
    pool: &SqlitePool,
    after: Option<DeviceId>,
    limit: u32,
) -> Result<Vec<DeviceRecord>, StoreError> {
    // Every id is longer than the empty one, and so sorts after it.
    let after = after.map_or(Vec::new(), |id| id.0.to_vec());
    let query = sqlx::query(device_sql!("> ?1 ORDER BY d.id LIMIT ?2"))
        .bind(after)
        .bind(i64::from(limit));
    all(pool, "listing devices", query, device_record).await
}

fn device_record(row: &SqliteRow) -> Result<DeviceRecord, StoreError> {
    let device = Device {
        id: row.device_id("id")?,
        public_key: row.bytes("public_key")?,
        label: row.field("label")?,
        hardware: row.hardware("hardware")?,
        enrolled_at: row.uint("enrolled_at")?,
        decommissioned_at: row.maybe_uint("decommissioned_at")?,
        frozen: row.field("frozen")?,
    };
    Ok(DeviceRecord {
        device,
        desired: desired(row)?,
        state: device_state(row)?,
    })
}

fn device_state(row: &SqliteRow) -> Result<Option<DeviceState>, StoreError> {
    let Some(last_seen) = row.maybe_uint("last_seen")? else {
        return Ok(None);
    };
    let mut report: StateReport = message(row, "report")?;
    report.runtime = message(row, "info")?;
    Ok(Some(DeviceState {
        last_seen,
        last_signed: row.uint("last_signed")?,
        incarnation: from_bits(row.field("incarnation")?),
        report,
        director_version: row.uint("director_version")?,
        minted_at: row.uint("minted_at")?,
        active_since: row.uint("active_since")?,
    }))
}

/// What a device is to run, of a row that has the columns of `desired`.
pub(in crate::sqlite) fn desired(row: &SqliteRow) -> Result<Option<Desired>, StoreError> {
    let Some(digest) = row.maybe_digest("digest")? else {
        return Ok(None);
    };
    let arm = row
        .field::<Option<&str>>("arm")?
        .map(|name| Arm::from_name(name, "arm"))
        .transpose()?;
    Ok(Some(Desired {
        digest,
        rollout: row.maybe_rollout("rollout")?,
        arm,
        mode: Mode::from_name(row.field("mode")?, "mode")?,
        since: row.uint("since")?,
    }))
}

/// Devices in service counted by phase, image and hardware.
pub(in crate::sqlite) async fn fleet_counts(pool: &SqlitePool) -> Result<Vec<FleetCount>, StoreError> {
    let query = sqlx::query(
        "SELECT s.phase, s.active, d.hardware, COUNT(*) AS devices FROM device d \
         LEFT JOIN device_state s ON s.device = d.id WHERE d.decommissioned_at IS NULL \
         GROUP BY s.phase, s.active, d.hardware",
    );
    let parse = |row: &SqliteRow| {
        Ok(FleetCount {
            phase: row.field("phase")?,
            active: row.maybe_digest("active")?,
            hardware: row.hardware("hardware")?,
            devices: row.uint("devices")?,
        })
    };
    all(pool, "counting devices", query, parse).await
}

/// Devices in service that have checked in.
pub(in crate::sqlite) async fn fleet(pool: &SqlitePool) -> Result<Vec<FleetRow>, StoreError> {
    let query = sqlx::query(
        "SELECT d.id, d.hardware, d.frozen, s.runtime, s.active, s.active_since, s.last_seen, w.digest AS told \
         FROM device d JOIN device_state s ON s.device = d.id LEFT JOIN desired w ON w.device = d.id \
         WHERE d.decommissioned_at IS NULL",
    );
    all(pool, "reading the fleet", query, fleet_row).await
}

fn fleet_row(row: &SqliteRow) -> Result<FleetRow, StoreError> {
    Ok(FleetRow {
        device: row.device_id("id")?,
        hardware: row.hardware("hardware")?,
        runtime: row.digest("runtime")?,
        active: row.maybe_digest("active")?,
        active_since: row.uint("active_since")?,
        told: row.maybe_digest("told")?,
        last_seen: row.uint("last_seen")?,
        frozen: row.field("frozen")?,
    })
}

/// Devices that were never told what to run and answer from another version than their model's `alias` points at.
///
/// CROSS JOIN fixes the order: the narrow rows of devices against those of `desired`, and only for what is left of them the
/// wide rows of their state.
pub(in crate::sqlite) async fn newcomers(
    pool: &SqlitePool,
    alias: String,
) -> Result<Vec<FleetRow>, StoreError> {
    let query = sqlx::query(
        "SELECT d.id, d.hardware, d.frozen, s.runtime, s.active, s.active_since, s.last_seen, NULL AS told \
         FROM device d CROSS JOIN device_state s ON s.device = d.id CROSS JOIN version v ON v.digest = s.active \
         CROSS JOIN alias a ON a.name = v.name AND a.alias = ?1 AND a.digest <> v.digest \
         WHERE d.decommissioned_at IS NULL AND d.frozen = 0 \
         AND NOT EXISTS (SELECT 1 FROM desired w WHERE w.device = d.id)",
    );
    all(pool, "looking for newcomers", query.bind(alias), fleet_row).await
}

/// Devices that were last told to run a version.
pub(in crate::sqlite) async fn told(pool: &SqlitePool, digest: Digest) -> Result<Vec<DeviceId>, StoreError> {
    let query = sqlx::query("SELECT device FROM desired WHERE digest = ?1 ORDER BY device");
    all(
        pool,
        "asking who was told to run a version",
        query.bind(digest.0.to_vec()),
        |row| row.device_id("device"),
    )
    .await
}

/// Runtime descriptions by their hash: a fleet has few, so each is a query of its own.
pub(in crate::sqlite) async fn runtimes(
    pool: &SqlitePool,
    hashes: Vec<Digest>,
) -> Result<Vec<(Digest, RuntimeInfo)>, StoreError> {
    let mut found = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let query = sqlx::query("SELECT info FROM runtime_info WHERE hash = ?1").bind(hash.0.to_vec());
        let info = one(pool, "reading a runtime", query, |row| message(row, "info")).await?;
        found.extend(info.map(|info| (hash, info)));
    }
    Ok(found)
}

/// Enrolment tokens, newest first.
pub(in crate::sqlite) async fn tokens(pool: &SqlitePool, limit: u32) -> Result<Vec<TokenRow>, StoreError> {
    let query = sqlx::query(
        "SELECT label, created_at, expires_at, public_key FROM enrolment_token ORDER BY created_at DESC, label LIMIT ?1",
    );
    let parse = |row: &SqliteRow| {
        let key = row.field::<Option<&[u8]>>("public_key")?;
        let exact = |key: &[u8]| {
            key.try_into()
                .map_err(|_| StoreError::Corrupt { what: "public_key" })
        };
        let key: Option<[u8; 32]> = key.map(exact).transpose()?;
        Ok(TokenRow {
            label: row.field("label")?,
            created_at: row.uint("created_at")?,
            expires_at: row.uint("expires_at")?,
            used_by: key.map(|key| DeviceId::of_public_key(&key)),
        })
    };
    all(
        pool,
        "listing enrolment tokens",
        query.bind(i64::from(limit)),
        parse,
    )
    .await
}

/// Answers by image, of one device or all.
pub(in crate::sqlite) async fn serving(
    pool: &SqlitePool,
    device: Option<DeviceId>,
) -> Result<Vec<(Digest, ServingTotals)>, StoreError> {
    let query = sqlx::query(
        "SELECT image, SUM(answers) AS answers, SUM(errors) AS errors, SUM(rejected) AS rejected, \
         SUM(flagged) AS flagged, SUM(cascaded) AS cascaded, SUM(degraded) AS degraded FROM serving \
         WHERE ?1 IS NULL OR device = ?1 GROUP BY image",
    );
    let parse = |row: &SqliteRow| {
        let totals = ServingTotals {
            answers: row.uint("answers")?,
            errors: row.uint("errors")?,
            rejected: row.uint("rejected")?,
            flagged: row.uint("flagged")?,
            cascaded: row.uint("cascaded")?,
            degraded: row.uint("degraded")?,
        };
        Ok((row.digest("image")?, totals))
    };
    all(
        pool,
        "summing answers",
        query.bind(device.map(|id| id.0.to_vec())),
        parse,
    )
    .await
}
