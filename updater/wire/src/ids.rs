//! Names of things: devices, hardware classes, bytes, rollouts.
//!
//! A device is named by its key: [`DeviceId`] is the head of the SHA-256 of the device's Ed25519 public key, so
//! that no device can claim another's id without its key. Bytes are named by their SHA-256 ([`Digest`]).

use alloc::string::{String, ToString};
use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// Why a text is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseIdError {
    /// Not the number of hexadecimal digits this kind of id has.
    Length {
        /// What was being read.
        what: &'static str,
        /// Digits wanted.
        expected: usize,
        /// Characters found.
        found: usize,
    },
    /// A character that is no hexadecimal digit.
    NotHex {
        /// What was being read.
        what: &'static str,
    },
    /// A hardware id with characters outside `a-z 0-9 . _ -`, empty, or longer than 64 characters.
    HardwareId,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length {
                what,
                expected,
                found,
            } => {
                write!(
                    f,
                    "{what} has {expected} hexadecimal digits, this text has {found} characters"
                )
            }
            Self::NotHex { what } => write!(f, "{what} is written in hexadecimal digits (0-9, a-f) only"),
            Self::HardwareId => {
                f.write_str("a hardware id has 1 to 64 characters out of a-z, 0-9, '.', '_' and '-'")
            }
        }
    }
}

impl core::error::Error for ParseIdError {}

/// Binary formats carry the bytes, texts (JSON) carry hexadecimal digits.
macro_rules! hex_id {
    ($name:ident, $len:literal, $what:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let expected = 2 * $len;
                if text.len() != expected {
                    return Err(ParseIdError::Length {
                        what: $what,
                        expected,
                        found: text.chars().count(),
                    });
                }
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseIdError::NotHex { what: $what })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = String::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    Ok(Self(<[u8; $len]>::deserialize(deserializer)?))
                }
            }
        }
    };
}

/// SHA-256 of some bytes: of a bundle, mostly.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

hex_id!(Digest, 32, "a digest (SHA-256)");

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

/// A device: the first 16 bytes of the SHA-256 of its Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(pub [u8; 16]);

hex_id!(DeviceId, 16, "a device id");

impl DeviceId {
    /// The id of the device that holds the key of this Ed25519 public key (RFC 8032, 32 bytes).
    #[must_use]
    pub fn of_public_key(public_key: &[u8; 32]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&Sha256::digest(public_key)[..16]);
        Self(id)
    }

    /// The first eight hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

/// A rollout of one fleet, numbered by the server from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RolloutId(pub u64);

impl fmt::Display for RolloutId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A kind of hardware, as the fleet's owner names it: `pi4`, `jetson-orin-nano`, `x86_64-linux`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize)]
#[serde(transparent)]
pub struct HardwareId(String);

impl HardwareId {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// [`ParseIdError::HardwareId`] for a name that is empty, too long or holds other characters.
    pub fn new(name: &str) -> Result<Self, ParseIdError> {
        let fits = (1..=64).contains(&name.len());
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        if fits && name.bytes().all(plain) {
            Ok(Self(name.to_string()))
        } else {
            Err(ParseIdError::HardwareId)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HardwareId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for HardwareId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
