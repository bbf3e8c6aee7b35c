//! What the device trusts of its two repositories, kept as blobs on its medium.
//!
//! Every blob is the bytes that were verified, under a fixed name, and is verified again at each start against the
//! roots, which are walked from the pinned first one. A blob is written when its content was accepted and before
//! anything is done because of it.

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
#[derive(Debug)]
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

    /// Takes the pinned first root, or the one after the trusted one, and stores it.
    pub(crate) fn take_root<S: Storage>(
        &mut self,
        storage: &mut S,
        repository: Repository,
        bytes: &[u8],
    ) -> Result<(), Trouble> {
        let is_first = self.root_version(repository) == 0;
        self.follow(repository, bytes)?;
        let version = if is_first {
            1
        } else {
            self.root_version(repository)
        };
        storage.write_blob(&repository.root_blob(version), bytes)?;
        // Rotated keys take what they signed with them (TUF 1.0, 5.3.11).
        match repository {
            Repository::Images if self.images.as_ref().is_some_and(|set| set.timestamp().is_none()) => {
                storage.remove_blob(TIMESTAMP)?;
                storage.remove_blob(SNAPSHOT)?;
            }
            Repository::Director if self.document().is_none() => storage.remove_blob(DIRECTOR)?,
            Repository::Images | Repository::Director => {}
        }
        Ok(())
    }

    /// Takes a metadata file of the image repository and stores it, unless it is a delegated role's.
    pub(crate) fn take_file<S: Storage>(
        &mut self,
        storage: &mut S,
        fetch: &Fetch,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<(), Trouble> {
        let set = self
            .images
            .as_mut()
            .ok_or(TrustError::NotLoaded { role: Role::Root })?;
        if set.update(fetch, bytes, now)? == Change::Updated {
            match fetch.role {
                Role::Timestamp => storage.write_blob(TIMESTAMP, bytes)?,
                Role::Snapshot => storage.write_blob(SNAPSHOT, bytes)?,
                Role::Targets => storage.write_blob(TARGETS, bytes)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Verifies a director document and stores it.
    pub(crate) fn take_document<S: Storage>(
        &mut self,
        storage: &mut S,
        bytes: &[u8],
        device: &DeviceIdentity,
        now: UnixTime,
    ) -> Result<(), Trouble> {
        let director = self
            .director
            .as_mut()
            .ok_or(TrustError::NotLoaded { role: Role::Root })?;
        let is_new = director
            .trusted()
            .is_none_or(|document| document.bytes() != bytes);
        director.verify(bytes, device, now)?;
        if is_new {
            storage.write_blob(DIRECTOR, bytes)?;
        }
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
