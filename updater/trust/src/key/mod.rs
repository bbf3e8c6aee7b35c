//! Keys, signatures and who can make them.
//!
//! A key is named by the SHA-256 of its canonical JSON (TUF 1.0, 4.2), unknown fields included. A signature
//! scheme is one file here and one row in `Material::read`; a key of a scheme that is not known is kept (its
//! document is still whole) and never verifies anything.

mod ed25519;

pub use ed25519::Ed25519Signer;

use crate::json::Value;
use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use sanderling_wire::Digest;

/// The name of a key: 64 hexadecimal digits for keys made here, any text in others' metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub(crate) String);

impl KeyId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A signature's bytes: 64 for Ed25519 (RFC 8032).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

/// Why a key did not sign. Made by implementations of [`Signer`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key {key} did not sign: {reason}")]
pub struct SignError {
    /// The key's id.
    pub key: String,
    /// What went wrong, and what to do.
    pub reason: String,
}

/// Something that holds a private key: a file, a token, a secure element.
pub trait Signer {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignError`] if the key is away, locked or broken.
    fn sign(&self, message: &[u8]) -> Result<Signature, SignError>;
}

impl<S: Signer + ?Sized> Signer for &S {
    fn public_key(&self) -> &PublicKey {
        (**self).public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        (**self).sign(message)
    }
}

/// A public key as metadata states it.
#[derive(Debug, Clone, PartialEq)]
pub struct PublicKey {
    id: KeyId,
    value: Value,
    material: Material,
}

#[derive(Debug, Clone, PartialEq)]
enum Material {
    Ed25519(ed25519::Key),
    /// A scheme that is not known here, or key bytes that are no key of their scheme.
    Unusable,
}

impl Material {
    fn read(keytype: &str, scheme: &str, public: &str) -> Self {
        match (keytype, scheme) {
            ("ed25519", "ed25519") => ed25519::Key::read(public).map_or(Self::Unusable, Self::Ed25519),
            _ => Self::Unusable,
        }
    }
}

impl PublicKey {
    /// An Ed25519 key (RFC 8032). Bytes that are no point of the curve make a key that verifies nothing.
    #[must_use]
    pub fn ed25519(bytes: &[u8; 32]) -> Self {
        let value = Value::object([
            ("keytype", "ed25519".into()),
            ("scheme", "ed25519".into()),
            ("keyval", Value::object([("public", hex::encode(bytes).into())])),
        ]);
        let material = ed25519::Key::new(bytes).map_or(Material::Unusable, Material::Ed25519);
        Self {
            id: id_of(&value),
            value,
            material,
        }
    }

    /// Reads a `KEY` object (TUF 1.0, 4.2).
    ///
    /// # Errors
    /// What is missing or of the wrong kind. Unknown types and schemes are no error.
    pub fn from_value(value: &Value) -> Result<Self, &'static str> {
        let text = |field: &'static str, error| value.get(field).and_then(Value::as_str).ok_or(error);
        let keytype = text("keytype", "`keytype` must be a string")?;
        let scheme = text("scheme", "`scheme` must be a string")?;
        let keyval = value.get("keyval").ok_or("`keyval` is missing")?;
        let public = keyval
            .get("public")
            .and_then(Value::as_str)
            .ok_or("`keyval.public` must be a string")?;
        Ok(Self {
            id: id_of(value),
            value: value.clone(),
            material: Material::read(keytype, scheme, public),
        })
    }

    /// The `KEY` object as it stands in metadata, unknown fields included.
    #[must_use]
    pub fn to_value(&self) -> &Value {
        &self.value
    }

    /// The SHA-256 of the canonical form of the `KEY` object.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The 32 bytes of an Ed25519 key.
    #[must_use]
    pub fn ed25519_bytes(&self) -> Option<[u8; 32]> {
        match &self.material {
            Material::Ed25519(key) => Some(key.bytes()),
            Material::Unusable => None,
        }
    }

    /// Whether `signature` is this key's over `message`. Ed25519 is checked strictly: no small-order keys, no
    /// malleable signatures (`verify_strict` of ed25519-dalek).
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Ed25519(key) => key.verify(message, signature),
            Material::Unusable => false,
        }
    }

    /// Whether two entries hold the same key bytes, whatever their ids: they count once towards a threshold.
    #[must_use]
    pub fn same_material(&self, other: &Self) -> bool {
        match (&self.material, &other.material) {
            (Material::Ed25519(a), Material::Ed25519(b)) => a.bytes() == b.bytes(),
            (Material::Unusable, _) | (_, Material::Unusable) => false,
        }
    }
}

fn id_of(value: &Value) -> KeyId {
    KeyId(Digest::of(&value.canonical()).to_string())
}

impl From<&str> for KeyId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}
