//! Queries of the readers' pool, by what they read.

mod devices;
mod feeds;
mod registry;
mod rollouts;

pub(super) use devices::{
    desired, device, devices, fleet, fleet_counts, newcomers, runtimes, serving, tokens, told,
};
pub(super) use feeds::{events, ledger, ledger_head, ledger_head_on, recent_events, telemetry};
pub(super) use registry::{aliases, models, tuf_file, version, version_named, versions};
pub(super) use rollouts::{
    assignments, assignments_of, health, is_proven, live_rollouts, paired_counts, rollout, rollouts,
    taken_over,
};

use super::rows::Columns;
use crate::{AuditEntry, Heads, IdempotentReply, StoreError};
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

fn message<T: serde::de::DeserializeOwned>(row: &SqliteRow, name: &'static str) -> Result<T, StoreError> {
    sanderling_wire::decode(row.field(name)?).map_err(|_| StoreError::Corrupt { what: name })
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
