//! A medium in memory: for a browser tab that keeps nothing, and under the power-cut simulator.

use crate::storage::{MAX_BLOB_LEN, PAGE_LEN, Page, Region, Slot, Storage, StorageError, is_blob_name};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Regions, pages and blobs in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryStorage {
    slots: [Vec<u8>; 2],
    factory: Vec<u8>,
    outbox: [Vec<u8>; 2],
    pages: [Box<[u8; PAGE_LEN]>; 2],
    blobs: BTreeMap<String, Vec<u8>>,
    slot_capacity: u64,
    outbox_capacity: u64,
    room: u64,
}

impl MemoryStorage {
    /// An empty medium with these capacities, in bytes, of each slot and of each half of the outbox.
    #[must_use]
    pub fn new(slot_capacity: u64, outbox_capacity: u64) -> Self {
        Self {
            slots: [Vec::new(), Vec::new()],
            factory: Vec::new(),
            outbox: [Vec::new(), Vec::new()],
            pages: [Box::new([0; PAGE_LEN]), Box::new([0; PAGE_LEN])],
            blobs: BTreeMap::new(),
            slot_capacity,
            outbox_capacity,
            room: u64::MAX,
        }
    }

    /// The same with a factory image.
    #[must_use]
    pub fn with_factory(mut self, image: Vec<u8>) -> Self {
        self.factory = image;
        self
    }

    /// The bytes of a region.
    #[must_use]
    pub fn bytes(&self, region: Region) -> &[u8] {
        match region {
            Region::Slot(slot) => &self.slots[slot as usize],
            Region::Factory => &self.factory,
            Region::Outbox(page) => &self.outbox[page.index()],
        }
    }

    /// The bytes of a region, to damage them.
    pub fn bytes_mut(&mut self, region: Region) -> &mut Vec<u8> {
        match region {
            Region::Slot(slot) => &mut self.slots[slot as usize],
            Region::Factory => &mut self.factory,
            Region::Outbox(page) => &mut self.outbox[page.index()],
        }
    }

    /// A journal page, to damage it.
    pub fn page_mut(&mut self, page: Page) -> &mut [u8; PAGE_LEN] {
        &mut self.pages[page.index()]
    }

    /// Sets how many bytes regions and blobs may hold together: a disk that fills up. A blob is written beside the one
    /// it replaces.
    pub fn set_room(&mut self, bytes: u64) {
        self.room = bytes;
    }

    fn used(&self) -> u64 {
        self.slots
            .iter()
            .chain(&self.outbox)
            .chain(self.blobs.values())
            .map(|held| held.len() as u64)
            .sum()
    }

    fn writable(&mut self, region: Region) -> Result<&mut Vec<u8>, StorageError> {
        match region {
            Region::Factory => Err(StorageError::ReadOnly {
                what: region.to_string(),
            }),
            Region::Slot(_) | Region::Outbox(_) => Ok(self.bytes_mut(region)),
        }
    }
}

impl Storage for MemoryStorage {
    fn capacity(&self, region: Region) -> u64 {
        match region {
            Region::Slot(Slot::A | Slot::B) => self.slot_capacity,
            Region::Factory => self.factory.len() as u64,
            Region::Outbox(_) => self.outbox_capacity,
        }
    }

    fn extent(&mut self, region: Region) -> Result<u64, StorageError> {
        Ok(self.bytes(region).len() as u64)
    }

    fn clear(&mut self, region: Region) -> Result<(), StorageError> {
        *self.writable(region)? = Vec::new();
        Ok(())
    }

    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        self.writable(region)?.truncate(length);
        Ok(())
    }

    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let end = offset.saturating_add(bytes.len() as u64);
        let more = end.saturating_sub(self.bytes(region).len() as u64);
        if end > self.capacity(region) || self.used().saturating_add(more) > self.room {
            return Err(StorageError::Full {
                what: region.to_string(),
            });
        }
        let out_of_range = StorageError::OutOfRange {
            region,
            offset,
            length: bytes.len() as u64,
        };
        let (start, end) = (
            usize::try_from(offset).map_err(|_| out_of_range.clone())?,
            usize::try_from(end).map_err(|_| out_of_range)?,
        );
        let held = self.writable(region)?;
        if held.len() < end {
            held.resize(end, 0);
        }
        held[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _region: Region) -> Result<(), StorageError> {
        Ok(())
    }

    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let length = buffer.len() as u64;
        let held = self.bytes(region);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let found = held.get(start..).and_then(|rest| rest.get(..buffer.len()));
        buffer.copy_from_slice(found.ok_or(StorageError::OutOfRange {
            region,
            offset,
            length,
        })?);
        Ok(())
    }

    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError> {
        buffer.copy_from_slice(&*self.pages[page.index()]);
        Ok(())
    }

    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError> {
        self.pages[page.index()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_page(&mut self, _page: Page) -> Result<(), StorageError> {
        Ok(())
    }

    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.blobs.get(name).cloned())
    }

    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        if !is_blob_name(name) || bytes.len() > MAX_BLOB_LEN {
            return Err(StorageError::Failed {
                what: format!("blob {name:?}"),
                detail: format!("{} bytes under a name like this are not kept", bytes.len()),
            });
        }
        if self.used().saturating_add(bytes.len() as u64) > self.room {
            return Err(StorageError::Full {
                what: format!("blob {name:?}"),
            });
        }
        self.blobs.insert(name.to_string(), bytes.to_vec());
        Ok(())
    }

    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError> {
        self.blobs.remove(name);
        Ok(())
    }
}
