//! What can go wrong when keys and repositories are made, by who is to blame for it.

use sanderling_trust::json::JsonError;
use sanderling_trust::{SignError, TrustError};
use std::io;
use std::path::{Path, PathBuf};

/// Why keys or repositories could not be made, read or signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something is there that would be overwritten.
    #[error("{} is there already; keys and signed files are never overwritten", path.display())]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// A private key that others on this machine can read.
    #[error("{} can be read by other users (mode {mode:o}); set it to 600 and consider the key stolen", path.display())]
    KeyExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key file.
    #[error("{} is not a private key file: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An image repository in which nothing is signed yet.
    #[error(
        "{} holds roots and no release: `sanderling sign` makes the first one, N.targets.json and N.snapshot.json",
        folder.display()
    )]
    NoRelease {
        /// The repository.
        folder: PathBuf,
    },
    /// Not JSON in TUF's strict sense.
    #[error("{}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: JsonError,
    },
    /// Metadata that does not verify.
    #[error("{}: {source}", path.display())]
    Trust {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: TrustError,
    },
    /// A key did not sign.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// A key that the file's role does not name.
    #[error("key {key} may not sign {}: {reason}", path.display())]
    NotInRole {
        /// The key's id.
        key: String,
        /// The file.
        path: PathBuf,
        /// Which role, and what to do.
        reason: String,
    },
    /// Options that make no sense.
    #[error("{0}")]
    Options(String),
    /// No randomness.
    #[error("the source of randomness failed: {0}")]
    Random(String),
}

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn trust(path: &Path) -> impl FnOnce(TrustError) -> Self {
        move |source| Self::Trust {
            path: path.to_owned(),
            source,
        }
    }
}
