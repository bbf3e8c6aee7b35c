//! Memory that starts on a cache line.

use crate::backend::ALIGNMENT;
use alloc::vec::Vec;

/// Zeroed bytes that start at a multiple of [`ALIGNMENT`]. Pages are the system's until they are touched.
pub(crate) struct AlignedBytes {
    raw: Vec<u8>,
    start: usize,
    len: usize,
}

impl AlignedBytes {
    pub(crate) fn zeroed(len: usize) -> Self {
        let raw = alloc::vec![0u8; len + ALIGNMENT - 1];
        // The vector is never grown, so its address stays.
        let start = raw.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
        Self { raw, start, len }
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.raw[self.start..self.start + self.len]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.raw[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_line() {
        for len in [0, 1, 63, 64, 1000] {
            let mut bytes = AlignedBytes::zeroed(len);
            assert_eq!(bytes.as_ref().len(), len);
            assert_eq!(bytes.as_ref().as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(bytes.as_mut().as_mut_ptr() as usize % ALIGNMENT, 0);
        }
    }
}
