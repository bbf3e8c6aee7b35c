//! The files of an updater: a fixed few, opened once. What they are kept by is the caller's.

use std::fmt;

/// The image that came with the page.
pub(crate) const FACTORY: &str = "factory.sdl";
/// Image slots A and B.
pub(crate) const SLOTS: [&str; 2] = ["slot.a.sdl", "slot.b.sdl"];
/// Halves of the telemetry outbox.
pub(crate) const OUTBOX: [&str; 2] = ["outbox.0", "outbox.1"];
/// Pages of the journal.
pub(crate) const JOURNAL: [&str; 2] = ["journal.0", "journal.1"];
/// Copies of the small documents.
pub(crate) const BLOBS: [&str; 2] = ["blobs.0", "blobs.1"];

/// Why a file did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct FileError {
    /// Whether there was no room.
    pub(crate) full: bool,
    /// The medium's own words.
    pub(crate) detail: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

/// Files by name, each of which is there, if only empty.
pub(crate) trait Files {
    /// Bytes of it.
    fn size(&self, file: &'static str) -> Result<u64, FileError>;

    /// Reads from `at` on; gives how many bytes there were.
    fn read(&self, file: &'static str, at: u64, buffer: &mut [u8]) -> Result<usize, FileError>;

    /// Writes at `at`; gives how many bytes there was room for.
    fn write(&self, file: &'static str, at: u64, bytes: &[u8]) -> Result<usize, FileError>;

    /// Makes it so long.
    fn truncate(&self, file: &'static str, length: u64) -> Result<(), FileError>;

    /// Returns when what was written survives a power cut.
    fn flush(&self, file: &'static str) -> Result<(), FileError>;
}
