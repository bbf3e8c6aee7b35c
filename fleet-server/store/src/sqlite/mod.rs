//! [`SqliteStore`]: one writer connection behind a queue, and a pool of readers, on one file in WAL mode.
//!
//! `synchronous=FULL`: a commit is on disk when it returns. Readers never wait for the writer.

mod apply;
mod batch;
mod checkin;
mod checkpoint;
mod counting;
mod enrol;
mod read;
mod rows;
mod writer;

use crate::ledger::Entry;
use crate::{
    Alias, AssignmentRow, AuditEntry, Change, CheckInStored, CheckInWrite, Committed, DeviceEvent,
    DeviceRecord, Enrolled, Enrolment, FleetCount, FleetRow, Heads, HealthRow, IdempotentReply, PairedCount,
    Pending, RolloutRow, ServingTotals, Store, StoreError, TakenOver, TokenRow, Version,
};
use checkin::Prepared;
use sanderling_wire::{DeviceId, Digest, Record, RolloutId, RuntimeInfo};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqlSafeStr, SqlitePool};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use writer::Job;

/// How the database is opened.
#[derive(Debug, Clone)]
pub struct SqliteOptions {
    /// The database file; it is made where there is none.
    pub path: PathBuf,
    /// Connections that read at the same time.
    pub readers: u32,
    /// Jobs that may wait for the writer; above, [`StoreError::Busy`].
    pub queue: usize,
    /// How long a transaction is held open for more check-ins to join it.
    pub gather: Duration,
}

impl SqliteOptions {
    /// Sensible values for a file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            readers: 4,
            queue: 8192,
            gather: Duration::from_millis(2),
        }
    }
}

/// A store in one SQLite file.
#[derive(Debug)]
pub struct SqliteStore {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    /// The writer, and the task that moves the log into the database.
    tasks: Mutex<Vec<JoinHandle<()>>>,
    readers: SqlitePool,
    heads: watch::Receiver<Heads>,
}

/// Migrations in order. A released one never changes.
fn migrations() -> Migrator {
    let one = |version, name: &'static str, sql: &'static str| {
        Migration::new(
            version,
            name.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![
        one(1, "init", include_str!("../../migrations/0001_init.sql")),
        one(
            2,
            "device label",
            include_str!("../../migrations/0002_device_label.sql"),
        ),
        one(
            3,
            "serving used",
            include_str!("../../migrations/0003_serving_used.sql"),
        ),
    ])
}

impl SqliteStore {
    /// Opens the database, brings it to this build's schema and starts the writer.
    ///
    /// Needs a tokio runtime, here and for as long as the store lives.
    ///
    /// # Errors
    /// [`StoreError::Open`].
    pub async fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let path = options.path.clone();
        let open = |reason: String| StoreError::Open {
            path: path.clone(),
            reason,
        };
        let connect = SqliteConnectOptions::new()
            .filename(&options.path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .statement_cache_capacity(128)
            .pragma("wal_autocheckpoint", "0")
            .pragma("cache_size", "-65536")
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        let mut connection = connect.connect().await.map_err(|e| open(e.to_string()))?;
        migrations()
            .run(&mut connection)
            .await
            .map_err(|e| open(e.to_string()))?;
        let heads = read::heads(&mut connection)
            .await
            .map_err(|e| open(e.to_string()))?;
        let beside = connect.connect().await.map_err(|e| open(e.to_string()))?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.readers.max(1))
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(connect.read_only(true))
            .await
            .map_err(|e| open(e.to_string()))?;
        let (jobs, queue) = mpsc::channel(options.queue.max(1));
        let (ticker, heads) = watch::channel(heads);
        let finish = checkpoint::Finish::default();
        let checkpoints = checkpoint::run(beside, heads.clone(), finish.clone());
        let writer = writer::run(connection, queue, ticker, options.gather, finish);
        let tasks = vec![tokio::spawn(writer), tokio::spawn(checkpoints)];
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            tasks: Mutex::new(tasks),
            readers,
            heads,
        })
    }

    /// Queues a job and waits for its answer.
    async fn submit<T>(&self, job: impl FnOnce(writer::Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        {
            let jobs = self
                .jobs
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(StoreError::Closed)?;
            jobs.try_send(job(reply)).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy,
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            })?;
        }
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Store for SqliteStore {
    fn check_in(&self, check_in: CheckInWrite) -> Pending<'_, CheckInStored> {
        Box::pin(async move {
            let prepared = Box::new(Prepared::new(check_in));
            self.submit(|reply| Job::CheckIn(prepared, reply)).await
        })
    }

    fn enrol(&self, enrolment: Enrolment) -> Pending<'_, Enrolled> {
        Box::pin(self.submit(|reply| Job::Enrol(Box::new(enrolment), reply)))
    }

    fn commit(&self, changes: Vec<Change>) -> Pending<'_, Committed> {
        Box::pin(self.submit(|reply| Job::Commit(changes, reply)))
    }

    fn close(&self) -> Pending<'_, ()> {
        Box::pin(async move {
            let jobs = self
                .jobs
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .take();
            drop(jobs);
            let tasks = {
                let mut tasks = self
                    .tasks
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                std::mem::take(&mut *tasks)
            };
            self.readers.close().await;
            // Whichever writing connection is the last one moves the log into the database and takes it away.
            for task in tasks {
                task.await.map_err(|_| StoreError::Closed)?;
            }
            Ok(())
        })
    }

    fn heads(&self) -> watch::Receiver<Heads> {
        self.heads.clone()
    }

    fn device(&self, id: DeviceId) -> Pending<'_, Option<DeviceRecord>> {
        Box::pin(read::device(&self.readers, id))
    }

    fn devices(&self, after: Option<DeviceId>, limit: u32) -> Pending<'_, Vec<DeviceRecord>> {
        Box::pin(read::devices(&self.readers, after, limit))
    }

    fn fleet_counts(&self) -> Pending<'_, Vec<FleetCount>> {
        Box::pin(read::fleet_counts(&self.readers))
    }

    fn fleet(&self) -> Pending<'_, Vec<FleetRow>> {
        Box::pin(read::fleet(&self.readers))
    }

    fn newcomers(&self, alias: &str) -> Pending<'_, Vec<FleetRow>> {
        Box::pin(read::newcomers(&self.readers, alias.to_owned()))
    }

    fn told(&self, digest: Digest) -> Pending<'_, Vec<DeviceId>> {
        Box::pin(read::told(&self.readers, digest))
    }

    fn runtimes(&self, hashes: Vec<Digest>) -> Pending<'_, Vec<(Digest, RuntimeInfo)>> {
        Box::pin(read::runtimes(&self.readers, hashes))
    }

    fn tokens(&self, limit: u32) -> Pending<'_, Vec<TokenRow>> {
        Box::pin(read::tokens(&self.readers, limit))
    }

    fn versions(&self, limit: u32) -> Pending<'_, Vec<Version>> {
        Box::pin(read::versions(&self.readers, limit))
    }

    fn version(&self, digest: Digest) -> Pending<'_, Option<Version>> {
        Box::pin(read::version(&self.readers, digest))
    }

    fn version_named(&self, name: &str, version: &str) -> Pending<'_, Option<Version>> {
        let (name, version) = (name.to_owned(), version.to_owned());
        Box::pin(read::version_named(&self.readers, name, version))
    }

    fn models(&self) -> Pending<'_, Vec<(Digest, String)>> {
        Box::pin(read::models(&self.readers))
    }

    fn aliases(&self) -> Pending<'_, Vec<Alias>> {
        Box::pin(read::aliases(&self.readers))
    }

    fn tuf_file(&self, repository: &str, name: &str) -> Pending<'_, Option<Vec<u8>>> {
        let (repository, name) = (repository.to_owned(), name.to_owned());
        Box::pin(read::tuf_file(&self.readers, repository, name))
    }

    fn rollouts(&self, limit: u32) -> Pending<'_, Vec<RolloutRow>> {
        Box::pin(read::rollouts(&self.readers, limit))
    }

    fn live_rollouts(&self) -> Pending<'_, Vec<RolloutRow>> {
        Box::pin(read::live_rollouts(&self.readers))
    }

    fn is_proven(&self, digest: Digest) -> Pending<'_, bool> {
        Box::pin(read::is_proven(&self.readers, digest))
    }

    fn taken_over(&self, rollout: RolloutId) -> Pending<'_, TakenOver> {
        Box::pin(read::taken_over(&self.readers, rollout))
    }

    fn rollout(&self, id: RolloutId) -> Pending<'_, Option<RolloutRow>> {
        Box::pin(read::rollout(&self.readers, id))
    }

    fn assignments(&self, rollout: RolloutId) -> Pending<'_, Vec<AssignmentRow>> {
        Box::pin(read::assignments(&self.readers, rollout))
    }

    fn assignments_of(&self, device: DeviceId) -> Pending<'_, Vec<(RolloutId, AssignmentRow)>> {
        Box::pin(read::assignments_of(&self.readers, device))
    }

    fn paired_counts(&self, rollout: RolloutId) -> Pending<'_, Vec<PairedCount>> {
        Box::pin(read::paired_counts(&self.readers, rollout))
    }

    fn health(&self, rollout: RolloutId) -> Pending<'_, Vec<HealthRow>> {
        Box::pin(read::health(&self.readers, rollout))
    }

    fn serving(&self, device: Option<DeviceId>) -> Pending<'_, Vec<(Digest, ServingTotals)>> {
        Box::pin(read::serving(&self.readers, device))
    }

    fn events(&self, device: Option<DeviceId>, after: u64, limit: u32) -> Pending<'_, Vec<DeviceEvent>> {
        Box::pin(read::events(&self.readers, device, after, limit))
    }

    fn recent_events(&self, device: Option<DeviceId>, limit: u32) -> Pending<'_, Vec<DeviceEvent>> {
        Box::pin(read::recent_events(&self.readers, device, limit))
    }

    fn telemetry(
        &self,
        device: DeviceId,
        incarnation: u64,
        from: u64,
        limit: u32,
    ) -> Pending<'_, Vec<Record>> {
        Box::pin(read::telemetry(&self.readers, device, incarnation, from, limit))
    }

    fn ledger(&self, rollout: Option<RolloutId>, after: u64, limit: u32) -> Pending<'_, Vec<Entry>> {
        Box::pin(read::ledger(&self.readers, rollout, after, limit))
    }

    fn ledger_head(&self, rollout: Option<RolloutId>) -> Pending<'_, Option<Entry>> {
        Box::pin(read::ledger_head(&self.readers, rollout))
    }

    fn audit(&self, limit: u32) -> Pending<'_, Vec<AuditEntry>> {
        Box::pin(read::audit(&self.readers, limit))
    }

    fn remembered(&self, operator: &str, key: &str) -> Pending<'_, Option<IdempotentReply>> {
        let (operator, key) = (operator.to_owned(), key.to_owned());
        Box::pin(read::remembered(&self.readers, operator, key))
    }

    fn setting(&self, name: &str) -> Pending<'_, Option<String>> {
        let name = name.to_owned();
        Box::pin(read::setting(&self.readers, name))
    }

    fn ping(&self) -> Pending<'_, ()> {
        Box::pin(read::ping(&self.readers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::Row;

    #[tokio::test]
    async fn devices_of_the_first_schema_get_their_labels() {
        let folder = tempfile::tempdir().unwrap();
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("fleet.db"))
            .create_if_missing(true);
        let mut connection = options.connect().await.unwrap();
        let first = migrations().iter().take(1).cloned().collect();
        Migrator::with_migrations(first)
            .run(&mut connection)
            .await
            .unwrap();
        let rows = "INSERT INTO device (id, public_key, hardware, enrolled_at) VALUES \
             (zeroblob(16), zeroblob(32), 'pi4', 1), (randomblob(16), randomblob(32), 'pi4', 2); \
             INSERT INTO enrolment_token VALUES (randomblob(32), 'door', 1, 9, zeroblob(32), 2), \
             (randomblob(32), 'front door', 1, 9, zeroblob(32), 3), (randomblob(32), '', 1, 9, zeroblob(32), 4);";
        sqlx::raw_sql(rows).execute(&mut connection).await.unwrap();
        migrations().run(&mut connection).await.unwrap();
        let rows = sqlx::query("SELECT label FROM device ORDER BY enrolled_at")
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let labels: Vec<String> = rows.iter().map(|row| row.get("label")).collect();
        assert_eq!(labels, ["front door", ""]);
    }
}
