//! The image repository as a folder of files, by TUF's names with consistent snapshots.
//!
//! ```text
//!   image/1.root.json  2.root.json …      roots, all kept
//!   image/N.targets.json  N.snapshot.json offline: what exists
//!   image/timestamp.json                  online: which snapshot is the newest
//! ```
//!
//! A publication adds files and replaces none but `timestamp.json`, last: whoever reads the folder meanwhile
//! sees the old state or the new one. What is there is verified before anything is signed on top of it.

use crate::Error;
use crate::file::{self, Replace};
use crate::mint::mint_timestamp;
use sanderling_trust::envelope::Envelope;
use sanderling_trust::metadata::Delegations;
use sanderling_trust::metadata::Header;
use sanderling_trust::{
    Hashes, Limits, MetaFile, Release, Role, RoleKeys, Root, Signer, Snapshot, TargetFile, Targets,
    Timestamp, TrustError, UnixTime,
};
use sanderling_wire::Digest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// An image repository, with changes that are not published yet.
#[derive(Debug)]
pub struct ImageRepo {
    folder: PathBuf,
    root: Root,
    targets: BTreeMap<String, TargetFile>,
    delegations: Option<Delegations>,
    /// Newest versions in the folder, 0 where there is none.
    targets_version: u64,
    snapshot_version: u64,
    timestamp_version: u64,
}

/// Who signs a release offline.
#[derive(Clone, Copy)]
pub struct ReleaseSigners<'a> {
    /// For `targets`.
    pub targets: &'a dyn Signer,
    /// For `snapshot`.
    pub snapshot: &'a dyn Signer,
}

/// Until when a release's metadata may be installed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiries {
    /// Of `targets`.
    pub targets: UnixTime,
    /// Of `snapshot`.
    pub snapshot: UnixTime,
}

/// Files that a publication added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// `N.targets.json`.
    pub targets: PathBuf,
    /// `N.snapshot.json`.
    pub snapshot: PathBuf,
    /// The snapshot's version, for [`mint_timestamp`].
    pub snapshot_version: u64,
}

impl ImageRepo {
    /// Reads the newest state of a folder that [`crate::init`] made. Signatures are checked; expiry is not, as
    /// publishing is what cures it.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Trust`].
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut repo = Self {
            folder: folder.to_owned(),
            root: newest_root(folder)?,
            targets: BTreeMap::new(),
            delegations: None,
            targets_version: 0,
            snapshot_version: 0,
            timestamp_version: 0,
        };
        repo.read_newest()?;
        Ok(repo)
    }

    /// The newest root in the folder.
    #[must_use]
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// The targets that the next publication lists.
    #[must_use]
    pub fn targets(&self) -> &BTreeMap<String, TargetFile> {
        &self.targets
    }

    /// Version of the newest `timestamp.json`; 0 where there is none.
    #[must_use]
    pub fn timestamp_version(&self) -> u64 {
        self.timestamp_version
    }

    /// Lists a bundle. A name is given once: a device that has seen it must not find other bytes under it.
    ///
    /// # Errors
    /// [`Error::Options`] if the name stands for other bytes already, or is not fit for a file name.
    pub fn add_target(
        &mut self,
        name: &str,
        length: u64,
        sha256: &Digest,
        release: &Release,
    ) -> Result<(), Error> {
        check_name(name)?;
        let hashes = Hashes::sha256(sha256);
        let file = TargetFile {
            length,
            hashes,
            custom: Some(release.to_custom()),
        };
        if self
            .targets
            .get(name)
            .is_some_and(|old| old.hashes != file.hashes)
        {
            return Err(Error::Options(format!(
                "the target {name} is listed with other bytes: give the new bundle a name of its own"
            )));
        }
        self.targets.insert(name.to_owned(), file);
        Ok(())
    }

    /// Takes a bundle off the list: no device installs it any more. Whether it was listed.
    pub fn remove_target(&mut self, name: &str) -> bool {
        self.targets.remove(name).is_some()
    }

    /// Signs the list and a snapshot of it with the offline keys, and writes both. Devices see it with the next
    /// timestamp.
    ///
    /// # Errors
    /// [`Error::NotInRole`] for a key that the root does not name, [`Error::Sign`], [`Error::Io`].
    pub fn publish(&mut self, signers: ReleaseSigners<'_>, expiries: Expiries) -> Result<Published, Error> {
        let version = self.targets_version + 1;
        let targets = Targets {
            header: Header {
                version,
                expires: expiries.targets,
            },
            targets: self.targets.clone(),
            delegations: self.delegations.clone(),
        };
        let targets_path = self.folder.join(format!("{version}.targets.json"));
        let targets_bytes = self.sign(
            &targets_path,
            &self.root.targets,
            targets.to_value(),
            signers.targets,
        )?;

        let snapshot_version = self.snapshot_version + 1;
        let mut meta = self.snapshot_meta()?;
        meta.insert("targets.json".to_owned(), MetaFile::of(version, &targets_bytes));
        let snapshot = Snapshot {
            header: Header {
                version: snapshot_version,
                expires: expiries.snapshot,
            },
            meta,
        };
        let snapshot_path = self.folder.join(format!("{snapshot_version}.snapshot.json"));
        let snapshot_bytes = self.sign(
            &snapshot_path,
            &self.root.snapshot,
            snapshot.to_value(),
            signers.snapshot,
        )?;

        file::write(&targets_path, &targets_bytes, 0o644, Replace::Never)?;
        file::write(&snapshot_path, &snapshot_bytes, 0o644, Replace::Never)?;
        self.targets_version = version;
        self.snapshot_version = snapshot_version;
        Ok(Published {
            targets: targets_path,
            snapshot: snapshot_path,
            snapshot_version,
        })
    }

    /// Signs the newest snapshot with the online timestamp key and replaces `timestamp.json`. For folders that
    /// a person keeps; a server mints its own and numbers them in its database.
    ///
    /// # Errors
    /// [`Error::Options`] without a snapshot, [`Error::NotInRole`], [`Error::Sign`], [`Error::Io`].
    pub fn publish_timestamp(&mut self, signer: &dyn Signer, expires: UnixTime) -> Result<PathBuf, Error> {
        if self.snapshot_version == 0 {
            return Err(Error::Options(
                "there is no snapshot yet: publish a release first".to_owned(),
            ));
        }
        let path = self.folder.join("timestamp.json");
        check_in_role(&path, &self.root.timestamp, signer)?;
        let snapshot = file::read(
            &self
                .folder
                .join(format!("{}.snapshot.json", self.snapshot_version)),
        )?;
        let version = self.timestamp_version + 1;
        let bytes = mint_timestamp(signer, version, expires, self.snapshot_version, &snapshot)?;
        file::write(&path, &bytes, 0o644, Replace::Yes)?;
        self.timestamp_version = version;
        Ok(path)
    }

    fn sign(
        &self,
        path: &Path,
        role: &RoleKeys,
        signed: sanderling_trust::json::Value,
        signer: &dyn Signer,
    ) -> Result<Vec<u8>, Error> {
        check_in_role(path, role, signer)?;
        let mut envelope = Envelope::unsigned(signed);
        envelope.sign(signer)?;
        Ok(envelope.to_bytes())
    }

    /// What the newest snapshot lists, delegated roles included.
    fn snapshot_meta(&self) -> Result<BTreeMap<String, MetaFile>, Error> {
        if self.snapshot_version == 0 {
            return Ok(BTreeMap::new());
        }
        let path = self
            .folder
            .join(format!("{}.snapshot.json", self.snapshot_version));
        let signed = read_signed(&path, &Role::Snapshot, &self.root.snapshot, &self.root)?;
        Ok(Snapshot::from_value(signed.signed())
            .map_err(Error::trust(&path))?
            .meta)
    }

    fn read_newest(&mut self) -> Result<(), Error> {
        let newest = |name: &str| newest_version(&self.folder, name);
        (self.targets_version, self.snapshot_version) = (newest("targets.json")?, newest("snapshot.json")?);
        if self.targets_version > 0 {
            let path = self.folder.join(format!("{}.targets.json", self.targets_version));
            let signed = read_signed(&path, &Role::Targets, &self.root.targets, &self.root)?;
            let targets =
                Targets::from_value(&Role::Targets, signed.signed()).map_err(Error::trust(&path))?;
            (self.targets, self.delegations) = (targets.targets, targets.delegations);
        }
        let path = self.folder.join("timestamp.json");
        if path.exists() {
            let signed = read_signed(&path, &Role::Timestamp, &self.root.timestamp, &self.root)?;
            let timestamp = Timestamp::from_value(signed.signed()).map_err(Error::trust(&path))?;
            self.timestamp_version = timestamp.header.version;
        }
        Ok(())
    }
}

/// The newest root in a folder, signed by its own keys.
///
/// # Errors
/// [`Error::Options`] if there is none; [`Error::Io`], [`Error::Trust`].
pub(crate) fn newest_root(folder: &Path) -> Result<Root, Error> {
    let version = newest_version(folder, "root.json")?;
    if version == 0 {
        let folder = folder.display();
        return Err(Error::Options(format!(
            "{folder} holds no root: it is no repository, or `keys init` is due"
        )));
    }
    let path = folder.join(format!("{version}.root.json"));
    let envelope = read_envelope(&path, &Role::Root)?;
    let root = Root::from_value(envelope.signed()).map_err(Error::trust(&path))?;
    check_signed(&path, &envelope, &Role::Root, &root.root, &root)?;
    Ok(root)
}

/// The highest N of the files `N.{name}`; 0 where there is none.
pub(crate) fn newest_version(folder: &Path, name: &str) -> Result<u64, Error> {
    let mut newest = 0;
    for entry in std::fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let entry = entry.map_err(Error::io("list", folder))?;
        let file = entry.file_name();
        let version = file
            .to_str()
            .and_then(|file| file.strip_suffix(name)?.strip_suffix('.')?.parse().ok());
        newest = newest.max(version.unwrap_or(0));
    }
    Ok(newest)
}

pub(crate) fn read_envelope(path: &Path, role: &Role) -> Result<Envelope, Error> {
    Envelope::parse(role, &file::read(path)?, Limits::default().of(role)).map_err(Error::trust(path))
}

fn read_signed(path: &Path, role: &Role, keys: &RoleKeys, root: &Root) -> Result<Envelope, Error> {
    let envelope = read_envelope(path, role)?;
    check_signed(path, &envelope, role, keys, root)?;
    Ok(envelope)
}

fn check_signed(
    path: &Path,
    envelope: &Envelope,
    role: &Role,
    keys: &RoleKeys,
    root: &Root,
) -> Result<(), Error> {
    let (valid, threshold) = (envelope.valid_keys(keys, &root.keys).len(), keys.threshold.get());
    if valid as u64 >= threshold {
        return Ok(());
    }
    Err(Error::trust(path)(TrustError::Signatures {
        role: role.clone(),
        valid,
        threshold,
        by: None,
    }))
}

fn check_in_role(path: &Path, role: &RoleKeys, signer: &dyn Signer) -> Result<(), Error> {
    let key = signer.public_key().id();
    if role.key_ids.contains(key) {
        return Ok(());
    }
    let reason = "the newest root does not name it for this role; use the role's key".to_owned();
    Err(Error::NotInRole {
        key: key.to_string(),
        path: path.to_owned(),
        reason,
    })
}

/// Names become parts of URLs and of file names on every system that holds a mirror.
fn check_name(name: &str) -> Result<(), Error> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'+');
    let segments = name
        .split('/')
        .all(|s| !s.is_empty() && !s.starts_with('.') && s.bytes().all(plain));
    if segments && name.len() <= 200 {
        return Ok(());
    }
    Err(Error::Options(format!(
        "{name:?} is no name for a target: letters, digits, `.`, `_`, `-`, `+` in parts split by `/`, at most 200"
    )))
}
