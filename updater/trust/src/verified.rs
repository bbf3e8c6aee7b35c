//! The wall between bytes and trust.

use alloc::vec::Vec;
use core::ops::Deref;

/// A value whose signatures, and whose place among the metadata trusted before it, have been checked.
///
/// Only this crate can make one. It keeps the bytes it came from: store those, never a re-serialised form.
#[derive(Debug, Clone, PartialEq)]
pub struct Verified<T> {
    value: T,
    bytes: Vec<u8>,
}

impl<T> Verified<T> {
    pub(crate) fn new(value: T, bytes: &[u8]) -> Self {
        Self {
            value,
            bytes: bytes.to_vec(),
        }
    }

    /// The bytes that were verified, as they were received.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
