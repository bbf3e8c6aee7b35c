//! The two hashes that the project speaks of, in one place.

use sha2::Digest;

use crate::dtype::DType;

/// A SHA-256 value (FIPS 180-4).
pub type Sha256Digest = [u8; 32];

/// SHA-256 of bytes that come in pieces.
#[derive(Clone, Debug, Default)]
pub struct Sha256(sha2::Sha256);

impl Sha256 {
    /// Of no bytes yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the bytes that follow.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of them all.
    #[must_use]
    pub fn finish(self) -> Sha256Digest {
        self.0.finalize().into()
    }
}

/// SHA-256 of plain bytes: what sections, stored tensors and whole bundles are known by.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    sha2::Sha256::digest(bytes).into()
}

/// Digest of a value as it stands in a graph: dtype code (one byte), rank (u32), dimensions (u64 each),
/// then the row-major bytes in ONNX order; numbers little-endian.
///
/// Two devices that compute the same layer compare by this, whatever layout they hold the layer in.
#[must_use]
pub fn value_digest(dtype: DType, dims: &[u64], bytes: &[u8]) -> Sha256Digest {
    let mut hash = Sha256::new();
    hash.update(&[dtype.code()]);
    hash.update(&u32::try_from(dims.len()).unwrap_or(u32::MAX).to_le_bytes());
    for dim in dims {
        hash.update(&dim.to_le_bytes());
    }
    hash.update(bytes);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_digest_tells_dtype_and_shape_apart() {
        let bytes = [1, 2, 3, 4];
        let base = value_digest(DType::U8, &[4], &bytes);
        assert_ne!(base, value_digest(DType::I8, &[4], &bytes));
        assert_ne!(base, value_digest(DType::U8, &[2, 2], &bytes));
        assert_ne!(base, value_digest(DType::U8, &[4], &[1, 2, 3, 5]));
        assert_eq!(base, value_digest(DType::U8, &[4], &bytes));
    }
}
