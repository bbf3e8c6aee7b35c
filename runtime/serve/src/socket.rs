//! A Unix socket in the file system: who may open the file may ask.
//!
//! The socket is bound in a folder of its own beside its place, which nobody else may enter, gets its mode, and is then
//! moved there: nobody can connect before the mode holds, and what a killed process left is replaced in one step. A
//! socket that somebody listens on is not taken away from them.

use crate::ServeError;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// Its user and its group may connect.
const MODE: u32 = 0o660;

/// A socket's file; it goes with this, unless somebody has put another in its place.
pub(crate) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            // It may be in a folder that takes no changes any more; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|meta| (meta.dev(), meta.ino()))
}

/// Listens at a path, for the process's user and group.
pub(crate) fn bind(path: &Path) -> Result<(UnixListener, SocketFile), ServeError> {
    let problem = |what: String| ServeError::Socket {
        path: path.to_path_buf(),
        what,
    };
    let told = |error: io::Error| problem(error.to_string());
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            return Err(problem("there is a file that is no socket".to_string()));
        }
        match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Ok(_) => return Err(problem("another process listens there".to_string())),
            Err(error) => return Err(told(error)),
        }
    }
    // It could be moved there, and nobody could connect.
    SocketAddr::from_pathname(path).map_err(told)?;
    let folder = path.with_file_name(format!(".{}", std::process::id()));
    // What a process with this number left.
    drop(fs::remove_dir_all(&folder));
    let place = || -> io::Result<(UnixListener, (u64, u64))> {
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let inside = folder.join("s");
        let listener = UnixListener::bind(&inside)?;
        listener.set_nonblocking(true)?;
        fs::set_permissions(&inside, fs::Permissions::from_mode(MODE))?;
        fs::rename(&inside, path)?;
        Ok((listener, identity(path)?))
    };
    let placed = place();
    drop(fs::remove_dir_all(&folder));
    let (listener, identity) = placed.map_err(told)?;
    let path = path.to_path_buf();
    Ok((listener, SocketFile { path, identity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_listens_on_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inference.sock");
        let (listener, file) = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, MODE);
        let taken = bind(&path).err().unwrap().to_string();
        assert!(taken.contains("another process listens"), "{taken}");
        // As after a kill: the file is there, nobody listens.
        drop(listener);
        std::mem::forget(file);
        let (listener, file) = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
        drop((listener, file));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::write(&path, "mine").unwrap();
        let refused = bind(&path).err().unwrap().to_string();
        assert!(refused.contains("no socket"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"mine");
        let long = folder.path().join("x".repeat(120));
        assert!(bind(&long).is_err());
    }
}
