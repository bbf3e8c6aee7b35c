//! Slots, journal, outbox and blobs as files in one folder.
//!
//! ```text
//! state/lock                      held while an agent runs
//!       key                       the device's key (see `key.rs`)
//!       journal.0  journal.1      4 KiB each, overwritten in place: a full disk still takes them
//!       slot.a.sdl slot.b.sdl     an image each
//!       outbox.0   outbox.1       telemetry
//!       meta/…                    trusted metadata and enrolment, one file each
//! ```
//!
//! Emptying a region makes a new file and renames it over the old one, so that whoever has the old one open or
//! mapped keeps what he has. A blob is written to a temporary file, synced, renamed, and its folder synced. A slot's
//! file is opened once: what was verified is what is tested and served, whatever happens to the name.

use crate::error::DriverError;
use sanderling_slots::{
    MAX_BLOB_LEN, PAGE_LEN, Page, Place, Region, Slot, Storage, StorageError, is_blob_name,
};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const LOCK: &str = "lock";
const META: &str = "meta";
/// Only the device's own user.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK_TRIES: usize = 5;
const LOCK_WAIT: Duration = Duration::from_millis(20);

/// Sizes and the factory image.
#[derive(Debug, Clone)]
pub struct FileOptions {
    /// An image that came with the app; read-only, served when no slot holds an intact one.
    pub factory: Option<PathBuf>,
    /// Most bytes of an image.
    pub slot_capacity: u64,
    /// Most bytes of each half of the telemetry outbox.
    pub outbox_capacity: u64,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self {
            factory: None,
            slot_capacity: 4 << 30,
            outbox_capacity: 512 * 1024,
        }
    }
}

/// A state folder.
#[derive(Debug)]
pub struct FileStorage {
    folder: PathBuf,
    options: FileOptions,
    /// Held for its lock; none for a look at somebody else's folder.
    _lock: Option<File>,
    slots: [Option<File>; 2],
    outbox: [Option<File>; 2],
    pages: [Option<File>; 2],
    factory: Option<File>,
    writable: bool,
}

impl FileStorage {
    /// Opens a state folder for an agent, making it if need be.
    ///
    /// # Errors
    /// [`DriverError::StateLocked`] if another agent has it, [`DriverError::Io`].
    pub fn open(folder: &Path, options: FileOptions) -> Result<Self, DriverError> {
        let meta = folder.join(META);
        let mut builder = fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(FOLDER_MODE)
            .create(&meta)
            .map_err(DriverError::io(&meta))?;
        let lock = lock(folder)?;
        let mut this = Self::with(folder, options, true)?;
        this._lock = Some(lock);
        for page in Page::BOTH {
            if this.pages[index(page)].is_none() {
                this.pages[index(page)] = Some(this.make_page(page)?);
            }
        }
        Ok(this)
    }

    /// Opens a state folder to look at it, whether an agent runs on it or not. Nothing can be changed.
    ///
    /// # Errors
    /// [`DriverError::NoState`], [`DriverError::Io`].
    pub fn look(folder: &Path) -> Result<Self, DriverError> {
        let this = Self::with(folder, FileOptions::default(), false)?;
        if this.pages.iter().all(Option::is_none) {
            return Err(DriverError::NoState {
                path: folder.to_path_buf(),
            });
        }
        Ok(this)
    }

    fn with(folder: &Path, options: FileOptions, writable: bool) -> Result<Self, DriverError> {
        let open = |name: &str| open_if_there(&folder.join(name), writable);
        let factory = match &options.factory {
            Some(path) => Some(File::open(path).map_err(DriverError::io(path))?),
            None => None,
        };
        Ok(Self {
            _lock: None,
            slots: [open(slot_name(Slot::A))?, open(slot_name(Slot::B))?],
            outbox: [open(outbox_name(Page::Zero))?, open(outbox_name(Page::One))?],
            pages: [open(page_name(Page::Zero))?, open(page_name(Page::One))?],
            factory,
            folder: folder.to_path_buf(),
            options,
            writable,
        })
    }

    fn make_page(&self, page: Page) -> Result<File, DriverError> {
        let path = self.folder.join(page_name(page));
        let file = new_file(&path).map_err(DriverError::io(&path))?;
        let filled = file
            .write_all_at(&[0; PAGE_LEN], 0)
            .and_then(|()| file.sync_all());
        filled
            .and_then(|()| sync_folder(&self.folder))
            .map_err(DriverError::io(&path))?;
        Ok(file)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The open file of an image, and the name it had when it was opened.
    ///
    /// # Errors
    /// [`StorageError::Failed`] if there is none.
    pub fn image_file(&self, place: Place) -> Result<(File, PathBuf), StorageError> {
        let (file, path) = match place {
            Place::Slot(slot) => (&self.slots[slot as usize], self.folder.join(slot_name(slot))),
            Place::Factory => (&self.factory, self.options.factory.clone().unwrap_or_default()),
        };
        let file = file
            .as_ref()
            .ok_or_else(|| failed(path.display(), "there is no such image"))?;
        Ok((file.try_clone().map_err(|e| failed(path.display(), e))?, path))
    }

    /// Names of the blobs kept, sorted.
    ///
    /// # Errors
    /// [`StorageError::Failed`] when the folder cannot be read.
    pub fn blob_names(&self) -> Result<Vec<String>, StorageError> {
        let meta = self.folder.join(META);
        let entries = fs::read_dir(&meta).map_err(|error| failed(meta.display(), error))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.filter(|name| is_blob_name(name)).collect();
        names.sort();
        Ok(names)
    }

    /// Whether an agent holds the folder now.
    ///
    /// # Errors
    /// [`DriverError::Io`].
    pub fn is_locked(folder: &Path) -> Result<bool, DriverError> {
        let path = folder.join(LOCK);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(DriverError::Io { path, source }),
        };
        // A shared lock does not keep an agent from starting longer than this call takes.
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(source)) => Err(DriverError::Io { path, source }),
        }
    }

    fn name(&self, region: Region) -> &'static str {
        match region {
            Region::Slot(slot) => slot_name(slot),
            Region::Outbox(page) => outbox_name(page),
            Region::Factory => "factory image",
        }
    }

    fn region(&self, region: Region) -> Option<&File> {
        match region {
            Region::Slot(slot) => self.slots[slot as usize].as_ref(),
            Region::Outbox(page) => self.outbox[index(page)].as_ref(),
            Region::Factory => self.factory.as_ref(),
        }
    }

    fn check_writable(&self, region: Region) -> Result<(), StorageError> {
        if self.writable && region != Region::Factory {
            Ok(())
        } else {
            Err(StorageError::ReadOnly {
                what: self.name(region).to_string(),
            })
        }
    }

    fn blob_path(&self, name: &str) -> Result<PathBuf, StorageError> {
        if is_blob_name(name) {
            Ok(self.folder.join(META).join(name))
        } else {
            Err(failed(format!("blob {name:?}"), "no blob may have this name"))
        }
    }
}

fn lock(folder: &Path) -> Result<File, DriverError> {
    let path = folder.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .mode(FILE_MODE)
        .open(&path);
    let file = file.map_err(DriverError::io(&path))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Perhaps somebody only looks whether the folder is locked.
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_WAIT),
            Err(TryLockError::Error(source)) => return Err(DriverError::Io { path, source }),
        }
    }
    Err(DriverError::StateLocked {
        path: folder.to_path_buf(),
    })
}

fn index(page: Page) -> usize {
    match page {
        Page::Zero => 0,
        Page::One => 1,
    }
}

fn slot_name(slot: Slot) -> &'static str {
    match slot {
        Slot::A => "slot.a.sdl",
        Slot::B => "slot.b.sdl",
    }
}

fn outbox_name(page: Page) -> &'static str {
    ["outbox.0", "outbox.1"][index(page)]
}

fn page_name(page: Page) -> &'static str {
    ["journal.0", "journal.1"][index(page)]
}

fn open_if_there(path: &Path, writable: bool) -> Result<Option<File>, DriverError> {
    match OpenOptions::new().read(true).write(writable).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(DriverError::Io {
            path: path.to_path_buf(),
            source,
        }),
    }
}

fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .truncate(true)
        .read(true)
        .write(true)
        .mode(FILE_MODE)
        .open(path)
}

/// Whether an agent has kept anything of a fleet in a state folder.
pub(crate) fn was_used(folder: &Path) -> Result<bool, DriverError> {
    let meta = folder.join(META);
    let has_blobs = match fs::read_dir(&meta) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(source) => return Err(DriverError::Io { path: meta, source }),
    };
    Ok(has_blobs
        || [Slot::A, Slot::B]
            .iter()
            .any(|slot| folder.join(slot_name(*slot)).exists()))
}

/// The file of a blob.
pub(crate) fn blob_file(folder: &Path, name: &str) -> PathBuf {
    folder.join(META).join(name)
}

pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Writes a file as a whole: a temporary one, synced, renamed, the folder synced. Gives the new file back.
pub(crate) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<File> {
    let temporary = folder.join(format!(".{name}.tmp"));
    let write = || {
        let file = new_file(&temporary)?;
        file.write_all_at(bytes, 0)?;
        file.sync_all()?;
        fs::rename(&temporary, folder.join(name))?;
        sync_folder(folder)?;
        Ok(file)
    };
    write().inspect_err(|_: &io::Error| {
        // What is left of it takes room on a disk that may be full.
        let _ = fs::remove_file(&temporary);
    })
}

fn failed(what: impl ToString, detail: impl ToString) -> StorageError {
    StorageError::Failed {
        what: what.to_string(),
        detail: detail.to_string(),
    }
}

/// The error of a write: a full disk, a quota and a size limit are all "no room".
fn of_write(what: &str) -> impl FnOnce(io::Error) -> StorageError {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let what = what.to_string();
    move |error| match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge => StorageError::Full { what },
        _ => failed(what, error),
    }
}

impl Storage for FileStorage {
    fn capacity(&self, region: Region) -> u64 {
        match region {
            Region::Slot(_) => self.options.slot_capacity,
            Region::Outbox(_) => self.options.outbox_capacity,
            Region::Factory => u64::MAX,
        }
    }

    fn extent(&mut self, region: Region) -> Result<u64, StorageError> {
        match self.region(region) {
            Some(file) => Ok(file.metadata().map_err(|e| failed(self.name(region), e))?.len()),
            None => Ok(0),
        }
    }

    fn clear(&mut self, region: Region) -> Result<(), StorageError> {
        self.check_writable(region)?;
        let name = self.name(region);
        let file = replace(&self.folder, name, &[]).map_err(of_write(name))?;
        match region {
            Region::Slot(slot) => self.slots[slot as usize] = Some(file),
            Region::Outbox(page) => self.outbox[index(page)] = Some(file),
            Region::Factory => {}
        }
        Ok(())
    }

    fn truncate(&mut self, region: Region, length: u64) -> Result<(), StorageError> {
        self.check_writable(region)?;
        match self.region(region) {
            Some(file) if file.metadata().is_ok_and(|meta| meta.len() > length) => {
                file.set_len(length).map_err(of_write(self.name(region)))
            }
            _ => Ok(()),
        }
    }

    fn write(&mut self, region: Region, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        self.check_writable(region)?;
        if offset.saturating_add(bytes.len() as u64) > self.capacity(region) {
            return Err(StorageError::Full {
                what: self.name(region).to_string(),
            });
        }
        if self.region(region).is_none() {
            self.clear(region)?;
        }
        let name = self.name(region);
        let file = self
            .region(region)
            .ok_or_else(|| failed(name, "there is no such file"))?;
        file.write_all_at(bytes, offset).map_err(of_write(name))
    }

    fn sync(&mut self, region: Region) -> Result<(), StorageError> {
        match self.region(region) {
            Some(file) if self.writable => file.sync_data().map_err(of_write(self.name(region))),
            _ => Ok(()),
        }
    }

    fn read(&mut self, region: Region, offset: u64, buffer: &mut [u8]) -> Result<(), StorageError> {
        let length = buffer.len() as u64;
        let out_of_range = StorageError::OutOfRange {
            region,
            offset,
            length,
        };
        let Some(file) = self.region(region) else {
            return Err(out_of_range);
        };
        file.read_exact_at(buffer, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => out_of_range,
                _ => failed(self.name(region), error),
            })
    }

    fn read_page(&mut self, page: Page, buffer: &mut [u8; PAGE_LEN]) -> Result<(), StorageError> {
        buffer.fill(0);
        let Some(file) = &self.pages[index(page)] else {
            return Ok(());
        };
        let mut at = 0;
        while at < PAGE_LEN {
            match file.read_at(&mut buffer[at..], at as u64) {
                // A page shorter than it should be is a damaged page: its checksum will tell.
                Ok(0) => break,
                Ok(n) => at += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(page_name(page), error)),
            }
        }
        Ok(())
    }

    fn write_page(&mut self, page: Page, bytes: &[u8; PAGE_LEN]) -> Result<(), StorageError> {
        match &self.pages[index(page)] {
            Some(file) if self.writable => file.write_all_at(bytes, 0).map_err(of_write(page_name(page))),
            _ => Err(StorageError::ReadOnly {
                what: page_name(page).to_string(),
            }),
        }
    }

    fn sync_page(&mut self, page: Page) -> Result<(), StorageError> {
        match &self.pages[index(page)] {
            Some(file) if self.writable => file.sync_data().map_err(of_write(page_name(page))),
            _ => Ok(()),
        }
    }

    fn read_blob(&mut self, name: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let path = self.blob_path(name)?;
        let length = match fs::metadata(&path) {
            Ok(meta) => meta.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(name, error)),
        };
        if length > MAX_BLOB_LEN as u64 {
            return Err(failed(name, format!("{length} bytes are more than a blob has")));
        }
        fs::read(&path).map(Some).map_err(|error| failed(name, error))
    }

    fn write_blob(&mut self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.blob_path(name)?;
        if !self.writable || bytes.len() > MAX_BLOB_LEN {
            return Err(failed(path.display(), "may not be written"));
        }
        replace(&self.folder.join(META), name, bytes)
            .map(drop)
            .map_err(of_write(name))
    }

    fn remove_blob(&mut self, name: &str) -> Result<(), StorageError> {
        let path = self.blob_path(name)?;
        if !self.writable {
            return Err(StorageError::ReadOnly {
                what: name.to_string(),
            });
        }
        match fs::remove_file(&path) {
            Ok(()) => sync_folder(&self.folder.join(META)).map_err(|error| failed(name, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(name, error)),
        }
    }
}
