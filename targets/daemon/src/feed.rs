//! Inputs: files of folders, in an order of their own for each device.

use crate::error::DaemonError;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Most files taken from the folders; the rest is passed over.
pub const MAX_FILES: usize = 4096;
/// Deepest folder below those given.
const MAX_DEPTH: usize = 8;

/// An endless walk over the files of folders. After each lap the folders are looked through again: what came is
/// answered in the next lap, what went is not missed. A feed of empty folders looks again each time it is asked.
#[derive(Debug, Clone)]
pub struct Feed {
    folders: Vec<PathBuf>,
    seed: Vec<u8>,
    files: Vec<PathBuf>,
    next: usize,
}

impl Feed {
    /// Walks regular files below `folders`, at most [`MAX_FILES`], in an order that `seed` decides: devices on one
    /// machine look at different files at a time. Links are not followed.
    ///
    /// # Errors
    /// [`DaemonError::NoInputs`] naming a folder (or a file) that is not there.
    pub fn of_folders(folders: &[PathBuf], seed: &[u8]) -> Result<Self, DaemonError> {
        if let Some(path) = folders.iter().find(|folder| !folder.exists()) {
            return Err(DaemonError::NoInputs { path: path.clone() });
        }
        let mut feed = Self {
            folders: folders.to_vec(),
            seed: seed.to_vec(),
            files: Vec::new(),
            next: 0,
        };
        feed.look();
        Ok(feed)
    }

    /// Begins a lap with the files that are there now.
    fn look(&mut self) {
        let mut files = Vec::new();
        for folder in &self.folders {
            collect(folder, 0, &mut files);
        }
        let rank = |path: &PathBuf| {
            Sha256::new()
                .chain_update(&self.seed)
                .chain_update(path.as_os_str().as_encoded_bytes())
                .finalize()
        };
        files.sort_by_cached_key(rank);
        files.dedup();
        (self.files, self.next) = (files, 0);
    }

    /// Number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The files that come next, at most `count` and each once, without taking them.
    pub fn upcoming(&self, count: usize) -> impl Iterator<Item = &Path> {
        let lap = self
            .files
            .iter()
            .cycle()
            .skip(self.next % self.files.len().max(1))
            .take(count.min(self.files.len()));
        lap.map(PathBuf::as_path)
    }

    /// The next file; none where there are none.
    pub fn next_file(&mut self) -> Option<&Path> {
        if self.next >= self.files.len() {
            self.look();
        }
        let at = self.next;
        self.next += 1;
        self.files.get(at).map(PathBuf::as_path)
    }
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) {
    if files.len() >= MAX_FILES || depth > MAX_DEPTH {
        return;
    }
    let Ok(kind) = fs::symlink_metadata(path) else {
        return;
    };
    if kind.is_file() && kind.len() > 0 && fs::File::open(path).is_ok() {
        files.push(path.to_path_buf());
    } else if kind.is_dir() {
        // A folder that may not be read has nothing for us.
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|e| Some(e.ok()?.path()))
            .collect();
        entries.sort();
        entries.iter().for_each(|entry| collect(entry, depth + 1, files));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_round_and_orders_by_seed() {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..20 {
            fs::write(folder.path().join(format!("{n}.txt")), b"x").unwrap();
        }
        fs::write(folder.path().join("empty"), b"").unwrap();
        let folders = [folder.path().to_path_buf()];
        let mut one = Feed::of_folders(&folders, b"1").unwrap();
        assert_eq!(one.len(), 20);
        let lap: Vec<PathBuf> = (0..20)
            .filter_map(|_| one.next_file().map(Path::to_path_buf))
            .collect();
        let upcoming: Vec<PathBuf> = one.upcoming(100).map(Path::to_path_buf).collect();
        assert_eq!(upcoming, lap, "a lap later the same files come, each once");
        assert_eq!(one.next_file(), Some(lap[0].as_path()));
        let mut two = Feed::of_folders(&folders, b"2").unwrap();
        assert_ne!(
            (0..20)
                .filter_map(|_| two.next_file().map(Path::to_path_buf))
                .collect::<Vec<_>>(),
            lap
        );
    }

    #[test]
    fn answers_what_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut feed = Feed::of_folders(&[folder.path().to_path_buf()], b"").unwrap();
        assert_eq!(feed.next_file(), None);
        fs::write(folder.path().join("1"), b"x").unwrap();
        assert_eq!(feed.next_file(), Some(folder.path().join("1").as_path()));
        fs::remove_file(folder.path().join("1")).unwrap();
        fs::write(folder.path().join("2"), b"x").unwrap();
        assert_eq!(feed.next_file(), Some(folder.path().join("2").as_path()));
    }

    #[test]
    fn names_a_folder_that_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("misspelt");
        let error = Feed::of_folders(std::slice::from_ref(&path), b"").unwrap_err();
        assert!(error.to_string().contains(&path.display().to_string()));
    }
}
