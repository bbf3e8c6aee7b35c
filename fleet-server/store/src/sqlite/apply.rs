//! Changes, in the writer's transaction.

use super::read;
use super::rows::{Columns, Named, int};
use super::writer::Progress;
use crate::ledger::{self, NewEntry};
use crate::{
    Alias, AssignmentRow, AuditEntry, Change, Committed, Desired, IdempotentReply, NewToken, RolloutRow,
    StoreError, Version,
};
use sanderling_wire::{DeviceId, RolloutId};
use sqlx::sqlite::{SqliteArguments, SqliteQueryResult};
use sqlx::{Sqlite, SqliteConnection};

/// Runtime descriptions above which those that no device has are looked for.
const MANY_RUNTIMES: u64 = 64;

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// Makes the changes in order; the first that does not fit ends it, and the caller undoes the rest.
pub(super) async fn apply(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    changes: Vec<Change>,
) -> Result<Committed, StoreError> {
    let mut committed = Committed::default();
    for change in changes {
        match change {
            Change::Ledger(entry) => {
                let entry = append(connection, entry).await?;
                progress.heads.ledger = entry.seq;
                committed.entries.push(entry);
            }
            Change::AddToken(token) => add_token(connection, token).await?,
            Change::Decommission { device, at } => {
                progress.known.remove(&device);
                decommission(connection, device, at).await?;
            }
            Change::FreezeDevice { device, frozen } => freeze(connection, device, frozen).await?,
            Change::AddVersion(version) => add_version(connection, version).await?,
            Change::PutTufFiles { repository, files } => put_tuf_files(connection, repository, files).await?,
            Change::SetAlias(alias) => set_alias(connection, alias).await?,
            Change::RemoveAlias { name, alias } => remove_alias(connection, &name, &alias).await?,
            Change::AddRollout(rollout) => add_rollout(connection, rollout).await?,
            Change::SetRollout { id, status, state } => set_rollout(connection, id, &status, &state).await?,
            Change::Assign { rollout, rows } => assign(connection, rollout, rows).await?,
            Change::Desire { devices, desired } => {
                for device in &devices {
                    progress.known.remove(device);
                }
                desire(connection, &devices, desired).await?;
            }
            Change::Audit(entry) => audit(connection, entry).await?,
            Change::Remember(reply) => remember(connection, reply).await?,
            Change::Set { name, value } => set(connection, name, &value).await?,
            Change::Prune {
                telemetry_before,
                replies_before,
                tokens_before,
            } => {
                prune(connection, telemetry_before, replies_before, tokens_before).await?;
            }
        }
    }
    Ok(committed)
}

/// Runs a statement; a violated constraint is the caller's conflict, anything else the database's failure.
async fn run(
    connection: &mut SqliteConnection,
    during: &'static str,
    query: Query<'_>,
    conflict: impl FnOnce() -> String,
) -> Result<SqliteQueryResult, StoreError> {
    query
        .execute(connection)
        .await
        .map_err(|error| match error.as_database_error() {
            Some(e) if e.is_unique_violation() || e.is_foreign_key_violation() || e.is_check_violation() => {
                StoreError::Conflict { what: conflict() }
            }
            _ => StoreError::database(during)(error),
        })
}

/// Runs a statement that no constraint can refuse.
async fn write(
    connection: &mut SqliteConnection,
    during: &'static str,
    query: Query<'_>,
) -> Result<SqliteQueryResult, StoreError> {
    query
        .execute(connection)
        .await
        .map_err(StoreError::database(during))
}

async fn append(connection: &mut SqliteConnection, entry: NewEntry) -> Result<ledger::Entry, StoreError> {
    let head = read::ledger_head_on(connection, None).await?;
    let rollout_head = match entry.rollout {
        Some(rollout) => read::ledger_head_on(connection, Some(rollout)).await?,
        None => None,
    };
    let (seq, previous) = head.map_or((1, ledger::GENESIS), |head| (head.seq + 1, head.hash));
    let entry = ledger::chain(
        entry,
        seq,
        previous,
        rollout_head.map_or(ledger::GENESIS, |head| head.hash),
    );
    let query = sqlx::query(
        "INSERT INTO ledger (seq, rollout, at, kind, body, previous, rollout_prev, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(int(entry.seq))
    .bind(entry.rollout.map(|rollout| int(rollout.0)))
    .bind(int(entry.at))
    .bind(entry.kind.clone())
    .bind(entry.body.clone())
    .bind(entry.previous.0.to_vec())
    .bind(entry.rollout_previous.0.to_vec())
    .bind(entry.hash.0.to_vec());
    write(connection, "appending to the ledger", query).await?;
    Ok(entry)
}

async fn add_token(connection: &mut SqliteConnection, token: NewToken) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO enrolment_token (hash, label, created_at, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )
    .bind(token.hash.0.to_vec())
    .bind(token.label)
    .bind(int(token.created_at))
    .bind(int(token.expires_at));
    run(connection, "adding an enrolment token", query, || {
        "this enrolment token exists already".into()
    })
    .await?;
    Ok(())
}

async fn decommission(
    connection: &mut SqliteConnection,
    device: DeviceId,
    at: u64,
) -> Result<(), StoreError> {
    let query =
        sqlx::query("UPDATE device SET decommissioned_at = COALESCE(decommissioned_at, ?2) WHERE id = ?1")
            .bind(device.0.to_vec())
            .bind(int(at));
    let done = write(connection, "decommissioning a device", query).await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::UnknownDevice(device));
    }
    let query = sqlx::query("DELETE FROM desired WHERE device = ?1").bind(device.0.to_vec());
    write(connection, "decommissioning a device", query).await?;
    Ok(())
}

async fn freeze(connection: &mut SqliteConnection, device: DeviceId, frozen: bool) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE device SET frozen = ?2 WHERE id = ?1")
        .bind(device.0.to_vec())
        .bind(frozen);
    match write(connection, "freezing a device", query)
        .await?
        .rows_affected()
    {
        0 => Err(StoreError::UnknownDevice(device)),
        _ => Ok(()),
    }
}

async fn add_version(connection: &mut SqliteConnection, version: Version) -> Result<(), StoreError> {
    let same = sqlx::query("SELECT 1 FROM version WHERE digest = ?1 AND name = ?2 AND version = ?3")
        .bind(version.digest.0.to_vec())
        .bind(version.name.clone())
        .bind(version.version.clone())
        .fetch_optional(&mut *connection)
        .await
        .map_err(StoreError::database("reading a version"))?;
    if same.is_some() {
        return Ok(());
    }
    let what = format!(
        "{} {} or its bytes ({}) are registered already; a version never changes: publish it under a new version name",
        version.name,
        version.version,
        version.digest.short()
    );
    let query = sqlx::query(
        "INSERT INTO version (digest, name, version, length, parent, metadata, published_at, published_by) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )
    .bind(version.digest.0.to_vec())
    .bind(version.name)
    .bind(version.version)
    .bind(int(version.length))
    .bind(version.parent.map(|parent| parent.0.to_vec()))
    .bind(version.metadata)
    .bind(int(version.published_at))
    .bind(version.published_by);
    run(connection, "registering a version", query, || what).await?;
    Ok(())
}

async fn put_tuf_files(
    connection: &mut SqliteConnection,
    repository: &'static str,
    files: Vec<(String, Vec<u8>)>,
) -> Result<(), StoreError> {
    for (name, bytes) in files {
        let query =
            sqlx::query("INSERT OR REPLACE INTO tuf_file (repository, name, bytes) VALUES (?1, ?2, ?3)")
                .bind(repository)
                .bind(name)
                .bind(bytes);
        write(connection, "keeping TUF metadata", query).await?;
    }
    Ok(())
}

async fn set_alias(connection: &mut SqliteConnection, alias: Alias) -> Result<(), StoreError> {
    let what = format!("no version has the digest {}; publish it first", alias.digest);
    let query =
        sqlx::query("INSERT OR REPLACE INTO alias (name, alias, digest, since) VALUES (?1, ?2, ?3, ?4)")
            .bind(alias.name)
            .bind(alias.alias)
            .bind(alias.digest.0.to_vec())
            .bind(int(alias.since));
    run(connection, "setting an alias", query, || what).await?;
    Ok(())
}

async fn remove_alias(connection: &mut SqliteConnection, name: &str, alias: &str) -> Result<(), StoreError> {
    let query = sqlx::query("DELETE FROM alias WHERE name = ?1 AND alias = ?2")
        .bind(name.to_owned())
        .bind(alias.to_owned());
    match write(connection, "removing an alias", query)
        .await?
        .rows_affected()
    {
        0 => Err(StoreError::NotFound {
            what: format!("{name} has no alias {alias}"),
        }),
        _ => Ok(()),
    }
}

async fn add_rollout(connection: &mut SqliteConnection, rollout: RolloutRow) -> Result<(), StoreError> {
    let what = format!(
        "rollout {} exists already; read the list of rollouts and try again",
        rollout.id
    );
    let query = sqlx::query(
        "INSERT INTO rollout (id, status, target, base, created_at, created_by, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )
    .bind(int(rollout.id.0))
    .bind(rollout.status)
    .bind(rollout.target.0.to_vec())
    .bind(rollout.base.0.to_vec())
    .bind(int(rollout.created_at))
    .bind(rollout.created_by)
    .bind(rollout.state);
    run(connection, "creating a rollout", query, || what).await?;
    Ok(())
}

async fn set_rollout(
    connection: &mut SqliteConnection,
    id: RolloutId,
    status: &str,
    state: &str,
) -> Result<(), StoreError> {
    let query = sqlx::query("UPDATE rollout SET status = ?2, state = ?3 WHERE id = ?1")
        .bind(int(id.0))
        .bind(status.to_owned())
        .bind(state.to_owned());
    match write(connection, "moving a rollout on", query)
        .await?
        .rows_affected()
    {
        0 => Err(StoreError::NotFound {
            what: format!("there is no rollout {id}"),
        }),
        _ => Ok(()),
    }
}

async fn assign(
    connection: &mut SqliteConnection,
    rollout: RolloutId,
    rows: Vec<AssignmentRow>,
) -> Result<(), StoreError> {
    for row in rows {
        let device = row.device;
        let query = sqlx::query(
            "INSERT INTO assignment (rollout, device, hardware, stage, enrolled_at, target_at, silent_at, reverted_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT DO UPDATE SET \
             stage = CASE WHEN target_at IS NULL THEN excluded.stage ELSE stage END, \
             target_at = COALESCE(target_at, excluded.target_at), \
             silent_at = COALESCE(silent_at, excluded.silent_at), \
             reverted_at = COALESCE(reverted_at, excluded.reverted_at)",
        )
        .bind(int(rollout.0))
        .bind(row.device.0.to_vec())
        .bind(row.hardware.as_str().to_owned())
        .bind(i64::from(row.stage))
        .bind(int(row.enrolled_at))
        .bind(row.target_at.map(int))
        .bind(row.silent_at.map(int))
        .bind(row.reverted_at.map(int));
        run(connection, "assigning devices", query, || {
            format!("there is no rollout {rollout} or no device {device}")
        })
        .await?;
    }
    Ok(())
}

async fn desire(
    connection: &mut SqliteConnection,
    devices: &[DeviceId],
    desired: Option<Desired>,
) -> Result<(), StoreError> {
    for device in devices {
        let id = device.0.to_vec();
        let query = match desired {
            None => sqlx::query("DELETE FROM desired WHERE device = ?1").bind(id),
            Some(desired) => sqlx::query(
                "INSERT OR REPLACE INTO desired (device, digest, rollout, arm, mode, since) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )
            .bind(id)
            .bind(desired.digest.0.to_vec())
            .bind(desired.rollout.map(|rollout| int(rollout.0)))
            .bind(desired.arm.map(|arm| arm.name()))
            .bind(desired.mode.name())
            .bind(int(desired.since)),
        };
        run(connection, "saying what devices are to run", query, || {
            format!("there is no device {device}")
        })
        .await?;
    }
    Ok(())
}

async fn audit(connection: &mut SqliteConnection, entry: AuditEntry) -> Result<(), StoreError> {
    let query =
        sqlx::query("INSERT INTO audit (at, operator, action, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)")
            .bind(int(entry.at))
            .bind(entry.operator)
            .bind(entry.action)
            .bind(entry.subject)
            .bind(entry.detail);
    write(connection, "noting an operator's action", query).await?;
    Ok(())
}

async fn remember(connection: &mut SqliteConnection, reply: IdempotentReply) -> Result<(), StoreError> {
    let query = sqlx::query(
        "INSERT INTO idempotency (operator, key, fingerprint, status, body, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )
    .bind(reply.operator)
    .bind(reply.key)
    .bind(reply.fingerprint.0.to_vec())
    .bind(i64::from(reply.status))
    .bind(reply.body)
    .bind(int(reply.at));
    run(connection, "keeping an answer", query, || {
        "a call with this idempotency key is being answered; wait and ask again".into()
    })
    .await?;
    Ok(())
}

async fn set(connection: &mut SqliteConnection, name: &'static str, value: &str) -> Result<(), StoreError> {
    let query = sqlx::query("INSERT OR REPLACE INTO setting (name, value) VALUES (?1, ?2)")
        .bind(name)
        .bind(value.to_owned());
    write(connection, "keeping a setting", query).await?;
    Ok(())
}

async fn prune(
    connection: &mut SqliteConnection,
    telemetry_before: u64,
    replies_before: u64,
    tokens_before: u64,
) -> Result<(), StoreError> {
    let telemetry = sqlx::query("DELETE FROM telemetry WHERE received < ?1").bind(int(telemetry_before));
    write(connection, "forgetting old telemetry", telemetry).await?;
    let replies = sqlx::query("DELETE FROM idempotency WHERE at < ?1").bind(int(replies_before));
    write(connection, "forgetting old answers", replies).await?;
    let tokens = sqlx::query("DELETE FROM enrolment_token WHERE public_key IS NULL AND expires_at < ?1")
        .bind(int(tokens_before));
    write(connection, "forgetting expired tokens", tokens).await?;
    prune_runtimes(connection).await
}

/// Forgets runtime descriptions that no device has any more. Looks at every device, so not before there are many of them.
async fn prune_runtimes(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let during = "forgetting runtimes";
    let row = sqlx::query("SELECT COUNT(*) AS n FROM runtime_info")
        .fetch_one(&mut *connection)
        .await
        .map_err(StoreError::database(during))?;
    if row.uint("n")? <= MANY_RUNTIMES {
        return Ok(());
    }
    let query = sqlx::query("DELETE FROM runtime_info WHERE hash NOT IN (SELECT runtime FROM device_state)");
    write(connection, during, query).await?;
    Ok(())
}
