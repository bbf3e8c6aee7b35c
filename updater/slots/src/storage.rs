//! What the slots ask of a medium.
//!
//! Three kinds of object, because three promises are wanted:
//! - a [`Region`] is long and written front to back: an image slot, half of the outbox. Nothing of it is promised
//!   until [`Storage::sync`] returns.
//! - a [`Page`] is one journal record, written as a whole and in place, so that a full disk still takes it. A cut
//!   while it is written may leave anything there: its reader has a checksum and the other page.
//! - a *blob* is a small named document, replaced as a whole: after a cut the old one or the new one is there.
//!
//! Files and raw NOR flash both fit. Flash sets [`Storage::granule`] to its erase sector, answers
//! [`Storage::extent`] with its capacity, and keeps two copies of each blob.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Bytes of a journal page: one sector of common NOR flash, one block of common file systems.
pub const PAGE_LEN: usize = 4096;
/// Most bytes of a blob.
pub const MAX_BLOB_LEN: usize = 1024 * 1024;

/// One of the two image slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// The other slot.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "A",
            Self::B => "B",
        })
    }
}

/// One of two alternating pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Page {
    /// The first.
    Zero,
    /// The second.
    One,
}

impl Page {
    /// Both, in order.
    pub const BOTH: [Self; 2] = [Self::Zero, Self::One];

    /// The other page.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Zero => Self::One,
            Self::One => Self::Zero,
        }
    }

    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

/// A long run of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Region {
    /// An image slot.
    Slot(Slot),
    /// The image that came with the app or the firmware: read-only, empty where there is none.
    Factory,
    /// Half of the telemetry outbox.
    Outbox(Page),
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slot(slot) => write!(f, "slot {slot}"),
            Self::Factory => f.write_str("factory image"),
            Self::Outbox(page) => write!(f, "outbox half {}", page.index()),
        }
    }
}

/// Why a medium did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// No room: the disk is full or the region's capacity is used up.
    Full {
        /// What was being written.
        what: String,
    },
    /// Bytes outside what is there were asked for.
    OutOfRange {
        /// The region.
        region: Region,
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        length: u64,
    },
    /// The object may not be written.
    ReadOnly {
        /// What was to be written.
        what: String,
    },
    /// The medium failed.
    Failed {
        /// What was being done, to what.
        what: String,
        /// The medium's own words.
        detail: String,
    },
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { what } => write!(
                f,
                "no room left to write {what}: free some space, the update then goes on"
            ),
            Self::OutOfRange {
                region,
                offset,
                length,
            } => {
                write!(
                    f,
                    "{length} bytes at {offset} of the {region} were asked for, it is shorter"
                )
            }
            Self::ReadOnly { what } => write!(f, "{what} is read-only"),
            Self::Failed { what, detail } => write!(f, "{what}: {detail}"),
        }
    }
}

impl core::error::Error for StorageError {}

/// A medium. Every method may be the last one before the power fails.
pub trait Storage {
    /// Most bytes the region can hold.
    fn capacity(&self, region: Region) -> u64;

    /// [`Storage::truncate`] keeps multiples of this many bytes only: 1 for files, the erase sector for flash.
    fn granule(&self, _region: Region) -> u64 {
        1
    }

    /// Bytes of the region that may hold data: a file's length, a flash region's capacity.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the medium does.
    fn extent(&mut self, region: Region) -> Result<u64, StorageError>;

    /// Empties the region. Files make a new inode, so that whoever has the old one mapped keeps reading it.
    ///
    /// # Errors
    /// [`StorageError`]; the region's content is then unknown.
    fn clear(&mut self, region: Region) -> Result<(), StorageError>;

    /// Throws away everything from `length` (a multiple of the granule) on.
    ///
    /// # Errors
    /// [`StorageError`]; everything from `length` on is then unknown.
    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError>;

    /// Writes `bytes` at `offset`, which is where the bytes written so far end.
    ///
    /// # Errors
    /// [`StorageError::Full`] when there is no room; some of the bytes may then be there.
    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError>;

    /// Returns when everything written to the region so far survives a power cut.
    ///
    /// # Errors
    /// [`StorageError`]; nothing is promised then of what was written since the last sync.
    fn sync(&mut self, region: Region) -> Result<(), StorageError>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`StorageError::OutOfRange`] past the end, [`StorageError::Failed`] when the medium does.
    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError>;

    /// Reads a journal page; one never written reads as zeros or ones.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the medium does.
    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError>;

    /// Overwrites a journal page. A cut leaves any mixture of old, new and garbage in this page, and in no other.
    ///
    /// # Errors
    /// [`StorageError`]; the page's content is then unknown.
    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError>;

    /// Returns when the page survives a power cut.
    ///
    /// # Errors
    /// [`StorageError`]; the page's content is then unknown.
    fn sync_page(&mut self, page: Page) -> Result<(), StorageError>;

    /// Reads a blob, none if there never was one of this name.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the medium does, or for a blob above [`MAX_BLOB_LEN`].
    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// Replaces a blob as a whole; durable when it returns. Names have 1 to 64 characters of `a-z 0-9 . _ -` and
    /// do not begin with a dot.
    ///
    /// # Errors
    /// [`StorageError`]; the old blob is then still there, or the new one.
    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError>;

    /// Removes a blob; durable when it returns, fine if there was none.
    ///
    /// # Errors
    /// [`StorageError`]; the blob may then still be there.
    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError>;
}

/// Whether a blob may have this name.
#[must_use]
pub fn is_blob_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

/// A medium chosen at run time is a medium.
impl<S: Storage + ?Sized> Storage for Box<S> {
    fn capacity(&self, region: Region) -> u64 {
        (**self).capacity(region)
    }
    fn granule(&self, region: Region) -> u64 {
        (**self).granule(region)
    }
    fn extent(&mut self, region: Region) -> Result<u64, StorageError> {
        (**self).extent(region)
    }
    fn clear(&mut self, region: Region) -> Result<(), StorageError> {
        (**self).clear(region)
    }
    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError> {
        (**self).truncate(region, length)
    }
    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        (**self).write(region, offset, bytes)
    }
    fn sync(&mut self, region: Region) -> Result<(), StorageError> {
        (**self).sync(region)
    }
    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        (**self).read(region, offset, buffer)
    }
    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError> {
        (**self).read_page(page, buffer)
    }
    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError> {
        (**self).write_page(page, bytes)
    }
    fn sync_page(&mut self, page: Page) -> Result<(), StorageError> {
        (**self).sync_page(page)
    }
    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        (**self).read_blob(name)
    }
    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        (**self).write_blob(name, bytes)
    }
    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError> {
        (**self).remove_blob(name)
    }
}
