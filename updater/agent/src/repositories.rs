//! What the device trusts of its two repositories, kept as blobs on its medium.
//!
//! Every blob is the bytes that were verified, under a fixed name, and is verified again at each start against the
//! roots, which are walked from the pinned first one. New content is verified on a copy of what is trusted, then
//! written, and only then trusted: on a medium that takes no blob the device stays where it was, and a restart never
//! finds an older version than the one acted upon.

use crate::error::Trouble;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_slots::{MAX_BLOB_LEN, Storage};
use sanderling_trust::{
    Assignment, Change, DeviceIdentity, Director, DirectorTargets, Fetch, Limits, Local, LocalState, Role,
    RootPin, Roots, TrustError, TrustedSet, UnixTime, Verified, decide,
};
use sanderling_wire::EnrolmentString;

const TIMESTAMP: &str = "timestamp.json";
const SNAPSHOT: &str = "snapshot.json";
const TARGETS: &str = "targets.json";
const DIRECTOR: &str = "director.json";

/// Image repository or director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repository {
    Images,
    Director,
}

impl Repository {
    fn root_blob(self, version: u64) -> String {
        match self {
            Self::Images => format!("image.root.{version}.json"),
            Self::Director => format!("director.root.{version}.json"),
        }
    }
}

/// The trusted metadata of both.
#[derive(Debug, Clone)]
pub(crate) struct Repositories {
    pins: (RootPin, RootPin),
    limits: Limits,
    pub(crate) images: Option<TrustedSet>,
    pub(crate) director: Option<Director>,
}

/// Limits that fit a small device's memory and a blob.
fn limits() -> Limits {
    let most = Limits::default();
    Limits {
        max_root_len: most.max_root_len.min(64 * 1024),
        max_snapshot_len: most.max_snapshot_len.min(MAX_BLOB_LEN / 4),
        max_targets_len: most.max_targets_len.min(MAX_BLOB_LEN),
        ..most
    }
}

impl Repositories {
    /// Loads what is on the medium; what no longer verifies is left out and named.
    pub(crate) fn load<S: Storage>(
        storage: &mut S,
        enrolment: &EnrolmentString,
        kind: Roots,
        device: &DeviceIdentity,
        now: UnixTime,
    ) -> Result<(Self, Vec<TrustError>), Trouble> {
        let pin = |sha256| RootPin { kind, sha256 };
        let pins = (pin(enrolment.image_root), pin(enrolment.director_root));
        let mut this = Self {
            pins,
            limits: limits(),
            images: None,
            director: None,
        };
        let mut refused = Vec::new();
        this.load_roots(storage, &mut refused)?;
        if let Some(images) = &mut this.images {
            let blobs = [TIMESTAMP, SNAPSHOT, TARGETS].map(|name| storage.read_blob(name));
            let [timestamp, snapshot, targets] = blobs;
            let (timestamp, snapshot, targets) = (timestamp?, snapshot?, targets?);
            let local = Local {
                timestamp: timestamp.as_deref(),
                snapshot: snapshot.as_deref(),
                targets: targets.as_deref(),
            };
            let report = images.load_local(local, now);
            for state in [report.timestamp, report.snapshot, report.targets] {
                if let LocalState::Refused(error) = state {
                    refused.push(error);
                }
            }
        }
        if let Some(director) = &mut this.director {
            let document = storage.read_blob(DIRECTOR)?;
            if let LocalState::Refused(error) = director.load_local(document.as_deref(), device, now) {
                refused.push(error);
            }
        }
        Ok((this, refused))
    }

    fn load_roots<S: Storage>(
        &mut self,
        storage: &mut S,
        refused: &mut Vec<TrustError>,
    ) -> Result<(), Trouble> {
        for repository in [Repository::Images, Repository::Director] {
            let Some(first) = storage.read_blob(&repository.root_blob(1))? else {
                continue;
            };
            if let Err(error) = self.pin(repository, &first) {
                refused.push(error);
                continue;
            }
            for _ in 0..self.limits.max_root_rotations {
                let name = repository.root_blob(self.root_version(repository) + 1);
                let Some(next) = storage.read_blob(&name)? else {
                    break;
                };
                if let Err(error) = self.follow(repository, &next) {
                    refused.push(error);
                    break;
                }
            }
        }
        Ok(())
    }

    fn pin(&mut self, repository: Repository, bytes: &[u8]) -> Result<(), TrustError> {
        match repository {
            Repository::Images => self.images = Some(TrustedSet::new(&self.pins.0, bytes, self.limits)?),
            Repository::Director => self.director = Some(Director::new(&self.pins.1, bytes, self.limits)?),
        }
        Ok(())
    }

    fn follow(&mut self, repository: Repository, bytes: &[u8]) -> Result<(), TrustError> {
        match (repository, &mut self.images, &mut self.director) {
            (Repository::Images, Some(images), _) => images.update_root(bytes),
            (Repository::Director, _, Some(director)) => director.update_root(bytes),
            _ => self.pin(repository, bytes),
        }
    }

    /// The version of the trusted root, 0 while there is none.
    pub(crate) fn root_version(&self, repository: Repository) -> u64 {
        match repository {
            Repository::Images => self.images.as_ref().map_or(0, |set| set.root().header.version),
            Repository::Director => self
                .director
                .as_ref()
                .map_or(0, |director| director.root().header.version),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes the pinned first root, or the one after the trusted one, once it is stored.
    pub(crate) fn take_root<S: Storage>(
        &mut self,
        storage: &mut S,
        repository: Repository,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        let mut next = self.clone();
        let is_first = next.root_version(repository) == 0;
        next.follow(repository, bytes)?;
        let version = if is_first {
            1
        } else {
            next.root_version(repository)
        };
        storage.write_blob(&repository.root_blob(version), bytes)?;
        // Rotated keys take what they signed with them (TUF 1.0, 5.3.11).
        match repository {
            Repository::Images if next.images.as_ref().is_some_and(|set| set.timestamp().is_none()) => {
                storage.remove_blob(TIMESTAMP)?;
                storage.remove_blob(SNAPSHOT)?;
            }
            Repository::Director if next.document().is_none() => storage.remove_blob(DIRECTOR)?,
            Repository::Images | Repository::Director => {}
        }
        *self = next;
        Ok(())
    }

    /// Takes a metadata file of the image repository once it is stored; a delegated role's is kept in memory only.
    pub(crate) fn take_file<S: Storage>(
        &mut self,
        storage: &mut S,
        fetch: &Fetch,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<(), Trouble> {
        let trusted = self.images.as_mut();
        let trusted = trusted.ok_or(TrustError::NotLoaded { role: Role::Root })?;
        let mut next = trusted.clone();
        if next.update(fetch, bytes, now)? == Change::Updated {
            match fetch.role {
                Role::Timestamp => storage.write_blob(TIMESTAMP, bytes)?,
                Role::Snapshot => storage.write_blob(SNAPSHOT, bytes)?,
                Role::Targets => storage.write_blob(TARGETS, bytes)?,
                _ => {}
            }
        }
        *trusted = next;
        Ok(())
    }

    /// Verifies a director document and trusts it once it is stored.
    pub(crate) fn take_document<S: Storage>(
        &mut self,
        storage: &mut S,
        bytes: &[u8],
        device: &DeviceIdentity,
        now: UnixTime,
    ) -> Result<(), Trouble> {
        let trusted = self.director.as_mut();
        let trusted = trusted.ok_or(TrustError::NotLoaded { role: Role::Root })?;
        let mut next = trusted.clone();
        next.verify(bytes, device, now)?;
        let is_stored = trusted
            .trusted()
            .is_some_and(|document| document.bytes() == bytes);
        if !is_stored {
            storage.write_blob(DIRECTOR, bytes)?;
        }
        *trusted = next;
        Ok(())
    }

    /// The newest trusted director document.
    pub(crate) fn document(&self) -> Option<&Verified<DirectorTargets>> {
        self.director.as_ref()?.trusted()
    }

    /// Puts both repositories together.
    pub(crate) fn decide(&self, device: &DeviceIdentity, now: UnixTime) -> Result<Assignment, TrustError> {
        let both = self.images.as_ref().zip(self.document());
        let (images, document) = both.ok_or(TrustError::NotLoaded { role: Role::Director })?;
        decide(images, document, device, now)
    }
}
