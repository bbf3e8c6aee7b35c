//! Small named documents (metadata, enrolment, the key), all in one file that is written whole.
//!
//! The Origin Private File System renames nothing within a synchronous call, so there are two copies: the older one is overwritten,
//! flushed, and counts by its higher number once its hash is right. A cut leaves the other copy as it was.
//!
//! ```text
//! "SDLBLOB1" | number, 8 bytes | length of the rest, 8 bytes | SHA-256 of number and rest | (name length, name, length, bytes)…
//! ```

use crate::files::{BLOBS, FileError, Files};
use sanderling_slots::MAX_BLOB_LEN;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

const MAGIC: &[u8; 8] = b"SDLBLOB1";
const HEAD_LEN: usize = 8 + 8 + 8 + 32;
/// Most bytes of all of them: what a damaged length may make us read.
const MAX_LEN: usize = 16 * MAX_BLOB_LEN;

/// The newest whole copy, in memory.
pub(crate) struct Blobs {
    blobs: BTreeMap<String, Vec<u8>>,
    /// Number of the newest copy; its file is that number's parity.
    number: u64,
    /// Whether a copy was there that cannot be read.
    pub(crate) damaged: bool,
}

impl Blobs {
    /// Reads the newest whole copy.
    pub(crate) fn open(files: &impl Files) -> Result<Self, FileError> {
        let mut newest = Self {
            blobs: BTreeMap::new(),
            number: 0,
            damaged: false,
        };
        let mut damaged = false;
        for file in BLOBS {
            match read(files, file)? {
                Some((number, blobs)) if number > newest.number => {
                    (newest.number, newest.blobs) = (number, blobs);
                }
                Some(_) => {}
                None => damaged |= files.size(file)? > 0,
            }
        }
        // One bad copy is what a cut leaves behind; two are a loss.
        newest.damaged = damaged && newest.number == 0;
        Ok(newest)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&[u8]> {
        self.blobs.get(name).map(Vec::as_slice)
    }

    /// Replaces a document, or removes it; durable when it returns.
    pub(crate) fn put(
        &mut self,
        files: &impl Files,
        name: &str,
        bytes: Option<&[u8]>,
    ) -> Result<(), FileError> {
        if self.get(name) == bytes {
            return Ok(());
        }
        let mut next = self.blobs.clone();
        match bytes {
            Some(bytes) => next.insert(name.to_string(), bytes.to_vec()),
            None => next.remove(name),
        };
        let number = self.number + 1;
        let content = encode(number, &next);
        if content.len() > MAX_LEN {
            return Err(FileError {
                full: true,
                detail: format!(
                    "the documents have {} bytes, {MAX_LEN} is the most",
                    content.len()
                ),
            });
        }
        let file = file_of(number);
        if files.write(file, 0, &content)? < content.len() {
            return Err(FileError {
                full: true,
                detail: "only a part was written".to_string(),
            });
        }
        files.truncate(file, content.len() as u64)?;
        files.flush(file)?;
        (self.number, self.blobs) = (number, next);
        Ok(())
    }
}

fn file_of(number: u64) -> &'static str {
    if number.is_multiple_of(2) {
        BLOBS[0]
    } else {
        BLOBS[1]
    }
}

fn encode(number: u64, blobs: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut rest = Vec::new();
    for (name, bytes) in blobs {
        // Names have at most 64 characters, documents 1 MiB: the trait's.
        rest.push(name.len() as u8);
        rest.extend_from_slice(name.as_bytes());
        rest.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        rest.extend_from_slice(bytes);
    }
    let number = number.to_le_bytes();
    let length = (rest.len() as u64).to_le_bytes();
    let hash = Sha256::new().chain_update(number).chain_update(&rest).finalize();
    [MAGIC, &number[..], &length, &hash, &rest].concat()
}

/// A copy; none where there is no whole one.
#[allow(clippy::type_complexity)]
fn read(
    files: &impl Files,
    file: &'static str,
) -> Result<Option<(u64, BTreeMap<String, Vec<u8>>)>, FileError> {
    let size = files.size(file)?;
    let Some(length) = usize::try_from(size)
        .ok()
        .filter(|size| (HEAD_LEN..=MAX_LEN).contains(size))
    else {
        return Ok(None);
    };
    let mut content = vec![0; length];
    let count = files.read(file, 0, &mut content)?;
    content.truncate(count);
    Ok(decode(&content))
}

fn decode(content: &[u8]) -> Option<(u64, BTreeMap<String, Vec<u8>>)> {
    let (magic, content) = content.split_first_chunk::<8>()?;
    let (number, content) = content.split_first_chunk::<8>()?;
    let (length, content) = content.split_first_chunk::<8>()?;
    let (hash, content) = content.split_first_chunk::<32>()?;
    // What a longer copy before it left behind comes after the rest.
    let mut rest = content.get(..usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let found = Sha256::new().chain_update(number).chain_update(rest).finalize();
    if magic != MAGIC || found[..] != hash[..] {
        return None;
    }
    let mut blobs = BTreeMap::new();
    while let Some((&length, after)) = rest.split_first() {
        let (name, after) = after.split_at_checked(usize::from(length))?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let (bytes, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        blobs.insert(std::str::from_utf8(name).ok()?.to_string(), bytes.to_vec());
        rest = after;
    }
    Some((u64::from_le_bytes(*number), blobs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    /// Files in memory, whose power fails after so many bytes have been written.
    #[derive(Default, Clone)]
    struct Memory {
        files: RefCell<BTreeMap<&'static str, Vec<u8>>>,
        power: Cell<Option<usize>>,
    }

    fn cut() -> FileError {
        FileError {
            full: false,
            detail: "the power failed".to_string(),
        }
    }

    impl Files for Memory {
        fn size(&self, file: &'static str) -> Result<u64, FileError> {
            Ok(self.files.borrow().get(file).map_or(0, Vec::len) as u64)
        }
        fn read(&self, file: &'static str, at: u64, buffer: &mut [u8]) -> Result<usize, FileError> {
            let files = self.files.borrow();
            let rest = files.get(file).map_or(&[][..], |bytes| &bytes[at as usize..]);
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        }
        fn write(&self, file: &'static str, at: u64, bytes: &[u8]) -> Result<usize, FileError> {
            let room = self.power.get().unwrap_or(usize::MAX).min(bytes.len());
            let mut files = self.files.borrow_mut();
            let content = files.entry(file).or_default();
            let end = at as usize + room;
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at as usize..end].copy_from_slice(&bytes[..room]);
            self.power.set(self.power.get().map(|left| left - room));
            if room < bytes.len() { Err(cut()) } else { Ok(room) }
        }
        fn truncate(&self, file: &'static str, length: u64) -> Result<(), FileError> {
            if self.power.get() == Some(0) {
                return Err(cut());
            }
            self.files
                .borrow_mut()
                .entry(file)
                .or_default()
                .truncate(length as usize);
            Ok(())
        }
        fn flush(&self, _: &'static str) -> Result<(), FileError> {
            Ok(())
        }
    }

    #[test]
    fn a_cut_anywhere_leaves_the_old_or_the_new() {
        let files = Memory::default();
        let mut blobs = Blobs::open(&files).unwrap();
        blobs
            .put(&files, "a", Some(b"old, and longer than what comes"))
            .unwrap();
        blobs.put(&files, "b", Some(b"another")).unwrap();
        let whole = encode(
            3,
            &BTreeMap::from([("a".into(), b"new".to_vec()), ("b".into(), b"another".to_vec())]),
        );
        for bytes in 0..=whole.len() {
            let cut_short = files.clone();
            let mut blobs = Blobs::open(&cut_short).unwrap();
            cut_short.power.set(Some(bytes));
            let done = blobs.put(&cut_short, "a", Some(b"new"));
            cut_short.power.set(None);
            let mut after = Blobs::open(&cut_short).unwrap();
            let found = after.get("a").unwrap().to_vec();
            assert!(
                found == b"new" || found.starts_with(b"old"),
                "after {bytes}: {found:?}"
            );
            assert!(done.is_err() || found == b"new", "after {bytes}");
            assert_eq!(after.get("b").unwrap(), b"another");
            assert!(!after.damaged);
            after.put(&cut_short, "a", Some(b"newer")).unwrap();
            assert_eq!(Blobs::open(&cut_short).unwrap().get("a").unwrap(), b"newer");
        }
    }

    #[test]
    fn removed_is_gone_and_two_bad_copies_are_a_loss() {
        let files = Memory::default();
        let mut blobs = Blobs::open(&files).unwrap();
        assert!(!blobs.damaged);
        blobs.put(&files, "a", Some(b"1")).unwrap();
        blobs.put(&files, "a", None).unwrap();
        assert_eq!(Blobs::open(&files).unwrap().get("a"), None);
        for (bad, file) in BLOBS.into_iter().enumerate() {
            assert!(!Blobs::open(&files).unwrap().damaged, "{bad} bad copies");
            files.files.borrow_mut().get_mut(file).unwrap()[20] ^= 1;
        }
        assert!(Blobs::open(&files).unwrap().damaged);
    }

    #[test]
    fn any_bytes_are_a_copy_or_none() {
        let good = encode(1, &BTreeMap::from([("name".into(), vec![7; 40])]));
        assert!(decode(&good).is_some());
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_none(), "{length}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                assert!(bytes == good || decode(&bytes).is_none(), "byte {at} = {value}");
            }
        }
    }
}
