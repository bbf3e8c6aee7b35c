//! Files that are either there and whole, or not there.

use crate::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;

/// Most bytes of a metadata or key file that are read.
const MAX_LEN: u64 = 8 << 20;

/// Whether a new file may replace an old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// The file must be new.
    Never,
    /// The newest wins (`timestamp.json`, a root that collects signatures).
    Yes,
}

/// Reads a file, if it is there.
///
/// # Errors
/// [`Error::Io`], also for files beyond 8 MiB.
pub fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_LEN + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io("read", path))?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(Error::io("read", path)(ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(bytes))
}

/// Reads a file that must be there.
///
/// # Errors
/// [`Error::Io`].
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    read_if_there(path)?.ok_or_else(|| Error::io("open", path)(ErrorKind::NotFound.into()))
}

/// Writes a file so that it is whole or absent whatever happens: a new file, synced, then renamed. `mode` is
/// that of Unix.
///
/// # Errors
/// [`Error::Io`]; [`Error::Exists`].
pub fn write(path: &Path, bytes: &[u8], mode: u32, replace: Replace) -> Result<(), Error> {
    if replace == Replace::Never && path.exists() {
        return Err(Error::Exists {
            path: path.to_owned(),
        });
    }
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = folder.join(name);
    // One that was left over from a write cut short.
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io("remove", &draft)(error)),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(&draft).map_err(Error::io("create", &draft))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(Error::io("write", &draft))?;
    match replace {
        // A link fails where a file has appeared meanwhile; a rename would replace it. Memory sticks that know
        // no links get the rename.
        Replace::Never => match fs::hard_link(&draft, path) {
            Ok(()) => fs::remove_file(&draft).map_err(Error::io("remove", &draft))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                fs::remove_file(&draft).map_err(Error::io("remove", &draft))?;
                return Err(Error::Exists {
                    path: path.to_owned(),
                });
            }
            Err(_) => fs::rename(&draft, path).map_err(Error::io("rename to", path))?,
        },
        Replace::Yes => fs::rename(&draft, path).map_err(Error::io("rename to", path))?,
    }
    sync_folder(folder)
}

/// Makes a folder (and those above it) for keys: for its owner alone.
///
/// # Errors
/// [`Error::Io`].
pub fn make_private_folder(path: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(Error::io("create", path))
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(Error::io("sync", folder))
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> Result<(), Error> {
    Ok(())
}
