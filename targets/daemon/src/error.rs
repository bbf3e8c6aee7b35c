//! What keeps a daemon from starting.

use sanderling_drivers::DriverError;
use std::path::PathBuf;

/// Why a daemon did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The agent or its state folder.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A folder of inputs that is not there.
    #[error("{}: there is no such folder of inputs; make it, or correct --inputs", path.display())]
    NoInputs {
        /// The folder.
        path: PathBuf,
    },
    /// A file that cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
