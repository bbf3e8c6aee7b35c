//! The outer form of every metadata file: `{"signatures": [{"keyid", "sig"}], "signed": {…}}` (TUF 1.0, 4.2).

use crate::error::TrustError;
use crate::json::Value;
use crate::key::{KeyId, PublicKey, SignError, Signer};
use crate::metadata::{Role, RoleKeys};
use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Most signatures read in one file.
pub const MAX_SIGNATURES: usize = 256;

/// A signed file, read but not verified.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    signatures: Vec<(KeyId, String)>,
    signed: Value,
    canonical: Vec<u8>,
}

impl Envelope {
    /// Reads a file of at most `limit` bytes. `role` is for messages.
    ///
    /// # Errors
    /// [`TrustError::TooLong`], [`TrustError::Malformed`]; two signatures with one key id are malformed, as the
    /// specification has it.
    pub fn parse(role: &Role, bytes: &[u8], limit: usize) -> Result<Self, TrustError> {
        if bytes.len() > limit {
            return Err(TrustError::TooLong {
                role: role.clone(),
                limit,
                found: bytes.len(),
            });
        }
        let malformed = |reason: &str| TrustError::Malformed {
            role: role.clone(),
            reason: reason.to_owned(),
        };
        let value = Value::parse(bytes).map_err(|error| malformed(&format!("{error}")))?;
        let Value::Object(mut file) = value else {
            return Err(malformed("the file is not an object"));
        };
        let list = file.get("signatures").and_then(Value::as_array);
        let list = list.ok_or_else(|| malformed("`signatures` must be an array"))?;
        if list.len() > MAX_SIGNATURES {
            return Err(TrustError::TooMany {
                what: "signatures in one file",
                limit: MAX_SIGNATURES,
            });
        }
        let mut signatures: Vec<(KeyId, String)> = Vec::with_capacity(list.len());
        let mut seen = BTreeSet::new();
        for item in list {
            let text = |field| item.get(field).and_then(Value::as_str);
            let (Some(id), Some(sig)) = (text("keyid"), text("sig")) else {
                return Err(malformed("each signature has the strings `keyid` and `sig`"));
            };
            if !seen.insert(id) {
                return Err(malformed(&format!("two signatures by key {id:.64}")));
            }
            signatures.push((id.into(), sig.to_owned()));
        }
        let signed = file
            .remove("signed")
            .ok_or_else(|| malformed("`signed` is missing"))?;
        let canonical = signed.canonical();
        Ok(Self {
            signatures,
            signed,
            canonical,
        })
    }

    /// An unsigned file around `signed`.
    #[must_use]
    pub fn unsigned(signed: Value) -> Self {
        Self {
            signatures: Vec::new(),
            canonical: signed.canonical(),
            signed,
        }
    }

    /// Adds the signature of `signer`, or replaces the one it made before.
    ///
    /// # Errors
    /// [`SignError`] from the signer.
    pub fn sign(&mut self, signer: &dyn Signer) -> Result<(), SignError> {
        let signature = signer.sign(&self.canonical)?;
        let id = signer.public_key().id().clone();
        self.signatures.retain(|(other, _)| *other != id);
        self.signatures.push((id, hex::encode(signature.0)));
        Ok(())
    }

    /// The file's JSON bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let signature = |(id, sig): &(KeyId, String)| {
            Value::object([("keyid", id.as_str().into()), ("sig", sig.as_str().into())])
        };
        let signatures = Value::Array(self.signatures.iter().map(signature).collect());
        let mut out = b"{\"signatures\":".to_vec();
        out.extend(signatures.to_json());
        out.extend(b",\"signed\":");
        out.extend(self.signed.to_json());
        out.push(b'}');
        out
    }

    /// The signed value, not verified.
    #[must_use]
    pub fn signed(&self) -> &Value {
        &self.signed
    }

    /// The ids of the keys that claim to have signed, not verified.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.signatures.iter().map(|(id, _)| id)
    }

    /// The keys of `role` whose signatures over the canonical form of `signed` are valid, each key once.
    #[must_use]
    pub fn valid_keys<'a>(
        &self,
        role: &RoleKeys,
        keys: &'a BTreeMap<KeyId, PublicKey>,
    ) -> Vec<&'a PublicKey> {
        let mut valid: Vec<&PublicKey> = Vec::new();
        for (id, sig) in &self.signatures {
            let Some(key) = keys.get(id).filter(|_| role.key_ids.contains(id)) else {
                continue;
            };
            // One key under two ids counts once.
            if valid.iter().any(|other| other.same_material(key)) {
                continue;
            }
            if hex::decode(sig).is_ok_and(|signature| key.verify(&self.canonical, &signature)) {
                valid.push(key);
            }
        }
        valid
    }

    /// Checks that a threshold of distinct keys of a role has signed. `by` says whose, where that is not plain.
    ///
    /// # Errors
    /// [`TrustError::Signatures`].
    pub fn verify(
        &self,
        name: &Role,
        role: &RoleKeys,
        keys: &BTreeMap<KeyId, PublicKey>,
        by: Option<&'static str>,
    ) -> Result<(), TrustError> {
        let valid = self.valid_keys(role, keys).len();
        if valid as u64 >= role.threshold.get() {
            return Ok(());
        }
        Err(TrustError::Signatures {
            role: name.clone(),
            valid,
            threshold: role.threshold.get(),
            by,
        })
    }
}
