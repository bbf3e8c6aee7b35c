//! A repository's whole chain, checked as a device would check it, with who signed what.
//!
//! A device comes to the snapshot by the timestamp, which a server signs when it publishes. The owner's own folder has
//! none before that; there the newest snapshot takes the timestamp's place, and all else is checked alike: signatures,
//! hashes, versions, expiry.

use crate::Error;
use crate::file;
use crate::repo::newest_version;
use sanderling_trust::envelope::Envelope;
use sanderling_trust::metadata::Header;
use sanderling_trust::{
    Fetch, KeyId, Limits, Role, RoleKeys, Root, RootPin, Snapshot, Targets, TrustError, TrustedSet, UnixTime,
};
use std::path::Path;

/// One file of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct FileReport {
    /// Its name in the folder.
    pub name: String,
    /// Its role.
    pub role: Role,
    /// Its version.
    pub version: u64,
    /// When it expires.
    pub expires: UnixTime,
    /// Who signed it.
    pub signed_by: SignedBy,
}

/// Signatures on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBy {
    /// Keys of the role with valid signatures.
    pub keys: Vec<KeyId>,
    /// How many are needed.
    pub threshold: u64,
    /// How many keys the role has.
    pub of: usize,
}

/// What a device would make of a repository.
#[derive(Debug)]
pub struct RepoReport {
    /// The files that verified, in order.
    pub files: Vec<FileReport>,
    /// Names of the targets listed.
    pub targets: Vec<String>,
    /// Whether a server has put a timestamp to it. Without one no device installs from it.
    pub timestamped: bool,
    /// The first file that a device would refuse, and why. Nothing after it was looked at.
    pub refused: Option<(String, TrustError)>,
}

impl RepoReport {
    /// Whether a device would install from this repository.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.refused.is_none() && self.timestamped
    }
}

/// Verifies the repository in `folder` from the pinned first root on.
///
/// # Errors
/// [`Error::NoRelease`] for a folder with neither timestamp nor snapshot; [`Error::Io`] if a file of the chain cannot
/// be read; what a device would refuse is in the report.
pub fn verify_repo(folder: &Path, pin: &RootPin, now: UnixTime) -> Result<RepoReport, Error> {
    let mut report = RepoReport {
        files: Vec::new(),
        targets: Vec::new(),
        timestamped: true,
        refused: None,
    };
    let first = file::read(&folder.join("1.root.json"))?;
    let mut set = match TrustedSet::new(pin, &first, Limits::default()) {
        Ok(set) => set,
        Err(error) => {
            report.refused = Some(("1.root.json".to_owned(), error));
            return Ok(report);
        }
    };
    report.add("1.root.json", Role::Root, &set, &first);
    for _ in 0..set.limits().max_root_rotations {
        let next = set.next_root();
        let Some(bytes) = file::read_if_there(&folder.join(&next.name))? else {
            break;
        };
        if !report.take(&mut set, &next, &bytes, now) {
            return Ok(report);
        }
    }
    let timestamp = set.timestamp_fetch();
    if file::read_if_there(&folder.join(&timestamp.name))?.is_none() {
        report.timestamped = false;
        report.untimestamped(folder, set.root(), now)?;
        return Ok(report);
    }
    let mut next = Some(timestamp);
    while let Some(fetch) = next {
        let bytes = file::read(&folder.join(&fetch.name))?;
        if !report.take(&mut set, &fetch, &bytes, now) {
            return Ok(report);
        }
        next = set.wanted();
    }
    report.targets = set
        .targets()
        .map(|targets| targets.targets.keys().cloned().collect())
        .unwrap_or_default();
    Ok(report)
}

impl RepoReport {
    /// Whether the set took the file.
    fn take(&mut self, set: &mut TrustedSet, fetch: &Fetch, bytes: &[u8], now: UnixTime) -> bool {
        match set.update(fetch, bytes, now) {
            Ok(_) => self.add(&fetch.name, fetch.role.clone(), set, bytes),
            Err(error) => self.refused = Some((fetch.name.clone(), error)),
        }
        self.refused.is_none()
    }

    /// The newest snapshot and the targets it names, by the keys of `root`.
    fn untimestamped(&mut self, folder: &Path, root: &Root, now: UnixTime) -> Result<(), Error> {
        let newest = newest_version(folder, "snapshot.json")?;
        if newest == 0 {
            return Err(Error::NoRelease {
                folder: folder.to_owned(),
            });
        }
        let name = format!("{newest}.snapshot.json");
        let bytes = file::read(&folder.join(&name))?;
        let read = root
            .header
            .check_fresh(Role::Root, now)
            .and_then(|()| snapshot(root, newest, &bytes, now));
        let snapshot = match read {
            Ok(snapshot) => snapshot,
            Err(error) => {
                self.refused = Some((name, error));
                return Ok(());
            }
        };
        self.add_by(&name, Role::Snapshot, snapshot.header, root, &bytes);
        let Some(meta) = snapshot.get(&Role::Targets) else {
            let (role, by) = (Role::Targets, "the snapshot".to_owned());
            self.refused = Some((name, TrustError::NotListed { role, by }));
            return Ok(());
        };
        let name = format!("{}.targets.json", meta.version);
        let bytes = file::read(&folder.join(&name))?;
        let read = meta
            .verify("targets", &bytes)
            .and_then(|()| targets(root, meta.version, &bytes, now));
        match read {
            Ok(targets) => {
                self.add_by(&name, Role::Targets, targets.header, root, &bytes);
                self.targets = targets.targets.into_keys().collect();
            }
            Err(error) => self.refused = Some((name, error)),
        }
        Ok(())
    }

    fn add(&mut self, name: &str, role: Role, set: &TrustedSet, bytes: &[u8]) {
        let root = set.root();
        let header = match role {
            Role::Root => Some(root.header),
            Role::Timestamp => set.timestamp().map(|t| t.header),
            Role::Snapshot => set.snapshot().map(|s| s.header),
            _ => set.targets().map(|t| t.header),
        };
        if let Some(header) = header {
            self.add_by(name, role, header, root, bytes);
        }
    }

    fn add_by(&mut self, name: &str, role: Role, header: Header, root: &Root, bytes: &[u8]) {
        let signed_by = signed_by(&role, keys_of(&role, root), root, bytes);
        let (version, expires) = (header.version, header.expires);
        self.files.push(FileReport {
            name: name.to_owned(),
            role,
            version,
            expires,
            signed_by,
        });
    }
}

fn keys_of<'a>(role: &Role, root: &'a Root) -> &'a RoleKeys {
    match role {
        Role::Root => &root.root,
        Role::Timestamp => &root.timestamp,
        Role::Snapshot => &root.snapshot,
        _ => &root.targets,
    }
}

/// A file of `role` signed by enough of the root's keys.
fn open(root: &Root, role: &Role, bytes: &[u8]) -> Result<Envelope, TrustError> {
    let envelope = Envelope::parse(role, bytes, Limits::default().of(role))?;
    envelope.verify(role, keys_of(role, root), &root.keys, None)?;
    Ok(envelope)
}

/// A header that states the version by which its file is named, and has not expired.
fn check(header: &Header, role: Role, listed: u64, now: UnixTime) -> Result<(), TrustError> {
    if header.version != listed {
        let found = header.version;
        return Err(TrustError::ListedVersion { role, listed, found });
    }
    header.check_fresh(role, now)
}

fn snapshot(root: &Root, version: u64, bytes: &[u8], now: UnixTime) -> Result<Snapshot, TrustError> {
    let snapshot = Snapshot::from_value(open(root, &Role::Snapshot, bytes)?.signed())?;
    check(&snapshot.header, Role::Snapshot, version, now)?;
    Ok(snapshot)
}

fn targets(root: &Root, version: u64, bytes: &[u8], now: UnixTime) -> Result<Targets, TrustError> {
    let targets = Targets::from_value(&Role::Targets, open(root, &Role::Targets, bytes)?.signed())?;
    check(&targets.header, Role::Targets, version, now)?;
    Ok(targets)
}

fn signed_by(role: &Role, keys: &RoleKeys, root: &Root, bytes: &[u8]) -> SignedBy {
    let valid = Envelope::parse(role, bytes, bytes.len()).map(|envelope| {
        envelope
            .valid_keys(keys, &root.keys)
            .into_iter()
            .map(|key| key.id().clone())
            .collect()
    });
    SignedBy {
        keys: valid.unwrap_or_default(),
        threshold: keys.threshold.get(),
        of: keys.key_ids.len(),
    }
}
