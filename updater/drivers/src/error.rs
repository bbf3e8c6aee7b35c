//! What stops a device's agent from starting.

use sanderling_agent::AgentError;
use sanderling_slots::{SlotsError, StorageError};
use std::io;
use std::path::PathBuf;

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
    /// Others can read the device's key.
    #[error("the device's key {} can be read by others (mode {mode:o}): run `chmod 600` on it, or enrol the device anew", path.display())]
    KeyReadable {
        /// The key's file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The device's key file is damaged.
    #[error("the device's key {} has {found} bytes, 32 are right: restore it, or enrol the device anew", path.display())]
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
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
