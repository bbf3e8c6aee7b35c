//! Versioned bytes: one version byte, then the postcard form of a message.
//!
//! A reader takes the version it speaks and the one before. Until a second version exists there is one; the
//! golden vectors in `tests.rs` keep it fixed.

use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version that this build writes.
pub const WIRE_VERSION: u8 = 1;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes at all.
    Empty,
    /// A version this build does not read.
    Version {
        /// The version found.
        found: u8,
    },
    /// The version is known, the rest is not the message it should be.
    Malformed,
    /// A whole message, then more bytes.
    Trailing {
        /// Bytes too many.
        bytes: usize,
    },
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the message is empty"),
            Self::Version { found } => write!(
                f,
                "the message has wire version {found}, this build speaks {WIRE_VERSION}: update the older side"
            ),
            Self::Malformed => f.write_str("the message is cut short or is not of the kind expected here"),
            Self::Trailing { bytes } => write!(f, "{bytes} bytes follow the end of the message"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// The bytes of a message in the newest version.
#[must_use]
pub fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_extend(message, alloc::vec![WIRE_VERSION])
        .expect("postcard fails on sequences of unknown length only; wire types have none")
}

/// Reads a message.
///
/// # Errors
/// [`DecodeError`] for anything but exactly one message of a known version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (&version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if version != WIRE_VERSION {
        return Err(DecodeError::Version { found: version });
    }
    let (message, rest) = postcard::take_from_bytes(body).map_err(|_| DecodeError::Malformed)?;
    if rest.is_empty() {
        Ok(message)
    } else {
        Err(DecodeError::Trailing { bytes: rest.len() })
    }
}
