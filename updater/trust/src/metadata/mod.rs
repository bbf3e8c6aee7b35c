//! Typed views of the four TUF roles, read from (and written to) the value that signatures cover.
//!
//! A view keeps what Sanderling acts on. Fields it does not know stay in the bytes, where the signatures cover
//! them, and are not in the view. Each role is a file here; what they share is in this one.

mod delegations;
mod read;
mod release;
mod root;
mod snapshot;
mod targets;
mod timestamp;

pub use delegations::{DelegatedRole, Delegations, Scope};
pub use release::Release;
pub use root::{DEMO_FIELD, REPOSITORY_FIELD, Root};
pub use snapshot::Snapshot;
pub use targets::{TargetFile, Targets};
pub use timestamp::Timestamp;

pub(crate) use read::Reader;

use crate::error::TrustError;
use crate::json::Value;
use crate::key::KeyId;
use crate::time::UnixTime;
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt;
use core::num::NonZeroU64;
use sha2::{Digest as _, Sha256, Sha512};

/// The version of the TUF specification that written metadata states. Any 1.x is read.
pub const SPEC_VERSION: &str = "1.0.31";

/// A role, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Keys and thresholds of the top-level roles.
    Root,
    /// The newest snapshot.
    Timestamp,
    /// The versions of all targets metadata.
    Snapshot,
    /// Images, or delegations to roles that list them.
    Targets,
    /// A role that a targets role delegates to.
    Delegated(String),
    /// The director's document for one device (of type `targets`).
    Director,
}

impl Role {
    /// The value of `_type` in this role's metadata.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Timestamp => "timestamp",
            Self::Snapshot => "snapshot",
            Self::Targets | Self::Delegated(_) | Self::Director => "targets",
        }
    }

    /// The file's name without version: `snapshot.json`. Delegated names are percent-encoded, as they come from
    /// metadata and become parts of URLs and paths.
    #[must_use]
    pub fn file_name(&self) -> String {
        match self {
            Self::Delegated(name) => percent_encoded(name) + ".json",
            Self::Director => "director.json".to_owned(),
            _ => self.type_name().to_owned() + ".json",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delegated(name) => write!(f, "delegated targets {name:?}"),
            Self::Director => f.write_str("director"),
            _ => f.write_str(self.type_name()),
        }
    }
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent_encoded(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out += &alloc::format!("%{byte:02X}");
        }
    }
    out
}

/// What each role's metadata starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// From 1, rising.
    pub version: u64,
    /// Until when it may be installed by.
    pub expires: UnixTime,
}

impl Header {
    /// The fields `_type`, `spec_version`, `version` and `expires`.
    pub(crate) fn write(&self, role: &Role) -> BTreeMap<String, Value> {
        BTreeMap::from([
            ("_type".to_owned(), role.type_name().into()),
            ("spec_version".to_owned(), SPEC_VERSION.into()),
            ("version".to_owned(), self.version.into()),
            ("expires".to_owned(), alloc::format!("{}", self.expires).into()),
        ])
    }

    /// Checks that the metadata of `role` may still be installed by.
    ///
    /// # Errors
    /// [`TrustError::Expired`] from the moment of `expires` on: metadata must expire after `now`.
    pub fn check_fresh(&self, role: Role, now: UnixTime) -> Result<(), TrustError> {
        if self.expires > now {
            return Ok(());
        }
        Err(TrustError::Expired {
            role,
            expired: self.expires,
            now,
        })
    }
}

/// The keys that may sign for a role, and how many must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleKeys {
    /// Distinct key ids.
    pub key_ids: BTreeSet<KeyId>,
    /// Signatures by distinct keys that are needed.
    pub threshold: NonZeroU64,
}

/// Hashes by kind (`sha256`, `sha512`, or kinds that are not known here), as hexadecimal digits. Not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashes(pub(crate) BTreeMap<String, String>);

impl Hashes {
    /// A SHA-256 and nothing else.
    #[must_use]
    pub fn sha256(digest: &sanderling_wire::Digest) -> Self {
        Self(BTreeMap::from([(
            "sha256".to_owned(),
            alloc::format!("{digest}"),
        )]))
    }

    /// The SHA-256, if stated well.
    #[must_use]
    pub fn get_sha256(&self) -> Option<sanderling_wire::Digest> {
        self.0.get("sha256")?.to_ascii_lowercase().parse().ok()
    }

    /// Checks every stated hash against `bytes`. `what` is for messages.
    ///
    /// # Errors
    /// [`TrustError::Hash`]; [`TrustError::UnknownHash`] for a kind that cannot be checked here.
    pub fn verify(&self, what: &str, bytes: &[u8]) -> Result<(), TrustError> {
        for (kind, stated) in &self.0 {
            let found = match kind.as_str() {
                "sha256" => hex::encode(Sha256::digest(bytes)),
                "sha512" => hex::encode(Sha512::digest(bytes)),
                _ => {
                    return Err(TrustError::UnknownHash {
                        what: what.to_owned(),
                        kind: kind.clone(),
                    });
                }
            };
            if !found.eq_ignore_ascii_case(stated) {
                return Err(TrustError::Hash {
                    what: what.to_owned(),
                    kind: kind.clone(),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, TrustError> {
        let mut hashes = BTreeMap::new();
        for (kind, value) in reader.entries()? {
            hashes.insert(kind.to_owned(), value.str()?.to_owned());
        }
        if hashes.is_empty() {
            Err(reader.error("must hold at least one hash"))
        } else {
            Ok(Self(hashes))
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        Value::Object(
            self.0
                .iter()
                .map(|(kind, hash)| (kind.clone(), hash.as_str().into()))
                .collect(),
        )
    }
}

/// What a parent states of a metadata file (TUF 1.0, 4.4 `METAFILES`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFile {
    /// Its version.
    pub version: u64,
    /// Its length in bytes, where stated.
    pub length: Option<u64>,
    /// Its hashes, where stated.
    pub hashes: Option<Hashes>,
}

impl MetaFile {
    /// Version, length and SHA-256 of these bytes.
    #[must_use]
    pub fn of(version: u64, bytes: &[u8]) -> Self {
        let hashes = Hashes::sha256(&sanderling_wire::Digest::of(bytes));
        Self {
            version,
            length: Some(bytes.len() as u64),
            hashes: Some(hashes),
        }
    }

    /// Checks length and hashes, where stated.
    ///
    /// # Errors
    /// [`TrustError::Length`], [`TrustError::Hash`], [`TrustError::UnknownHash`].
    pub fn verify(&self, what: &str, bytes: &[u8]) -> Result<(), TrustError> {
        let found = bytes.len() as u64;
        if let Some(expected) = self.length.filter(|expected| *expected != found) {
            return Err(TrustError::Length {
                what: what.to_owned(),
                expected,
                found,
            });
        }
        self.hashes
            .as_ref()
            .map_or(Ok(()), |hashes| hashes.verify(what, bytes))
    }

    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, TrustError> {
        Ok(Self {
            version: reader.field("version")?.positive()?.get(),
            length: reader.optional("length").map(|length| length.u64()).transpose()?,
            hashes: reader
                .optional("hashes")
                .map(|hashes| Hashes::read(&hashes))
                .transpose()?,
        })
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut object = BTreeMap::from([("version".to_owned(), Value::from(self.version))]);
        if let Some(length) = self.length {
            object.insert("length".to_owned(), length.into());
        }
        if let Some(hashes) = &self.hashes {
            object.insert("hashes".to_owned(), hashes.to_value());
        }
        Value::Object(object)
    }
}
