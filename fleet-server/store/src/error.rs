//! What can go wrong when storing, by who has to act.

use sanderling_wire::DeviceId;
use std::path::PathBuf;

/// Why the store did not do what it was asked.
///
/// Cloneable, because one failed commit is the answer to every caller whose work it held.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database file cannot be opened or brought to this build's schema.
    #[error(
        "cannot open the database {path}: {reason}; check that the folder exists, that this user may write to it \
         and that it was not written by a newer version"
    )]
    Open {
        /// The database file.
        path: PathBuf,
        /// What the database said.
        reason: String,
    },
    /// More writes wait than the queue holds. Nothing was written; try again later.
    #[error("the store is busy: its write queue is full; try again in a second")]
    Busy,
    /// The store was closed.
    #[error("the store is closed: the server is shutting down")]
    Closed,
    /// The database failed: disk full, I/O error. Nothing of the transaction was kept.
    #[error("the database failed while {during}: {reason}; nothing was kept, check the disk and try again")]
    Database {
        /// What was being done.
        during: &'static str,
        /// What the database said.
        reason: String,
    },
    /// Stored data does not read back as what was stored.
    #[error("the database holds {what} that cannot be read: restore it from a backup")]
    Corrupt {
        /// What was being read.
        what: &'static str,
    },
    /// The change contradicts what is stored.
    #[error("{what}")]
    Conflict {
        /// What is stored already, for the person who asked.
        what: String,
    },
    /// What the change refers to does not exist.
    #[error("{what}")]
    NotFound {
        /// What is missing, for the person who asked.
        what: String,
    },
    /// No device of this id has enrolled.
    #[error("device {0} is not enrolled with this server; enrol it with a new enrolment string")]
    UnknownDevice(DeviceId),
    /// The device was decommissioned; its key is refused for ever.
    #[error("device {0} was decommissioned; enrol it anew with a new key to take it back")]
    Decommissioned(DeviceId),
    /// No such enrolment token, or it has expired unused.
    #[error(
        "the enrolment token is not valid: unknown, or expired; ask the operator for a new enrolment string"
    )]
    TokenInvalid,
    /// The token was used by another key.
    #[error(
        "the enrolment token was already used by another device; ask the operator for a new enrolment string"
    )]
    TokenUsed,
    /// A device has opened more outboxes than one device has reason to.
    #[error(
        "device {device} has begun {limit} outboxes; it loses its state folder again and again, or misbehaves: \
         decommission it and enrol it anew"
    )]
    TooManyIncarnations {
        /// The device.
        device: DeviceId,
        /// Outboxes a device may have.
        limit: i64,
    },
}

impl StoreError {
    /// Wraps a database error with what was being done.
    pub(crate) fn database(during: &'static str) -> impl Fn(sqlx::Error) -> Self {
        move |error| Self::Database {
            during,
            reason: error.to_string(),
        }
    }
}
