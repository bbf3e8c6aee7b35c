//! What check-ins write to tables that only they write to, gathered and inserted many rows at a time.
//!
//! Each statement is a trip to SQLite's thread and back, which costs more than the insertion itself. So a group's
//! rows go in chunks of fixed sizes: few distinct statements, which stay prepared.

use super::rows::{bits, int};
use crate::StoreError;
use sanderling_wire::{DeviceId, Digest, ServingWindow};
use sqlx::query_builder::Separated;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

/// Rows in one statement; a rest goes by the next smaller size.
const CHUNKS: [usize; 3] = [32, 8, 1];

/// A row of `device_state`.
#[derive(Debug)]
pub(super) struct StateRow {
    pub(super) device: DeviceId,
    pub(super) last_seen: u64,
    pub(super) last_signed: u64,
    pub(super) incarnation: u64,
    pub(super) phase: String,
    pub(super) active: Option<Digest>,
    pub(super) active_since: u64,
    pub(super) report: Vec<u8>,
    pub(super) runtime: Digest,
    pub(super) director_version: u64,
    pub(super) minted_at: u64,
    pub(super) minted_for: Vec<u8>,
}

/// A row of `telemetry`.
#[derive(Debug)]
pub(super) struct TelemetryRow {
    pub(super) device: DeviceId,
    pub(super) incarnation: u64,
    pub(super) sequence: u64,
    pub(super) received: u64,
    pub(super) body: Vec<u8>,
}

/// Rows to be written before the commit, in the order of the check-ins.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) states: Vec<StateRow>,
    /// Device, incarnation and its high-water mark.
    pub(super) marks: Vec<(DeviceId, u64, u64)>,
    pub(super) telemetry: Vec<TelemetryRow>,
    /// Device, when it told, and what.
    pub(super) serving: Vec<(DeviceId, u64, ServingWindow)>,
}

impl Batch {
    /// Forgets everything: the transaction is rolled back.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Writes everything.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub(super) async fn flush(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let Self {
            states,
            marks,
            telemetry,
            serving,
        } = std::mem::take(self);
        let failed = StoreError::database("storing check-ins");
        let written = async {
            insert(connection, STATES, states, push_state).await?;
            insert(connection, MARKS, marks, push_mark).await?;
            insert(connection, TELEMETRY, telemetry, push_telemetry).await?;
            insert(connection, SERVING, serving, push_serving).await
        };
        written.await.map_err(failed)
    }

    /// Writes what waits for the sums of answers, and nothing else.
    pub(super) async fn flush_serving(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<(), sqlx::Error> {
        let serving = std::mem::take(&mut self.serving);
        insert(connection, SERVING, serving, push_serving).await
    }
}

/// What comes before and after the values.
type Statement = (&'static str, &'static str);
type Values<'a> = Separated<'a, Sqlite, &'static str>;

const STATES: Statement = (
    "INSERT OR REPLACE INTO device_state (device, last_seen, last_signed, incarnation, phase, active, active_since, \
     report, runtime, director_version, minted_at, minted_for) ",
    "",
);
const MARKS: Statement = ("INSERT OR REPLACE INTO outbox (device, incarnation, next) ", "");
const TELEMETRY: Statement = (
    "INSERT INTO telemetry (device, incarnation, sequence, received, body) ",
    // The mark has sorted out repeats; the key stands behind it.
    " ON CONFLICT DO NOTHING",
);
const SERVING: Statement = (
    "INSERT INTO serving (device, image, answers, errors, rejected, flagged, cascaded, degraded, used) ",
    " ON CONFLICT DO UPDATE SET answers = answers + excluded.answers, errors = errors + excluded.errors, \
     rejected = rejected + excluded.rejected, flagged = flagged + excluded.flagged, \
     cascaded = cascaded + excluded.cascaded, degraded = degraded + excluded.degraded, \
     used = MAX(used, excluded.used)",
);

async fn insert<T>(
    connection: &mut SqliteConnection,
    (before, after): Statement,
    mut rows: Vec<T>,
    push: fn(&mut Values<'_>, T),
) -> Result<(), sqlx::Error> {
    while !rows.is_empty() {
        let size = CHUNKS.into_iter().find(|size| *size <= rows.len()).unwrap_or(1);
        let rest = rows.split_off(size);
        let mut query = QueryBuilder::<Sqlite>::new(before);
        query.push_values(rows, |mut values, row| push(&mut values, row));
        query.push(after);
        query.build().execute(&mut *connection).await?;
        rows = rest;
    }
    Ok(())
}

fn push_state(values: &mut Values<'_>, row: StateRow) {
    values
        .push_bind(row.device.0.to_vec())
        .push_bind(int(row.last_seen))
        .push_bind(int(row.last_signed))
        .push_bind(bits(row.incarnation))
        .push_bind(row.phase)
        .push_bind(row.active.map(|digest| digest.0.to_vec()))
        .push_bind(int(row.active_since))
        .push_bind(row.report)
        .push_bind(row.runtime.0.to_vec())
        .push_bind(int(row.director_version))
        .push_bind(int(row.minted_at))
        .push_bind(row.minted_for);
}

fn push_mark(values: &mut Values<'_>, (device, incarnation, next): (DeviceId, u64, u64)) {
    values
        .push_bind(device.0.to_vec())
        .push_bind(bits(incarnation))
        .push_bind(bits(next));
}

fn push_telemetry(values: &mut Values<'_>, row: TelemetryRow) {
    values
        .push_bind(row.device.0.to_vec())
        .push_bind(bits(row.incarnation))
        .push_bind(bits(row.sequence))
        .push_bind(int(row.received))
        .push_bind(row.body);
}

fn push_serving(values: &mut Values<'_>, (device, now, window): (DeviceId, u64, ServingWindow)) {
    // A count so high that sums might overflow is a lie; capped, it stays harmless.
    let capped = |count: u64| int(count.min(1 << 40));
    values
        .push_bind(device.0.to_vec())
        .push_bind(window.image.0.to_vec())
        .push_bind(capped(window.answers))
        .push_bind(capped(window.errors))
        .push_bind(capped(window.rejected_inputs))
        .push_bind(capped(window.flagged_inputs))
        .push_bind(capped(window.cascaded))
        .push_bind(capped(window.degraded))
        .push_bind(int(now));
}
