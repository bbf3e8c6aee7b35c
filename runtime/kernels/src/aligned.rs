//! Memory for packed weights, aligned to a cache line so that no vector load straddles two.

use alloc::vec::Vec;

/// One cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; 16]);

/// f32 that start at a multiple of 64 bytes.
#[derive(Clone)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        Aligned {
            lines: alloc::vec![Line([0.0; 16]); len.div_ceil(16)],
            len,
        }
    }
}

impl core::ops::Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: `lines` holds at least `len` f32 side by side (repr(C), no padding: 64 bytes of 16 f32).
        unsafe { core::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl core::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow of `self` is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// The part of a slice from its first element at a multiple of 64 bytes, given 15 spare elements.
pub(crate) fn align(slice: &mut [f32]) -> &mut [f32] {
    let skip = slice.as_ptr().align_offset(64).min(slice.len());
    &mut slice[skip..]
}
