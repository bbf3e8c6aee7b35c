//! The writer: takes jobs off the queue and commits them in groups.

use super::batch::Batch;
use super::checkin::{Before, MAX_KNOWN, Prepared};
use super::checkpoint::{self, Finish};
use super::{apply, checkin, enrol};
use crate::{Change, CheckInStored, Committed, Enrolled, Enrolment, Heads, StoreError};
use sanderling_wire::DeviceId;
use sqlx::SqliteConnection;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Most jobs in one transaction. It bounds how long the first waits for the last.
const MAX_GROUP: usize = 512;

/// Where a job's answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something to write.
#[derive(Debug)]
pub(super) enum Job {
    CheckIn(Box<Prepared>, Reply<CheckInStored>),
    Enrol(Box<Enrolment>, Reply<Enrolled>),
    Commit(Vec<Change>, Reply<Committed>),
}

/// A job done but not committed: the answer is held back until it is.
enum Done {
    CheckIn(Result<CheckInStored, StoreError>, Reply<CheckInStored>),
    Enrol(Result<Enrolled, StoreError>, Reply<Enrolled>),
    Commit(Result<Committed, StoreError>, Reply<Committed>),
}

impl Done {
    /// Gives the answer, or the group's failure in its place. A caller that has gone away is no error.
    fn answer(self, failure: Option<&StoreError>) {
        fn send<T>(result: Result<T, StoreError>, reply: Reply<T>, failure: Option<&StoreError>) {
            let _ = reply.send(failure.map_or(result, |error| Err(error.clone())));
        }
        match self {
            Self::CheckIn(result, reply) => send(result, reply, failure),
            Self::Enrol(result, reply) => send(result, reply, failure),
            Self::Commit(result, reply) => send(result, reply, failure),
        }
    }
}

/// What the writer remembers between transactions.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// How far the feeds are, the transaction under way included.
    pub(super) heads: Heads,
    /// Devices as their last check-in left them.
    pub(super) known: HashMap<DeviceId, Before>,
    /// Rows of the transaction under way that are not written yet.
    pub(super) batch: Batch,
}

/// Runs until every sender of the queue is gone and the queue is empty.
pub(super) async fn run(
    mut connection: SqliteConnection,
    mut queue: mpsc::Receiver<Job>,
    ticker: watch::Sender<Heads>,
    gather: Duration,
    finish: Finish,
) {
    let mut group = Vec::with_capacity(MAX_GROUP);
    let mut progress = Progress::default();
    while queue.recv_many(&mut group, MAX_GROUP).await > 0 {
        if group.len() < MAX_GROUP && group.iter().all(|job| matches!(job, Job::CheckIn(..))) {
            tokio::time::sleep(gather).await;
            while group.len() < MAX_GROUP {
                let Ok(job) = queue.try_recv() else { break };
                group.push(job);
            }
        }
        commit_group(&mut connection, &mut progress, &mut group, &ticker).await;
        if finish.take() {
            checkpoint::pass(&mut connection).await;
        }
    }
    checkpoint::close(connection).await;
}

/// Does the jobs in one transaction, then answers them all.
async fn commit_group(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    group: &mut Vec<Job>,
    ticker: &watch::Sender<Heads>,
) {
    progress.heads = *ticker.borrow();
    if progress.known.len() > MAX_KNOWN {
        progress.known.clear();
    }
    let mut done = Vec::with_capacity(group.len());
    let mut failure = execute(connection, "BEGIN IMMEDIATE").await.err();
    for job in group.drain(..) {
        let outcome = match failure {
            None => do_job(connection, progress, job).await,
            Some(_) => skip(job),
        };
        failure = failure.or_else(|| fatal(&outcome));
        done.push(outcome);
    }
    if failure.is_none() {
        failure = progress.batch.flush(connection).await.err();
    }
    if failure.is_none() {
        failure = execute(connection, "COMMIT").await.err();
    }
    match &failure {
        None => {
            progress.heads.commits += 1;
            ticker.send_replace(progress.heads);
        }
        Some(error) => {
            tracing::error!(%error, jobs = done.len(), "a transaction failed; nothing of it is kept");
            progress.known.clear();
            progress.batch.clear();
            // Where BEGIN itself failed there is nothing to roll back, which SQLite says by an error.
            let _ = execute(connection, "ROLLBACK").await;
        }
    }
    for outcome in done {
        outcome.answer(failure.as_ref());
    }
}

/// A failure of the database, not of the job: it takes the whole group with it.
fn fatal(done: &Done) -> Option<StoreError> {
    let error = match done {
        Done::CheckIn(result, _) => result.as_ref().err(),
        Done::Enrol(result, _) => result.as_ref().err(),
        Done::Commit(result, _) => result.as_ref().err(),
    };
    error
        .filter(|error| matches!(error, StoreError::Database { .. }))
        .cloned()
}

/// Answers a job that came after the group's failure; the failure replaces the placeholder.
fn skip(job: Job) -> Done {
    match job {
        Job::CheckIn(_, reply) => Done::CheckIn(Err(StoreError::Closed), reply),
        Job::Enrol(_, reply) => Done::Enrol(Err(StoreError::Closed), reply),
        Job::Commit(_, reply) => Done::Commit(Err(StoreError::Closed), reply),
    }
}

async fn do_job(connection: &mut SqliteConnection, progress: &mut Progress, job: Job) -> Done {
    match job {
        // A check-in checks everything before its first write, so that it needs no savepoint.
        Job::CheckIn(prepared, reply) => {
            Done::CheckIn(checkin::store(connection, progress, *prepared).await, reply)
        }
        Job::Enrol(enrolment, reply) => {
            let before = progress.heads;
            let result = match begin(connection, progress).await {
                Ok(()) => enrol::enrol(connection, &enrolment).await,
                Err(error) => Err(error),
            };
            Done::Enrol(finish(connection, progress, before, result).await, reply)
        }
        Job::Commit(changes, reply) => {
            let before = progress.heads;
            let result = match begin(connection, progress).await {
                Ok(()) => apply::apply(connection, progress, changes).await,
                Err(error) => Err(error),
            };
            Done::Commit(finish(connection, progress, before, result).await, reply)
        }
    }
}

/// Begins a job that may be undone by itself: what check-ins before it left to be written is written first.
async fn begin(connection: &mut SqliteConnection, progress: &mut Progress) -> Result<(), StoreError> {
    progress.batch.flush(connection).await?;
    execute(connection, "SAVEPOINT job").await
}

/// Keeps a job's writes, or undoes them where it was refused.
async fn finish<T>(
    connection: &mut SqliteConnection,
    progress: &mut Progress,
    before: Heads,
    result: Result<T, StoreError>,
) -> Result<T, StoreError> {
    if result.is_err() {
        progress.heads = before;
        execute(connection, "ROLLBACK TO job").await?;
    }
    execute(connection, "RELEASE job").await?;
    result
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<(), StoreError> {
    sqlx::query(sql)
        .execute(connection)
        .await
        .map(drop)
        .map_err(StoreError::database("committing"))
}
