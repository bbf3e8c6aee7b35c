//! The enrolment string: all that an owner carries to a device by hand.
//!
//! One printable word, `sdl1:` and base64url. It says where the fleet server is and holds a one-time token, but
//! above all it pins the first roots of both repositories by hash: what a device trusts comes out of band, never
//! from the server. A checksum tells a word that was cut or mistyped from one that is wrong.

use crate::Digest;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Serialize};

const PREFIX: &str = "sdl1:";
const CHECKSUM_LEN: usize = 4;
/// Longest string that is read, in characters.
pub const MAX_ENROLMENT_LEN: usize = 8 * 1024;

/// What an enrolment string says. It holds a secret: print it to its owner and nobody else.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentString {
    /// The fleet server: `https://host[:port]`, or `http://` for loopback.
    pub server: String,
    /// The one-time token.
    pub token: String,
    /// SHA-256 of the image repository's `1.root.json`.
    pub image_root: Digest,
    /// SHA-256 of the director's `1.root.json`.
    pub director_root: Digest,
    /// The only certificate authority that may vouch for the server (X.509, DER); none: the system's.
    pub tls_ca: Option<Vec<u8>>,
}

impl fmt::Debug for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrolmentString")
            .field("server", &self.server)
            .field("image_root", &self.image_root)
            .field("director_root", &self.director_root)
            .finish_non_exhaustive()
    }
}

/// Why a text is no enrolment string.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// It does not begin with `sdl1:`.
    Prefix,
    /// It is longer than any enrolment string.
    TooLong {
        /// Characters found.
        found: usize,
    },
    /// A character that does not belong, or the end is missing.
    NotBase64,
    /// The checksum does not fit: a part is missing or mistyped.
    Checksum,
    /// The checksum fits, the content is not what this version reads.
    Content,
    /// The server's address is neither `https://…` nor `http://…`, or has a path.
    Server {
        /// The address.
        found: String,
    },
}

impl fmt::Display for EnrolmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix => {
                write!(
                    f,
                    "an enrolment string begins with {PREFIX}; copy it whole from where the server printed it"
                )
            }
            Self::TooLong { found } => {
                write!(
                    f,
                    "{found} characters are too many for an enrolment string ({MAX_ENROLMENT_LEN} at most)"
                )
            }
            Self::NotBase64 => {
                f.write_str("the enrolment string is cut short or holds a character that does not belong")
            }
            Self::Checksum => {
                f.write_str("the enrolment string is cut short or mistyped: its checksum does not fit")
            }
            Self::Content => {
                f.write_str("the enrolment string was made by another version: update the older side")
            }
            Self::Server { found } => {
                write!(
                    f,
                    "the enrolment string's server {found:?} is not of the form https://host or https://host:port"
                )
            }
        }
    }
}

impl core::error::Error for EnrolmentError {}

impl fmt::Display for EnrolmentString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = crate::encode(self);
        let checksum = Digest::of(&bytes);
        bytes.extend_from_slice(&checksum.0[..CHECKSUM_LEN]);
        write!(f, "{PREFIX}{}", BASE64.encode(bytes))
    }
}

impl FromStr for EnrolmentString {
    type Err = EnrolmentError;

    fn from_str(text: &str) -> Result<Self, EnrolmentError> {
        let text = text.trim();
        if text.len() > MAX_ENROLMENT_LEN {
            return Err(EnrolmentError::TooLong {
                found: text.chars().count(),
            });
        }
        let body = text.strip_prefix(PREFIX).ok_or(EnrolmentError::Prefix)?;
        let bytes = BASE64.decode(body).map_err(|_| EnrolmentError::NotBase64)?;
        let content = bytes
            .len()
            .checked_sub(CHECKSUM_LEN)
            .ok_or(EnrolmentError::Checksum)?;
        let (content, checksum) = bytes.split_at(content);
        if Digest::of(content).0[..CHECKSUM_LEN] != *checksum {
            return Err(EnrolmentError::Checksum);
        }
        let read: Self = crate::decode(content).map_err(|_| EnrolmentError::Content)?;
        let host = ["https://", "http://"]
            .into_iter()
            .find_map(|scheme| read.server.strip_prefix(scheme));
        let plain = |host: &str| {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_graphic() && !b"/?#@\\\"".contains(&b))
        };
        if host.is_some_and(plain) {
            Ok(read)
        } else {
            Err(EnrolmentError::Server {
                found: read.server.to_string(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> EnrolmentString {
        EnrolmentString {
            server: "http://127.0.0.1:8080".to_string(),
            token: "one-time".to_string(),
            image_root: Digest([1; 32]),
            director_root: Digest([2; 32]),
            tls_ca: None,
        }
    }

    #[test]
    fn round_trips_and_tells_what_is_wrong() {
        let text = sample().to_string();
        assert_eq!(text.parse(), Ok(sample()));
        assert_eq!(alloc::format!("  {text}\n").parse(), Ok(sample()));
        let refused = |text: &str| text.parse::<EnrolmentString>().unwrap_err();
        assert_eq!(refused("hello"), EnrolmentError::Prefix);
        assert_eq!(refused("sdl1:a b"), EnrolmentError::NotBase64);
        assert_eq!(refused("sdl1:"), EnrolmentError::Checksum);
        let cut = refused(&text[..text.len() - 4]);
        assert!(matches!(
            cut,
            EnrolmentError::Checksum | EnrolmentError::NotBase64
        ));
        let mistyped = text.replacen(&text[20..21], if &text[20..21] == "A" { "B" } else { "A" }, 1);
        assert_eq!(refused(&mistyped), EnrolmentError::Checksum);
        let path = EnrolmentString {
            server: "https://a.example/x".to_string(),
            ..sample()
        };
        assert!(matches!(
            refused(&path.to_string()),
            EnrolmentError::Server { .. }
        ));
        assert!(!alloc::format!("{:?}", sample()).contains("one-time"));
    }

    /// Version 1, fixed for ever.
    #[test]
    fn golden_string_of_version_1() {
        let golden = include_str!("../tests/golden/enrolment.v1.txt").trim();
        assert_eq!(sample().to_string(), golden);
    }

    proptest! {
        #[test]
        fn reading_is_total(text in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = text.parse::<EnrolmentString>();
            let mut content = bytes;
            let checksum = Digest::of(&content);
            content.extend_from_slice(&checksum.0[..CHECKSUM_LEN]);
            let _ = alloc::format!("{PREFIX}{}", BASE64.encode(content)).parse::<EnrolmentString>();
        }
    }
}
