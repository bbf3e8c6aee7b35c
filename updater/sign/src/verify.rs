//! A repository's whole chain, checked as a device would check it, with who signed what.

use crate::Error;
use crate::file;
use sanderling_trust::envelope::Envelope;
use sanderling_trust::{Fetch, KeyId, Role, RoleKeys, Root, RootPin, TrustError, TrustedSet, UnixTime};
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
    /// The first file that a device would refuse, and why. Nothing after it was looked at.
    pub refused: Option<(String, TrustError)>,
}

impl RepoReport {
    /// Whether a device would install from this repository.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.refused.is_none()
    }
}

/// Verifies the repository in `folder` from the pinned first root on.
///
/// # Errors
/// [`Error::NoTimestamp`] for a folder that no server has completed; [`Error::Io`] if a file of the chain cannot be
/// read; what a device would refuse is in the report.
pub fn verify_repo(folder: &Path, pin: &RootPin, now: UnixTime) -> Result<RepoReport, Error> {
    let mut report = RepoReport {
        files: Vec::new(),
        targets: Vec::new(),
        refused: None,
    };
    let first = file::read(&folder.join("1.root.json"))?;
    let mut set = match TrustedSet::new(pin, &first, sanderling_trust::Limits::default()) {
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
    let mut next = Some(set.timestamp_fetch());
    while let Some(fetch) = next {
        let bytes = match (&fetch.role, file::read_if_there(&folder.join(&fetch.name))?) {
            (_, Some(bytes)) => bytes,
            (Role::Timestamp, None) => {
                return Err(Error::NoTimestamp {
                    folder: folder.to_owned(),
                });
            }
            (_, None) => file::read(&folder.join(&fetch.name))?,
        };
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

    fn add(&mut self, name: &str, role: Role, set: &TrustedSet, bytes: &[u8]) {
        let root = set.root();
        let (header, keys) = match role {
            Role::Root => (Some(root.header), &root.root),
            Role::Timestamp => (set.timestamp().map(|t| t.header), &root.timestamp),
            Role::Snapshot => (set.snapshot().map(|s| s.header), &root.snapshot),
            _ => (set.targets().map(|t| t.header), &root.targets),
        };
        let Some(header) = header else { return };
        let signed_by = signed_by(&role, keys, root, bytes);
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
