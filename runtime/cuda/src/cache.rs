//! Code of kernels on disk: one file a recipe, in a folder that the caller names.
//!
//! A file is named by the recipe's hash (source, options, device, NVRTC's version) and holds that hash again, the code's
//! length and the code's hash. What does not fit in any way is as good as missing: it is compiled anew and written over. That keeps
//! damage out, not an enemy: who may write into the folder may have the GPU run what they like, as with any program's cache.
//! Files are written beside and renamed, so that no reader sees half of one. That a disk is full or a folder may not be
//! written is no error: the next start compiles again.

use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What a file begins with: name and version of the format.
const MAGIC: &[u8; 8] = b"SDLCUDA1";
/// Magic, hash of the recipe, hash of the code, length.
const HEADER: usize = 8 + 32 + 32 + 8;
/// Most bytes of a file that is read: a kernel's code is some ten thousand.
const MOST: u64 = 16 << 20;

/// A folder of compiled kernels; none where nothing is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache(Option<PathBuf>);

impl Cache {
    pub(crate) fn new(folder: Option<PathBuf>) -> Self {
        Self(folder)
    }

    /// The code that was kept for a recipe, whole and unchanged.
    pub(crate) fn get(&self, recipe: &str) -> Option<Vec<u8>> {
        let key = hash(recipe.as_bytes());
        let file = File::open(path(self.0.as_deref()?, &key)).ok()?;
        let mut bytes = Vec::new();
        file.take(MOST + 1).read_to_end(&mut bytes).ok()?;
        parse(&bytes, &key).map(<[u8]>::to_vec)
    }

    /// Keeps code for a recipe, if that can be.
    pub(crate) fn put(&self, recipe: &str, image: &[u8]) {
        if let Some(folder) = &self.0 {
            let key = hash(recipe.as_bytes());
            // Nothing to tell: the caller has the code, and the next start makes it again.
            let _ = write(folder, &key, image);
        }
    }

    /// Forgets what was kept for a recipe.
    pub(crate) fn forget(&self, recipe: &str) {
        if let Some(folder) = &self.0 {
            // Nothing to tell: it is written over next.
            let _ = fs::remove_file(path(folder, &hash(recipe.as_bytes())));
        }
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn path(folder: &Path, key: &[u8; 32]) -> PathBuf {
    let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(name + ".cuda")
}

/// The code in a file's bytes, where they are what was written for this key.
fn parse<'a>(bytes: &'a [u8], key: &[u8; 32]) -> Option<&'a [u8]> {
    let (header, image) = bytes.split_at_checked(HEADER)?;
    let fits = bytes.len() as u64 <= MOST && !image.is_empty() && header == self::header(key, image);
    fits.then_some(image)
}

fn header(key: &[u8; 32], image: &[u8]) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..40].copy_from_slice(key);
    header[40..72].copy_from_slice(&hash(image));
    header[72..].copy_from_slice(&(image.len() as u64).to_le_bytes());
    header
}

fn write(folder: &Path, key: &[u8; 32], image: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let to = path(folder, key);
    // Two processes may write the same file at once.
    let beside = to.with_extension(format!("{}.part", std::process::id()));
    let written = File::create(&beside)
        .and_then(|mut file| {
            file.write_all(&header(key, image))?;
            file.write_all(image)
        })
        .and_then(|()| fs::rename(&beside, &to));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_and_what_was_changed_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path().join("not/made/yet")));
        assert_eq!(cache.get("conv"), None);
        cache.put("conv", b"code of conv");
        cache.put("mean", b"code of mean");
        assert_eq!(cache.get("conv").unwrap(), b"code of conv");
        let file = path(cache.0.as_ref().unwrap(), &hash(b"conv"));
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&file, &changed).unwrap();
            assert_eq!(cache.get("conv"), None, "byte {at} was changed");
            fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(cache.get("conv"), None, "cut at {at}");
        }
        fs::write(&file, [&whole[..], b"more"].concat()).unwrap();
        assert_eq!(cache.get("conv"), None, "longer");
        // Another's file under this name.
        fs::copy(path(cache.0.as_ref().unwrap(), &hash(b"mean")), &file).unwrap();
        assert_eq!(cache.get("conv"), None);
        cache.put("conv", b"code of conv");
        assert_eq!(cache.get("conv").unwrap(), b"code of conv");
        cache.forget("conv");
        assert_eq!(cache.get("conv"), None);
    }

    #[test]
    fn nowhere_to_write_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a file");
        fs::write(&file, b"").unwrap();
        // A file where the folder should be; no folder at all.
        for cache in [Cache::new(Some(file)), Cache::default()] {
            cache.put("conv", b"code");
            assert_eq!(cache.get("conv"), None);
        }
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(Some(folder.path().into()));
        let file = File::create(path(folder.path(), &hash(b"conv"))).unwrap();
        file.set_len(MOST * 1000).unwrap();
        assert_eq!(cache.get("conv"), None);
    }
}
