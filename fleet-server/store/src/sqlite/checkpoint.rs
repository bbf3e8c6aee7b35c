//! Moves the write-ahead log into the database, beside the writer instead of in its way.
//!
//! SQLite would do that inside a commit each so many pages, and every check-in of that group would wait for it. Here a
//! connection of its own copies most of it while the writer goes on (a passive checkpoint blocks nobody). New frames
//! come meanwhile, so it never quite catches up and the log could only grow: once it is long, the writer is asked for
//! one more passive pass between two groups. Little is left to copy then, and the next write begins the log anew.

use crate::Heads;
use sqlx::{Connection as _, Row, SqliteConnection};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Pause between two passes: it bounds how much is left over, and how often the disk is synced for it.
const PAUSE: Duration = Duration::from_millis(500);
/// Pages (of 4 KiB) in the log beyond which the writer is asked to finish.
const LONG: i64 = 8192;

/// Asks the writer to finish a checkpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Finish(Arc<AtomicBool>);

impl Finish {
    /// Whether it was asked, once.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Runs until the writer is gone, then closes the connection.
pub(super) async fn run(mut connection: SqliteConnection, mut heads: watch::Receiver<Heads>, finish: Finish) {
    while heads.changed().await.is_ok() {
        let gone = async { while heads.changed().await.is_ok() {} };
        if tokio::time::timeout(PAUSE, gone).await.is_ok() {
            break;
        }
        if pass(&mut connection).await > LONG {
            finish.0.store(true, Ordering::Relaxed);
        }
    }
    close(connection).await;
}

/// Closes a connection that nobody uses any more.
pub(super) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a connection to the database could not be closed");
    }
}

/// One passive pass; answers the pages in the log. A failure costs nothing but a longer log.
pub(super) async fn pass(connection: &mut SqliteConnection) -> i64 {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(connection)
        .await;
    match row.and_then(|row| row.try_get::<i64, _>("log")) {
        Ok(pages) => pages,
        Err(error) => {
            tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            0
        }
    }
}
