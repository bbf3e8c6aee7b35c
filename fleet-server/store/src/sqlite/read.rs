//! Queries of the readers' pool.

use super::rows::{Columns, Named, bits, from_bits, int};
use crate::ledger::Entry;
use crate::{
    Alias, AssignmentRow, AuditEntry, Desired, Device, DeviceEvent, DeviceRecord, DeviceState, FleetCount,
    FleetRow, Heads, HealthRow, IdempotentReply, Mode, PairedCount, RolloutRow, ServingTotals, StoreError,
    TokenRow, Version,
};
use sanderling_wire::{
    Arm, DeviceId, Digest, EventKind, HardwareId, Record, RolloutId, RuntimeInfo, StateReport,
};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Sqlite, SqliteConnection, SqlitePool};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// All rows of a query, each parsed.
async fn all<T>(
    pool: &SqlitePool,
    during: &'static str,
    query: Query<'_>,
    parse: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let rows = query
        .fetch_all(pool)
        .await
        .map_err(StoreError::database(during))?;
    rows.iter().map(parse).collect()
}

/// The row of a query, parsed, if there is one.
async fn one<T>(
    pool: &SqlitePool,
    during: &'static str,
    query: Query<'_>,
    parse: impl Fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let row = query
        .fetch_optional(pool)
        .await
        .map_err(StoreError::database(during))?;
    row.as_ref().map(parse).transpose()
}

/// How far the feeds are.
pub(super) async fn heads(connection: &mut SqliteConnection) -> Result<Heads, StoreError> {
    let row = sqlx::query(
        "SELECT COALESCE((SELECT MAX(seq) FROM ledger), 0) AS ledger, \
         COALESCE((SELECT MAX(id) FROM device_event), 0) AS event",
    )
    .fetch_one(connection)
    .await
    .map_err(StoreError::database("reading how far the feeds are"))?;
    Ok(Heads {
        ledger: row.uint("ledger")?,
        event: row.uint("event")?,
        commits: 0,
    })
}

/// The columns of a [`DeviceRecord`], and what comes after `WHERE d.id`.
macro_rules! device_sql {
    ($tail:literal) => {
        concat!(
            "SELECT d.id, d.public_key, d.hardware, d.enrolled_at, d.decommissioned_at, d.frozen, s.last_seen, \
             s.last_signed, s.incarnation, s.report, s.director_version, s.minted_at, s.active_since, r.info, \
             w.digest, w.rollout, w.arm, w.mode, w.since FROM device d LEFT JOIN device_state s ON s.device = d.id \
             LEFT JOIN runtime_info r ON r.hash = s.runtime LEFT JOIN desired w ON w.device = d.id WHERE d.id ",
            $tail
        )
    };
}

/// A device.
pub(super) async fn device(pool: &SqlitePool, id: DeviceId) -> Result<Option<DeviceRecord>, StoreError> {
    let query = sqlx::query(device_sql!("= ?1")).bind(id.0.to_vec());
    one(pool, "reading a device", query, device_record).await
}

/// Devices by id.
pub(super) async fn devices(
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

fn message<T: serde::de::DeserializeOwned>(row: &SqliteRow, name: &'static str) -> Result<T, StoreError> {
    sanderling_wire::decode(row.field(name)?).map_err(|_| StoreError::Corrupt { what: name })
}

/// What a device is to run, of a row that has the columns of `desired`.
pub(super) fn desired(row: &SqliteRow) -> Result<Option<Desired>, StoreError> {
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
pub(super) async fn fleet_counts(pool: &SqlitePool) -> Result<Vec<FleetCount>, StoreError> {
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
pub(super) async fn fleet(pool: &SqlitePool) -> Result<Vec<FleetRow>, StoreError> {
    let query = sqlx::query(
        "SELECT d.id, d.hardware, d.frozen, s.runtime, s.active, s.active_since, s.last_seen FROM device d \
         JOIN device_state s ON s.device = d.id WHERE d.decommissioned_at IS NULL",
    );
    let parse = |row: &SqliteRow| {
        Ok(FleetRow {
            device: row.device_id("id")?,
            hardware: row.hardware("hardware")?,
            runtime: row.digest("runtime")?,
            active: row.maybe_digest("active")?,
            active_since: row.uint("active_since")?,
            last_seen: row.uint("last_seen")?,
            frozen: row.field("frozen")?,
        })
    };
    all(pool, "reading the fleet", query, parse).await
}

/// Every runtime description.
pub(super) async fn runtimes(pool: &SqlitePool) -> Result<Vec<(Digest, RuntimeInfo)>, StoreError> {
    let query = sqlx::query("SELECT hash, info FROM runtime_info");
    all(pool, "reading runtimes", query, |row| {
        Ok((row.digest("hash")?, message(row, "info")?))
    })
    .await
}

/// Enrolment tokens, newest first.
pub(super) async fn tokens(pool: &SqlitePool, limit: u32) -> Result<Vec<TokenRow>, StoreError> {
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

fn parse_version(row: &SqliteRow) -> Result<Version, StoreError> {
    Ok(Version {
        digest: row.digest("digest")?,
        name: row.field("name")?,
        version: row.field("version")?,
        length: row.uint("length")?,
        parent: row.maybe_digest("parent")?,
        metadata: row.field("metadata")?,
        published_at: row.uint("published_at")?,
        published_by: row.field("published_by")?,
    })
}

/// Versions, newest first.
pub(super) async fn versions(pool: &SqlitePool, limit: u32) -> Result<Vec<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version ORDER BY published_at DESC, name, version DESC LIMIT ?1");
    all(
        pool,
        "listing versions",
        query.bind(i64::from(limit)),
        parse_version,
    )
    .await
}

/// The version of these bytes.
pub(super) async fn version(pool: &SqlitePool, digest: Digest) -> Result<Option<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version WHERE digest = ?1").bind(digest.0.to_vec());
    one(pool, "reading a version", query, parse_version).await
}

/// The version of this name.
pub(super) async fn version_named(
    pool: &SqlitePool,
    name: String,
    version: String,
) -> Result<Option<Version>, StoreError> {
    let query = sqlx::query("SELECT * FROM version WHERE name = ?1 AND version = ?2")
        .bind(name)
        .bind(version);
    one(pool, "reading a version", query, parse_version).await
}

/// All aliases.
pub(super) async fn aliases(pool: &SqlitePool) -> Result<Vec<Alias>, StoreError> {
    let query = sqlx::query("SELECT name, alias, digest, since FROM alias ORDER BY name, alias");
    let parse = |row: &SqliteRow| {
        Ok(Alias {
            name: row.field("name")?,
            alias: row.field("alias")?,
            digest: row.digest("digest")?,
            since: row.uint("since")?,
        })
    };
    all(pool, "listing aliases", query, parse).await
}

/// A TUF metadata file.
pub(super) async fn tuf_file(
    pool: &SqlitePool,
    repository: String,
    name: String,
) -> Result<Option<Vec<u8>>, StoreError> {
    let query = sqlx::query("SELECT bytes FROM tuf_file WHERE repository = ?1 AND name = ?2")
        .bind(repository)
        .bind(name);
    one(pool, "reading TUF metadata", query, |row| row.field("bytes")).await
}

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
pub(super) async fn rollouts(pool: &SqlitePool, limit: u32) -> Result<Vec<RolloutRow>, StoreError> {
    let query = sqlx::query("SELECT * FROM rollout ORDER BY id DESC LIMIT ?1").bind(i64::from(limit));
    all(pool, "listing rollouts", query, parse_rollout).await
}

/// A rollout.
pub(super) async fn rollout(pool: &SqlitePool, id: RolloutId) -> Result<Option<RolloutRow>, StoreError> {
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
pub(super) async fn assignments(
    pool: &SqlitePool,
    rollout: RolloutId,
) -> Result<Vec<AssignmentRow>, StoreError> {
    let query =
        sqlx::query("SELECT * FROM assignment WHERE rollout = ?1 ORDER BY device").bind(int(rollout.0));
    all(pool, "reading assignments", query, parse_assignment).await
}

/// A device's places in rollouts, newest first.
pub(super) async fn assignments_of(
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
pub(super) async fn paired_counts(
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
pub(super) async fn health(pool: &SqlitePool, rollout: RolloutId) -> Result<Vec<HealthRow>, StoreError> {
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

/// Answers by image, of one device or all.
pub(super) async fn serving(
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
pub(super) async fn events(
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
pub(super) async fn recent_events(
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
pub(super) async fn telemetry(
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
pub(super) async fn ledger(
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
pub(super) async fn ledger_head_on(
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
pub(super) async fn ledger_head(
    pool: &SqlitePool,
    rollout: Option<RolloutId>,
) -> Result<Option<Entry>, StoreError> {
    one(pool, "reading the ledger", head_query(rollout), parse_entry).await
}

/// Operators' actions, newest first.
pub(super) async fn audit(pool: &SqlitePool, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
    let query = sqlx::query("SELECT * FROM audit ORDER BY id DESC LIMIT ?1").bind(i64::from(limit));
    let parse = |row: &SqliteRow| {
        Ok(AuditEntry {
            at: row.uint("at")?,
            operator: row.field("operator")?,
            action: row.field("action")?,
            subject: row.field("subject")?,
            detail: row.field("detail")?,
        })
    };
    all(pool, "reading the audit trail", query, parse).await
}

/// The kept answer to a call.
pub(super) async fn remembered(
    pool: &SqlitePool,
    operator: String,
    key: String,
) -> Result<Option<IdempotentReply>, StoreError> {
    let query = sqlx::query("SELECT * FROM idempotency WHERE operator = ?1 AND key = ?2")
        .bind(operator)
        .bind(key);
    let parse = |row: &SqliteRow| {
        let status = row.uint("status")?;
        Ok(IdempotentReply {
            operator: row.field("operator")?,
            key: row.field("key")?,
            fingerprint: row.digest("fingerprint")?,
            status: u16::try_from(status).map_err(|_| StoreError::Corrupt { what: "status" })?,
            body: row.field("body")?,
            at: row.uint("at")?,
        })
    };
    one(pool, "reading a kept answer", query, parse).await
}

/// A setting.
pub(super) async fn setting(pool: &SqlitePool, name: String) -> Result<Option<String>, StoreError> {
    let query = sqlx::query("SELECT value FROM setting WHERE name = ?1").bind(name);
    one(pool, "reading a setting", query, |row| row.field("value")).await
}

/// Whether the database answers.
pub(super) async fn ping(pool: &SqlitePool) -> Result<(), StoreError> {
    sqlx::query("SELECT 1")
        .execute(pool)
        .await
        .map(drop)
        .map_err(StoreError::database("answering"))
}
