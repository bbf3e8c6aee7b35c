//! What keeps a daemon from starting, or ends it.

use sanderling_drivers::DriverError;
use std::path::PathBuf;

/// Why a daemon did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The agent or its state folder.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The cascade's endpoint.
    #[error(transparent)]
    Cascade(#[from] sanderling_serve::ServeError),
    /// The API for the programs of this device.
    #[error("the local inference API: {0}")]
    Inference(sanderling_serve::ServeError),
    /// A setting that cannot be meant.
    #[error("{key}: {message}")]
    Setting {
        /// Its name.
        key: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// A folder of inputs that is not there.
    #[error("{}: there is no such folder of inputs; make it, or correct --inputs", path.display())]
    NoInputs {
        /// The folder.
        path: PathBuf,
    },
    /// A thread of the device ended: the process has to end, so that it is started anew.
    #[error("the thread {thread} of this device died: {words}; start the device again")]
    Died {
        /// Which.
        thread: &'static str,
        /// Its last words.
        words: String,
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
