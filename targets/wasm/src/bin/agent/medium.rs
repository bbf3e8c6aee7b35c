//! Slots, journal, outbox and documents over [`Files`], as the agent wants them.

use crate::blobs::Blobs;
use crate::files::{FACTORY, FileError, Files, JOURNAL, OUTBOX, SLOTS};
use sanderling_slots::{
    MAX_BLOB_LEN, PAGE_LEN, Page, Place, Region, Storage, StorageError, is_blob_name, region_of,
};

/// Most bytes of each half of the telemetry outbox.
const OUTBOX_CAPACITY: u64 = 512 * 1024;
/// Most bytes of an image: what a browser has in one ArrayBuffer everywhere.
const SLOT_CAPACITY: u64 = 1 << 30;

/// An updater's medium.
pub(crate) struct Medium<F> {
    files: F,
    blobs: Blobs,
}

impl<F: Files> Medium<F> {
    /// Takes up what the files hold.
    pub(crate) fn open(files: F) -> Result<Self, FileError> {
        let blobs = Blobs::open(&files)?;
        Ok(Self { files, blobs })
    }

    /// Whether the documents were there and cannot be read.
    pub(crate) fn is_damaged(&self) -> bool {
        self.blobs.damaged
    }

    fn check_writable(region: Region) -> Result<&'static str, StorageError> {
        let name = name(region);
        if region == Region::Factory {
            return Err(StorageError::ReadOnly { what: name.into() });
        }
        Ok(name)
    }
}

/// The file of an image.
pub(crate) fn file_of(place: Place) -> &'static str {
    name(region_of(place))
}

fn name(region: Region) -> &'static str {
    match region {
        Region::Slot(slot) => SLOTS[slot as usize],
        Region::Outbox(page) => OUTBOX[page as usize],
        Region::Factory => FACTORY,
    }
}

fn failed(what: &str, error: &FileError) -> StorageError {
    let what = what.to_string();
    if error.full {
        StorageError::Full { what }
    } else {
        let detail = error.detail.clone();
        StorageError::Failed { what, detail }
    }
}

impl<F: Files> Storage for Medium<F> {
    fn capacity(&self, region: Region) -> u64 {
        match region {
            Region::Slot(_) => SLOT_CAPACITY,
            Region::Outbox(_) => OUTBOX_CAPACITY,
            Region::Factory => u64::MAX,
        }
    }

    fn extent(&mut self, region: Region) -> Result<u64, StorageError> {
        let name = name(region);
        self.files.size(name).map_err(|error| failed(name, &error))
    }

    fn clear(&mut self, region: Region) -> Result<(), StorageError> {
        let name = Self::check_writable(region)?;
        let cleared = self.files.truncate(name, 0).and_then(|()| self.files.flush(name));
        cleared.map_err(|error| failed(name, &error))
    }

    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError> {
        let name = Self::check_writable(region)?;
        let shorten = || {
            if self.files.size(name)? > length {
                self.files.truncate(name, length)?;
            }
            Ok(())
        };
        shorten().map_err(|error| failed(name, &error))
    }

    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let name = Self::check_writable(region)?;
        let full = || StorageError::Full { what: name.into() };
        if offset.saturating_add(bytes.len() as u64) > self.capacity(region) {
            return Err(full());
        }
        match self.files.write(name, offset, bytes) {
            Ok(count) if count == bytes.len() => Ok(()),
            Ok(_) => Err(full()),
            Err(error) => Err(failed(name, &error)),
        }
    }

    fn sync(&mut self, region: Region) -> Result<(), StorageError> {
        let name = name(region);
        self.files.flush(name).map_err(|error| failed(name, &error))
    }

    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let (name, length) = (name(region), buffer.len() as u64);
        match self.files.read(name, offset, buffer) {
            Ok(count) if count == buffer.len() => Ok(()),
            Ok(_) => Err(StorageError::OutOfRange {
                region,
                offset,
                length,
            }),
            Err(error) => Err(failed(name, &error)),
        }
    }

    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError> {
        let name = JOURNAL[page as usize];
        // A page shorter than it should be is new, or damaged: its checksum will tell.
        buffer.fill(0);
        let read = self.files.read(name, 0, buffer);
        read.map(drop).map_err(|error| failed(name, &error))
    }

    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError> {
        let name = JOURNAL[page as usize];
        match self.files.write(name, 0, bytes) {
            Ok(PAGE_LEN) => Ok(()),
            Ok(_) => Err(StorageError::Full { what: name.into() }),
            Err(error) => Err(failed(name, &error)),
        }
    }

    fn sync_page(&mut self, page: Page) -> Result<(), StorageError> {
        let name = JOURNAL[page as usize];
        self.files.flush(name).map_err(|error| failed(name, &error))
    }

    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.blobs.get(name).map(<[u8]>::to_vec))
    }

    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        if !is_blob_name(name) || bytes.len() > MAX_BLOB_LEN {
            return Err(StorageError::Failed {
                what: format!("document {name:?}"),
                detail: "it may not be written: its name or its length is not one of a document".to_string(),
            });
        }
        let written = self.blobs.put(&self.files, name, Some(bytes));
        written.map_err(|error| failed(name, &error))
    }

    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError> {
        let removed = self.blobs.put(&self.files, name, None);
        removed.map_err(|error| failed(name, &error))
    }
}
