//! Ed25519 (RFC 8032), public half, verified strictly.

use ed25519_dalek::{Signature, VerifyingKey};

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
