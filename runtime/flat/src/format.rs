//! The container's layout: header, section table, constants. Everything is little-endian.
//!
//! ```text
//! offset size
//!      0    8  magic 89 'S' 'D' 'L' 0D 0A 1A 0A
//!      8    2  format major: another value is another format
//!     10    2  format minor: additions that a reader of the same major may ignore
//!     12    4  numerics version: which definition of integer arithmetic the plan's digests refer to
//!     16    8  length of the whole file
//!     24    4  number of sections
//!     28    4  zero
//!     32   32  SHA-256 over bytes 0..32 and the section table
//!     64  64n  section table: kind u16, flags u16, id u32, offset u64, length u64, SHA-256, 8 zero bytes
//!              sections, each at the first multiple of 64 after the one before it, zero padding between
//! ```
//!
//! The magic is in the manner of PNG (RFC 2083, section 12.11): a high bit and line ends, so that a
//! transfer that strips bit 7 or rewrites line ends shows at once. There is one way to lay out given
//! sections, so that equal contents are equal files.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::error::BundleError;

/// The first eight bytes of every bundle.
pub const MAGIC: [u8; 8] = [0x89, b'S', b'D', b'L', 0x0D, 0x0A, 0x1A, 0x0A];
/// The format that this build writes.
pub const FORMAT_MAJOR: u16 = 1;
/// The oldest format that this build reads: the one before [`FORMAT_MAJOR`], once there is one.
pub const OLDEST_MAJOR: u16 = 1;
/// Additions within [`FORMAT_MAJOR`] that this build writes.
pub const FORMAT_MINOR: u16 = 0;
/// Sections and tensors begin at multiples of this many bytes.
pub const ALIGN: usize = 64;

/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a row of the section table.
pub const ENTRY_LEN: usize = 64;
/// A reader that does not know a section with this flag must refuse the bundle.
pub const FLAG_CRITICAL: u16 = 1;

/// What a section holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SectionKind {
    /// What is known of the model, in postcard.
    Manifest,
    /// Names, types, shapes, places and hashes of the tensors.
    TensorTable,
    /// The tensors' bytes.
    TensorData,
    /// An execution plan for one target; its bytes mean something to `sanderling-core` only.
    Plan,
    /// Inputs with the outputs that they must give.
    Golden,
    /// Model card, UTF-8 (Markdown).
    ModelCard,
    /// Licence and attribution notices that travel with the model, UTF-8.
    Notice,
    /// What a run without a heap takes: [`Certificate`](crate::Certificate).
    Certificate,
    /// A kind that this build does not know.
    Other(u16),
}

impl SectionKind {
    /// The kind as the section table has it.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Self::Manifest => 1,
            Self::TensorTable => 2,
            Self::TensorData => 3,
            Self::Plan => 4,
            Self::Golden => 5,
            Self::ModelCard => 6,
            Self::Notice => 7,
            Self::Certificate => 8,
            Self::Other(code) => code,
        }
    }

    /// The kind that a section table's number stands for.
    #[must_use]
    pub const fn from_code(code: u16) -> Self {
        match code {
            1 => Self::Manifest,
            2 => Self::TensorTable,
            3 => Self::TensorData,
            4 => Self::Plan,
            5 => Self::Golden,
            6 => Self::ModelCard,
            7 => Self::Notice,
            8 => Self::Certificate,
            other => Self::Other(other),
        }
    }

    /// Whether a bundle may hold several sections of this kind, told apart by their ids.
    pub const fn may_repeat(self) -> bool {
        matches!(self, Self::Plan | Self::Other(_))
    }
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Manifest => "manifest",
            Self::TensorTable => "tensor table",
            Self::TensorData => "tensor data",
            Self::Plan => "plan",
            Self::Golden => "golden vectors",
            Self::ModelCard => "model card",
            Self::Notice => "notice",
            Self::Certificate => "certificate",
            Self::Other(code) => return write!(f, "kind {code}"),
        })
    }
}

/// A section table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// What it holds.
    pub kind: SectionKind,
    /// Whether a reader that does not know the kind must refuse the bundle.
    pub critical: bool,
    /// Tells sections of one kind apart.
    pub id: u32,
    /// Offset from the start of the file, in bytes; a multiple of [`ALIGN`].
    pub offset: u64,
    /// Length without padding, in bytes.
    pub len: u64,
    /// SHA-256 of the section's bytes.
    pub sha256: [u8; 32],
}

impl Section {
    /// As a row of the section table.
    #[must_use]
    pub fn encode(&self) -> [u8; ENTRY_LEN] {
        let mut row = [0; ENTRY_LEN];
        row[0..2].copy_from_slice(&self.kind.code().to_le_bytes());
        row[2..4].copy_from_slice(&u16::from(self.critical).to_le_bytes());
        row[4..8].copy_from_slice(&self.id.to_le_bytes());
        row[8..16].copy_from_slice(&self.offset.to_le_bytes());
        row[16..24].copy_from_slice(&self.len.to_le_bytes());
        row[24..56].copy_from_slice(&self.sha256);
        row
    }

    /// Reads a row of [`ENTRY_LEN`] bytes; `at` is its offset in the file, for the error.
    ///
    /// # Errors
    /// [`BundleError::Corrupt`] where reserved bits are set.
    pub fn decode(row: &[u8; ENTRY_LEN], at: u64) -> Result<Self, BundleError> {
        let corrupt = |what| BundleError::Corrupt {
            section: None,
            offset: at,
            what,
        };
        let flags = u16::from_le_bytes(array(row, 2));
        if flags & !FLAG_CRITICAL != 0 || row[56..] != [0; 8] {
            return Err(corrupt("reserved bits of a section table row are set"));
        }
        Ok(Self {
            kind: SectionKind::from_code(u16::from_le_bytes(array(row, 0))),
            critical: flags & FLAG_CRITICAL != 0,
            id: u32::from_le_bytes(array(row, 4)),
            offset: u64::from_le_bytes(array(row, 8)),
            len: u64::from_le_bytes(array(row, 16)),
            sha256: array(row, 24),
        })
    }
}

/// The fixed part at the start of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format version: another major is another format.
    pub major: u16,
    /// Additions within the major version.
    pub minor: u16,
    /// The definition of integer arithmetic that digests refer to (docs/numerics.md).
    pub numerics: u32,
    /// Length of the whole file, in bytes.
    pub total_len: u64,
    /// Number of sections.
    pub sections: u32,
}

impl Header {
    /// The first 32 bytes; the hash of these and of the table follows them in the file.
    #[must_use]
    pub fn encode(&self) -> [u8; 32] {
        let mut out = [0; 32];
        out[0..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&self.major.to_le_bytes());
        out[10..12].copy_from_slice(&self.minor.to_le_bytes());
        out[12..16].copy_from_slice(&self.numerics.to_le_bytes());
        out[16..24].copy_from_slice(&self.total_len.to_le_bytes());
        out[24..28].copy_from_slice(&self.sections.to_le_bytes());
        out
    }

    /// Reads the header.
    ///
    /// # Errors
    /// [`BundleError`] for other bytes, and for versions that this build does not read.
    pub fn decode(bytes: &[u8]) -> Result<Self, BundleError> {
        if !bytes.starts_with(&MAGIC) {
            return Err(not_a_bundle(bytes));
        }
        let Some(head) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(BundleError::Truncated {
                expected: HEADER_LEN as u64,
                found: bytes.len() as u64,
            });
        };
        let major = u16::from_le_bytes(array(head, 8));
        if !(OLDEST_MAJOR..=FORMAT_MAJOR).contains(&major) {
            return Err(BundleError::WrongVersion {
                found: major,
                supported: (OLDEST_MAJOR, FORMAT_MAJOR),
            });
        }
        if head[28..32] != [0; 4] {
            let what = "reserved bytes of the header are set";
            return Err(BundleError::Corrupt {
                section: None,
                offset: 28,
                what,
            });
        }
        Ok(Self {
            major,
            minor: u16::from_le_bytes(array(head, 10)),
            numerics: u32::from_le_bytes(array(head, 12)),
            total_len: u64::from_le_bytes(array(head, 16)),
            sections: u32::from_le_bytes(array(head, 24)),
        })
    }
}

/// SHA-256 that the header carries: over its own first 32 bytes and the section table.
pub fn table_hash(head: &[u8], table: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update(head)
        .chain_update(table)
        .finalize()
        .into()
}

/// `n` rounded up to a multiple of [`ALIGN`]; `None` on overflow.
pub const fn align_up(n: u64) -> Option<u64> {
    n.checked_next_multiple_of(ALIGN as u64)
}

/// `N` bytes at `at`. The caller's slice is at least `at + N` long; zero bytes where it is not.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk::<N>())
        .copied()
        .unwrap_or([0; N])
}

fn not_a_bundle(bytes: &[u8]) -> BundleError {
    if !bytes.is_empty() && MAGIC.starts_with(bytes) {
        return BundleError::Truncated {
            expected: HEADER_LEN as u64,
            found: bytes.len() as u64,
        };
    }
    BundleError::NotABundle {
        looks_like: crate::sniff::describe(bytes),
    }
}
