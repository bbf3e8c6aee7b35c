//! Errors of the client.

use sanderling_server::api::ProblemView;
use std::path::PathBuf;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server said no.
    #[error("{}: {} (to mend it: {})", problem.title, problem.detail, problem.action)]
    Refused {
        /// Its reason.
        problem: Box<ProblemView>,
    },
    /// An address by which the operator's token would travel in the clear.
    #[error(
        "the server {url} needs https://: only a server on this machine (127.0.0.1) is spoken to by http://, since the \
         operator's token goes along"
    )]
    Insecure {
        /// The address.
        url: String,
    },
    /// What is no server's address, or holds more than an address.
    #[error(
        "the server '{url}' is not of the form https://host or https://host:port; give its address with --server"
    )]
    Address {
        /// The address.
        url: String,
    },
    /// The server cannot be reached, or the connection broke.
    #[error("{url}: {reason}; is the server running, and is this its address?")]
    Unreachable {
        /// What was called.
        url: String,
        /// The system's word.
        reason: String,
    },
    /// An answer that is not the API's.
    #[error("{url} gave an answer that is not a fleet server's of this version: {reason}")]
    Answer {
        /// What was called.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bundle is not what its repository's newest targets list under its name.
    #[error("{} is not the file that was signed as {target}: {reason}", path.display())]
    NotSigned {
        /// The bundle.
        path: PathBuf,
        /// The name in the repository.
        target: String,
        /// What is different, and what to do.
        reason: String,
    },
    /// A file of ours cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system gave no random numbers.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
}

impl ClientError {
    /// The server's word for the problem, where it gave one: `unknown-version`.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Refused { problem } => Some(&problem.kind),
            _ => None,
        }
    }
}
