//! Files that a command is given. A pipe that nobody writes to would keep it waiting, a device such as /dev/zero never
//! ends: what is read is a regular file, and no larger than its kind can be.

use anyhow::{Context, bail};
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

/// Most bytes of a bundle.
pub(crate) const MAX_BUNDLE: u64 = 16 << 30;
/// Most bytes of a file that is given to a model whole.
pub(crate) const MAX_INPUT: u64 = 1 << 30;

/// Refuses what is no regular file.
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    let meta = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if meta.is_dir() {
        bail!(
            "cannot read {}: it is a folder; name a file in it",
            path.display()
        );
    }
    if !meta.is_file() {
        bail!(
            "cannot read {}: it is a pipe or a device, not a regular file; save what it gives in a file first",
            path.display()
        );
    }
    Ok(())
}

/// A regular file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: u64) -> anyhow::Result<Vec<u8>> {
    check(path)?;
    let cannot = || format!("cannot read {}", path.display());
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(cannot)?;
    let length = file.metadata().with_context(cannot)?.len();
    if length <= limit {
        file.take(limit + 1)
            .read_to_end(&mut bytes)
            .with_context(cannot)?;
    }
    if length.max(bytes.len() as u64) > limit {
        bail!(
            "cannot read {}: it has {}, more than the {} that are read of such a file",
            path.display(),
            crate::out::bytes(length.max(bytes.len() as u64)),
            crate::out::bytes(limit)
        );
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_a_size_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("five");
        fs::write(&path, b"12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        for (path, limit, said) in [
            (path.as_path(), 4, "more than the 4 bytes"),
            (folder.path(), 9, "a folder"),
            (Path::new("/dev/zero"), 9, "a pipe or a device"),
            (Path::new("/nowhere"), 9, "/nowhere"),
        ] {
            let error = read(path, limit).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
