//! What stops a device's agent from starting.

use crate::files::blob_file;
use sanderling_agent::AgentError;
use sanderling_slots::{SlotsError, StorageError};
use std::io;
use std::path::{Path, PathBuf};

/// Why an agent did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// Another agent works on the state folder.
    #[error("another agent already runs on the state folder {}: stop it, or use another folder", path.display())]
    StateLocked {
        /// The state folder.
        path: PathBuf,
    },
    /// A file or folder could not be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no agent's state in a folder.
    #[error("{} holds no agent's state", path.display())]
    NoState {
        /// The folder.
        path: PathBuf,
    },
    /// The key of a device that belongs to a fleet is gone.
    #[error("the device's key {} is lost, and with it what the fleet knows this device by: restore the file from a \
        backup; else decommission the device, make a new enrolment string with `sanderling device enrol` and start with \
        it in a new, empty state folder", path.display())]
    KeyLost {
        /// The key's file.
        path: PathBuf,
    },
    /// The enrolment of a device is gone or damaged.
    #[error("{} is {reason}, so it is not known which fleet this device belongs to: restore the file, or start once \
        with the device's enrolment string (--enrol sdl1:…)", path.display())]
    EnrolmentDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Others can read the device's key.
    #[error("the device's key {} can be read by others (mode {mode:o}): run `chmod 600` on it; if somebody may have read it, enrol the device anew in a new state folder", path.display())]
    KeyReadable {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The device's key file is damaged.
    #[error("the device's key {} has {found} bytes, 32 are right: restore it, or enrol the device anew in a new, empty state folder", path.display())]
    KeyDamaged {
        /// The key's file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
    /// A server that is not this machine, without TLS.
    #[error("{server} is another machine and http:// protects nothing: use https://")]
    InsecureServer {
        /// The server's address.
        server: String,
    },
    /// An address that is none, or says more than where the server is.
    #[error(
        "the server's address {server:?} is not of the form https://host or https://host:port: make a new enrolment string"
    )]
    ServerAddress {
        /// The server's address.
        server: String,
    },
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(String),
    /// The agent itself.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

impl From<StorageError> for DriverError {
    fn from(error: StorageError) -> Self {
        Self::Agent(AgentError::Slots(SlotsError::Storage(error)))
    }
}

impl DriverError {
    pub(crate) fn enrolment_damaged(folder: &Path, is_there: bool) -> Self {
        Self::EnrolmentDamaged {
            path: blob_file(folder, "enrolment"),
            reason: if is_there { "damaged" } else { "missing" }.to_string(),
        }
    }

    /// An agent's error, with the file that it is about.
    #[must_use]
    pub fn of_agent(error: AgentError, folder: &Path) -> Self {
        match error {
            AgentError::EnrolmentDamaged { reason } => Self::EnrolmentDamaged {
                path: blob_file(folder, "enrolment"),
                reason,
            },
            error => Self::Agent(error),
        }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
