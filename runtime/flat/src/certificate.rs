//! The resource certificate of a plan without a heap: what a device must have before it begins.
//!
//! ```text
//! offset size
//!      0    4  version: 1
//!      4    4  bytes of the arena: inputs, intermediates and outputs, as the plan lays them out
//!      8    4  bytes of scratch beside the arena
//!     12    4  bound on the stack of making a session and of a run, from the call on, in bytes
//!     16    8  multiply-accumulates of one run
//!     24    8  bytes of the sections that stay readable while the model runs
//! ```
//!
//! Little-endian. The arena's bytes are in the plan too; a bundle in which they differ is refused. A later version may be longer
//! and keeps these fields.

use crate::error::BundleError;
use crate::format::{Section, SectionKind, array};

/// Bytes of the section as this build writes it.
pub const LEN: usize = 32;
/// Version that this build writes.
pub const VERSION: u32 = 1;

/// The bound on the stack that `pack` certifies. No kernel of `sanderling-micro` has a frame that depends on the model, so it is
/// one number: what a Cortex-M4F and an RV32IMC were measured to take at most (`examples/cortex-m`, which fails above it), and
/// half as much again for other compilers.
pub const STACK_BYTES: u32 = 6144;

/// What one run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Bytes of the arena.
    pub arena_bytes: u32,
    /// Bytes of scratch beside it.
    pub scratch_bytes: u32,
    /// Bound on the stack, in bytes.
    pub stack_bytes: u32,
    /// Multiply-accumulates.
    pub macs: u64,
    /// Bytes of plan, tensor table and tensors.
    pub flash_bytes: u64,
}

impl Certificate {
    /// As a section.
    #[must_use]
    pub fn encode(&self) -> [u8; LEN] {
        let mut out = [0; LEN];
        let words = [VERSION, self.arena_bytes, self.scratch_bytes, self.stack_bytes];
        for (field, word) in out.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        out[16..24].copy_from_slice(&self.macs.to_le_bytes());
        out[24..].copy_from_slice(&self.flash_bytes.to_le_bytes());
        out
    }

    /// Reads a section's bytes; `section` is for the error.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] for fewer bytes, or version 0.
    pub fn decode(bytes: &[u8], section: &Section) -> Result<Self, BundleError> {
        let word = |at| u32::from_le_bytes(array(bytes, at));
        if bytes.len() < LEN || word(0) == 0 {
            return Err(BundleError::Corrupt {
                section: Some(SectionKind::Certificate),
                offset: section.offset,
                what: "the certificate is cut short or has no version",
            });
        }
        Ok(Self {
            arena_bytes: word(4),
            scratch_bytes: word(8),
            stack_bytes: word(12),
            macs: u64::from_le_bytes(array(bytes, 16)),
            flash_bytes: u64::from_le_bytes(array(bytes, 24)),
        })
    }
}
