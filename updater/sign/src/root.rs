//! The next root: drafted, signed by people in turn, then published.
//!
//! A draft is a file that is carried by hand (`2.root.draft.json`): each holder of a root key adds a signature
//! on a machine of their own and hands it on. [`publish_root`] lets it into the repository once devices would
//! accept it, that is when thresholds of the old root's keys and of its own have signed.

use crate::Error;
use crate::file::{self, Replace};
use crate::repo::{newest_root, read_envelope};
use sanderling_trust::envelope::Envelope;
use sanderling_trust::{KeyId, Limits, Role, RoleKeys, Root, RootChain, RootPin, Roots, Signer, UnixTime};
use std::path::{Path, PathBuf};

/// How far a file is on its way to enough signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignStatus {
    /// For each role whose threshold counts: what it is called, valid signatures, signatures needed.
    pub thresholds: Vec<(&'static str, usize, u64)>,
    /// The keys whose signatures are valid.
    pub signed_by: Vec<KeyId>,
}

impl SignStatus {
    /// Whether every threshold is met.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.thresholds
            .iter()
            .all(|(_, valid, needed)| *valid as u64 >= *needed)
    }
}

/// Drafts the root that follows the newest one in `folder`: same content, next version, changed by `edit`.
/// Returns the draft's path. Fields of the old root that this version does not know are not carried over.
///
/// # Errors
/// [`Error::Exists`] if a draft is under way already; those of reading the newest root.
pub fn draft_root(folder: &Path, expires: UnixTime, edit: impl FnOnce(&mut Root)) -> Result<PathBuf, Error> {
    let mut root = newest_root(folder)?;
    edit(&mut root);
    root.header.version += 1;
    root.header.expires = expires;
    let path = folder.join(format!("{}.root.draft.json", root.header.version));
    file::write(
        &path,
        &Envelope::unsigned(root.to_value()).to_bytes(),
        0o644,
        Replace::Never,
    )?;
    Ok(path)
}

/// Adds the signature of one key to a metadata file, in place. Which keys may sign is read from the newest root
/// in the file's folder and, for a root, from itself.
///
/// # Errors
/// [`Error::NotInRole`] for a key that could not count, [`Error::Trust`] for a file that is no metadata,
/// [`Error::Sign`], [`Error::Io`].
pub fn sign_file(path: &Path, signer: &dyn Signer) -> Result<SignStatus, Error> {
    let role = role_of(path)?;
    let mut envelope = read_envelope(path, &role)?;
    let counted = counted(path, &role, &envelope)?;
    let key = signer.public_key().id();
    if !counted.iter().any(|(_, keys, _)| keys.key_ids.contains(key)) {
        let reason = format!("no root names it for {role}; use a key of that role");
        return Err(Error::NotInRole {
            key: key.to_string(),
            path: path.to_owned(),
            reason,
        });
    }
    envelope.sign(signer)?;
    file::write(path, &envelope.to_bytes(), 0o644, Replace::Yes)?;
    Ok(status(&envelope, &counted))
}

/// How far a file is, without signing it.
///
/// # Errors
/// [`Error::Trust`], [`Error::Io`].
pub fn sign_status(path: &Path) -> Result<SignStatus, Error> {
    let role = role_of(path)?;
    let envelope = read_envelope(path, &role)?;
    Ok(status(&envelope, &counted(path, &role, &envelope)?))
}

/// Lets a draft into the repository as `N.root.json`, if devices that trust the root before it would accept it.
///
/// # Errors
/// [`Error::Trust`] if signatures are missing or the version is not the next; [`Error::Exists`]; [`Error::Io`].
pub fn publish_root(draft: &Path) -> Result<PathBuf, Error> {
    let folder = folder_of(draft);
    let newest = newest_root(folder)?;
    let newest_bytes = file::read(&folder.join(format!("{}.root.json", newest.header.version)))?;
    let kind = if newest.demo {
        Roots::Demo
    } else {
        Roots::Production
    };
    let bytes = file::read(draft)?;
    let chain = RootChain::new(
        &RootPin::of(kind, &newest_bytes),
        &newest_bytes,
        Limits::default(),
    );
    let mut chain = chain.map_err(Error::trust(folder))?;
    chain.update(&bytes).map_err(Error::trust(draft))?;
    let path = folder.join(format!("{}.root.json", chain.root().header.version));
    file::write(&path, &bytes, 0o644, Replace::Never)?;
    std::fs::remove_file(draft).map_err(Error::io("remove", draft))?;
    Ok(path)
}

fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// By the file's own `_type`.
fn role_of(path: &Path) -> Result<Role, Error> {
    let envelope = read_envelope(path, &Role::Targets)?;
    let kind = envelope
        .signed()
        .get("_type")
        .and_then(|kind| kind.as_str())
        .unwrap_or_default();
    [Role::Root, Role::Timestamp, Role::Snapshot, Role::Targets]
        .into_iter()
        .find(|role| role.type_name() == kind)
        .ok_or_else(|| {
            Error::Options(format!(
                "{} is no metadata file: its `_type` is {kind:?}",
                path.display()
            ))
        })
}

/// The roles whose thresholds count for a file, with the root that defines them.
fn counted(
    path: &Path,
    role: &Role,
    envelope: &Envelope,
) -> Result<Vec<(&'static str, RoleKeys, Root)>, Error> {
    let trusted = newest_root(folder_of(path))?;
    let keys = match role {
        Role::Root => {
            let own = Root::from_value(envelope.signed()).map_err(Error::trust(path))?;
            let old = ("the newest root's keys", trusted.root.clone(), trusted);
            return Ok(vec![old, ("its own keys", own.root.clone(), own)]);
        }
        Role::Timestamp => &trusted.timestamp,
        Role::Snapshot => &trusted.snapshot,
        _ => &trusted.targets,
    };
    Ok(vec![("the role's keys", keys.clone(), trusted)])
}

fn status(envelope: &Envelope, counted: &[(&'static str, RoleKeys, Root)]) -> SignStatus {
    let mut signed_by: Vec<KeyId> = Vec::new();
    let mut thresholds = Vec::new();
    for (by, keys, root) in counted {
        let valid = envelope.valid_keys(keys, &root.keys);
        thresholds.push((*by, valid.len(), keys.threshold.get()));
        signed_by.extend(valid.into_iter().map(|key| key.id().clone()));
    }
    signed_by.sort_unstable();
    signed_by.dedup();
    SignStatus {
        thresholds,
        signed_by,
    }
}
