//! The device's key: 32 bytes in a file that only its user can read.

use crate::error::DriverError;
use crate::files::{sync_folder, was_used};
use sanderling_trust::{Ed25519Signer, PublicKey, SignError, Signature, Signer};
use sanderling_wire::DeviceId;
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const KEY: &str = "key";
const SEED_LEN: usize = 32;

/// A device's Ed25519 key. Clones share it.
#[derive(Clone)]
pub struct DeviceKey(Arc<Ed25519Signer>);

impl DeviceKey {
    /// The key of a state folder; made at the first time, and never again once the folder belongs to a fleet: the
    /// fleet would not know the device by a new one.
    ///
    /// # Errors
    /// [`DriverError::KeyLost`], [`DriverError::KeyReadable`], [`DriverError::KeyDamaged`], [`DriverError::Io`], [`DriverError::Entropy`].
    pub fn of_folder(folder: &Path) -> Result<Self, DriverError> {
        let (path, meta) = key_file(folder)?;
        match meta {
            Some(meta) => {
                let mode = meta.permissions().mode() & 0o777;
                if mode & 0o077 != 0 {
                    return Err(DriverError::KeyReadable { path, mode });
                }
                let bytes = Zeroizing::new(fs::read(&path).map_err(DriverError::io(&path))?);
                let found = bytes.len();
                let seed = <[u8; SEED_LEN]>::try_from(bytes.as_slice()).map(Zeroizing::new);
                let seed = seed.map_err(|_| DriverError::KeyDamaged { path, found })?;
                Ok(Self::from_seed(&seed))
            }
            None => Self::make(folder, &path),
        }
    }

    fn make(folder: &Path, path: &Path) -> Result<Self, DriverError> {
        let mut seed = Zeroizing::new([0; SEED_LEN]);
        getrandom::fill(&mut *seed).map_err(|error| DriverError::Entropy(error.to_string()))?;
        // Under another name first, so that a power cut leaves a whole key or none.
        let temporary = folder.join(".key.tmp");
        let write = || {
            let _ = fs::remove_file(&temporary);
            let mut options = OpenOptions::new();
            let mut file = options
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&*seed)?;
            file.sync_all()?;
            fs::rename(&temporary, path)?;
            sync_folder(folder)
        };
        write().map_err(DriverError::io(path))?;
        Ok(Self::from_seed(&seed))
    }

    fn from_seed(seed: &[u8; SEED_LEN]) -> Self {
        Self(Arc::new(Ed25519Signer::from_seed(seed)))
    }

    /// The device's id, which is the hash of its public key.
    #[must_use]
    pub fn device(&self) -> Option<DeviceId> {
        self.public_key()
            .ed25519_bytes()
            .map(|bytes| DeviceId::of_public_key(&bytes))
    }
}

/// The key's file, and what there is of it; a folder that was in use has one.
pub(crate) fn key_file(folder: &Path) -> Result<(PathBuf, Option<Metadata>), DriverError> {
    let path = folder.join(KEY);
    match fs::metadata(&path) {
        Ok(meta) => Ok((path, Some(meta))),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(DriverError::Io { path, source: error }),
        Err(_) if was_used(folder)? => Err(DriverError::KeyLost { path }),
        Err(_) => Ok((path, None)),
    }
}

impl Signer for DeviceKey {
    fn public_key(&self) -> &PublicKey {
        self.0.public_key()
    }

    fn sign(&self, message: &[u8]) -> Result<Signature, SignError> {
        self.0.sign(message)
    }
}
