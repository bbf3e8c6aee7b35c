//! A model's bytes in memory, where every tensor lies on its boundary.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;
use std::rc::Rc;

/// Sections and tensors of a bundle begin at multiples of this; so must the buffer.
const ALIGNMENT: usize = sanderling_bundle::ALIGN;

/// Immutable bytes that start at a multiple of 64; cloning shares them.
#[derive(Clone)]
pub struct ModelBytes {
    raw: Rc<Vec<u8>>,
    start: usize,
    len: usize,
}

impl ModelBytes {
    /// A copy of `bytes`.
    #[must_use]
    pub fn copy_of(bytes: &[u8]) -> Self {
        let (mut raw, start) = aligned(bytes.len());
        raw[start..start + bytes.len()].copy_from_slice(bytes);
        Self {
            raw: Rc::new(raw),
            start,
            len: bytes.len(),
        }
    }

    /// A file, read whole.
    ///
    /// # Errors
    /// What the system says; a file that grows or shrinks meanwhile is [`io::ErrorKind::InvalidData`].
    pub fn read(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        // A pipe that nobody writes to would keep the caller waiting.
        if !std::fs::metadata(path)?.is_file() {
            let words = "it is no regular file but a folder, a pipe or a device";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, words));
        }
        let mut file = File::open(path)?;
        let len = usize::try_from(file.metadata()?.len()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the file does not fit the address space",
            )
        })?;
        Self::read_from(&mut file, len)
    }

    /// Exactly `len` bytes from a reader, such as the open file whose hash was verified.
    ///
    /// # Errors
    /// What the reader says; fewer or more bytes are [`io::ErrorKind::InvalidData`].
    pub fn read_from(reader: &mut impl Read, len: usize) -> io::Result<Self> {
        let (mut raw, start) = aligned(len);
        let changed = || io::Error::new(io::ErrorKind::InvalidData, "the file changed while it was read");
        reader
            .read_exact(&mut raw[start..start + len])
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => changed(),
                _ => error,
            })?;
        if reader.read(&mut [0])? > 0 {
            return Err(changed());
        }
        Ok(Self {
            raw: Rc::new(raw),
            start,
            len,
        })
    }
}

/// A zeroed vector with room for `len` bytes from the returned index on. It is never grown: its address stays.
fn aligned(len: usize) -> (Vec<u8>, usize) {
    let raw = vec![0u8; len + ALIGNMENT - 1];
    let start = raw.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - 1);
    (raw, start)
}

impl Deref for ModelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.raw[self.start..self.start + self.len]
    }
}

impl std::fmt::Debug for ModelBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ModelBytes")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_aligned_and_whole() {
        for len in [0usize, 1, 63, 64, 4097] {
            let source: Vec<u8> = (0..len).map(|i| i as u8).collect();
            for bytes in [
                ModelBytes::copy_of(&source),
                ModelBytes::read_from(&mut &source[..], len).unwrap(),
            ] {
                assert_eq!(*bytes, *source);
                assert_eq!(bytes.as_ptr() as usize % 64, 0);
            }
        }
    }

    #[test]
    fn a_file_that_changes_is_refused() {
        assert_eq!(
            ModelBytes::read_from(&mut &b"abc"[..], 4).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        assert_eq!(
            ModelBytes::read_from(&mut &b"abcde"[..], 4).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }
}
