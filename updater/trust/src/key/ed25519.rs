//! Ed25519 (RFC 8032): signatures are verified strictly, and made by [`Ed25519Signer`].

use super::{PublicKey, SignError, Signer};
use core::fmt;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

/// A private key in memory: a device's own, or one that was read from a file. Wiped when dropped.
pub struct Ed25519Signer {
    private: SigningKey,
    public: PublicKey,
}

impl Ed25519Signer {
    /// The key of a seed: 32 bytes out of a cryptographic source of randomness.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let private = SigningKey::from_bytes(seed);
        let public = PublicKey::ed25519(&private.verifying_key().to_bytes());
        Self { private, public }
    }
}

impl Signer for Ed25519Signer {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<super::Signature, SignError> {
        Ok(super::Signature(self.private.sign(message).to_bytes().to_vec()))
    }
}

impl fmt::Debug for Ed25519Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ed25519Signer({})", self.public.id())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key(VerifyingKey);

impl Key {
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    /// `public` is 64 hexadecimal digits.
    pub(super) fn read(public: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(public, &mut bytes).ok()?;
        Self::new(&bytes)
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    pub(super) fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature)
            .is_ok_and(|signature| self.0.verify_strict(message, &signature).is_ok())
    }
}
