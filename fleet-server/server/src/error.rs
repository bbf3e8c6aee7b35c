//! Why a server does not start or does not go on.

use sanderling_store::StoreError;
use sanderling_trust::TrustError;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What keeps a server from running, for the person who starts it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration file cannot be read or understood.
    #[error("cannot read the configuration {path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the line where known.
        reason: String,
    },
    /// A setting that cannot be.
    #[error("{setting} cannot be {value:?}: {reason}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// Its value.
        value: String,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// An address other than loopback without what protects it.
    #[error(
        "refusing to listen on {address}: {missing}; other machines could reach it. Listen on 127.0.0.1, or set both \
         `tls` (certificate and key) and `operators`"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
        /// What is missing.
        missing: &'static str,
    },
    /// The address is taken or not this machine's.
    #[error(
        "cannot listen on {address}: {reason}; if another server runs there, stop it or choose another port \
         (port 0 takes any free one)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
    },
    /// The data folder cannot be used.
    #[error("cannot use the data folder {path}: {reason}")]
    Data {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Certificate or key cannot be used.
    #[error("cannot use the TLS file {path}: {reason}")]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    Keys(#[from] sanderling_sign::Error),
    /// Keys and roots do not belong together.
    #[error("the {key} key {reason}")]
    WrongKey {
        /// `director` or `timestamp`.
        key: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The TUF metadata in use does not verify.
    #[error("the {repository} repository's metadata does not verify: {source}")]
    Metadata {
        /// `image` or `director`.
        repository: &'static str,
        /// Why.
        source: TrustError,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system.
    #[error("{during}: {reason}")]
    System {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        reason: String,
    },
}
