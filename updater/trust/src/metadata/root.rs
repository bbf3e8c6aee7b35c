//! Root: the keys and thresholds of the top-level roles (TUF 1.0, 4.3).

use super::{Header, Reader, Role, RoleKeys};
use crate::error::TrustError;
use crate::json::Value;
use crate::key::{KeyId, PublicKey};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// The field that marks a demo's root: no production pin accepts it.
pub const DEMO_FIELD: &str = "x-sanderling-demo";

/// The field that says which repository a root belongs to. The same people may hold the root keys of several;
/// without it a director's root, whose targets key is online, could be passed off as the image repository's.
pub const REPOSITORY_FIELD: &str = "x-sanderling-repository";

/// Keys and thresholds.
#[derive(Debug, Clone, PartialEq)]
pub struct Root {
    /// Version and expiry.
    pub header: Header,
    /// Whether metadata files are named by version (`7.snapshot.json`).
    pub consistent_snapshot: bool,
    /// All keys, by id.
    pub keys: BTreeMap<KeyId, PublicKey>,
    /// Who signs root.
    pub root: RoleKeys,
    /// Who signs timestamp.
    pub timestamp: RoleKeys,
    /// Who signs snapshot.
    pub snapshot: RoleKeys,
    /// Who signs targets; in a director's root, who mints the documents.
    pub targets: RoleKeys,
    /// Whether this root is marked as a demo's.
    pub demo: bool,
    /// Which repository this is, where it says so (`image`, `director`). Stays the same from root to root.
    pub repository: Option<String>,
}

impl Root {
    /// Reads `signed`.
    ///
    /// # Errors
    /// [`TrustError::Malformed`].
    pub fn from_value(signed: &Value) -> Result<Self, TrustError> {
        let reader = Reader::new(&Role::Root, signed);
        let header = reader.header()?;
        let roles = reader.field("roles")?;
        let role = |name| roles.field(name)?.role_keys();
        Ok(Self {
            header,
            consistent_snapshot: reader
                .optional("consistent_snapshot")
                .map_or(Ok(false), |consistent| consistent.bool())?,
            keys: reader.keys()?,
            root: role("root")?,
            timestamp: role("timestamp")?,
            snapshot: role("snapshot")?,
            targets: role("targets")?,
            demo: reader
                .optional(DEMO_FIELD)
                .map_or(Ok(false), |demo| demo.bool())?,
            repository: reader
                .optional(REPOSITORY_FIELD)
                .map(|repository| repository.str().map(str::to_owned))
                .transpose()?,
        })
    }

    /// The `signed` part of this root.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut signed = self.header.write(&Role::Root);
        signed.insert("consistent_snapshot".to_owned(), self.consistent_snapshot.into());
        signed.insert("keys".to_owned(), keys_value(&self.keys));
        let roles = Value::object([
            ("root", role_value(&self.root)),
            ("timestamp", role_value(&self.timestamp)),
            ("snapshot", role_value(&self.snapshot)),
            ("targets", role_value(&self.targets)),
        ]);
        signed.insert("roles".to_owned(), roles);
        if self.demo {
            signed.insert(DEMO_FIELD.to_owned(), true.into());
        }
        if let Some(repository) = &self.repository {
            signed.insert(REPOSITORY_FIELD.to_owned(), repository.as_str().into());
        }
        Value::Object(signed)
    }
}

fn keys_value(keys: &BTreeMap<KeyId, PublicKey>) -> Value {
    let entry = |(id, key): (&KeyId, &PublicKey)| -> (String, Value) {
        (id.as_str().to_owned(), key.to_value().clone())
    };
    Value::Object(keys.iter().map(entry).collect())
}

fn role_value(role: &RoleKeys) -> Value {
    let ids = role.key_ids.iter().map(|id| id.as_str().into()).collect();
    Value::object([
        ("keyids", Value::Array(ids)),
        ("threshold", role.threshold.get().into()),
    ])
}
