//! The metadata of one repository that is trusted now, and the only ways it changes.
//!
//! ```text
//!   pin ─► root 1 ─► root 2 ─► … ─► root N        (each signed by the one before and by itself)
//!                                     │ keys
//!             ┌───────────────────────┼──────────────────┐
//!             ▼                       ▼                  ▼
//!         timestamp ──version,hash► snapshot ──version,hash► targets ─► delegated …
//! ```
//!
//! Each step is the specification's (TUF 1.0, 5.3–5.7): length and hash as the parent states them, over the
//! bytes received; signatures by a threshold of the role's keys; version neither under the trusted one nor
//! other than the parent states; expiry after now. A step that fails changes nothing.
//!
//! *Current* and *trusted* are two things here. A snapshot that was taken from disk, or that a newer timestamp
//! has overtaken, is still trusted as the floor under versions, but nothing is installed by it until it is what
//! the timestamp names.

mod chain;
mod limits;
mod local;
mod search;

pub use chain::{RootChain, RootPin, Roots};
pub use limits::{Change, Fetch, Limits};
pub use local::{Local, LocalReport, LocalState};
pub use search::{Search, Step};

use crate::envelope::Envelope;
use crate::error::TrustError;
use crate::json::Value;
use crate::metadata::{Header, MetaFile, Role, RoleKeys, Root, Snapshot, TargetFile, Targets, Timestamp};
use crate::time::UnixTime;
use crate::verified::Verified;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;

/// Most delegated roles held at a time.
const MAX_DELEGATED: usize = 1024;

/// The trusted metadata of an image repository.
#[derive(Debug, Clone)]
pub struct TrustedSet {
    chain: RootChain,
    timestamp: Option<Verified<Timestamp>>,
    snapshot: Option<Verified<Snapshot>>,
    targets: Option<Verified<Targets>>,
    /// By (delegator, role): a role is trusted along the path by which it was verified, and no other.
    delegated: BTreeMap<(Role, Role), Verified<Targets>>,
}

impl TrustedSet {
    /// A set that trusts the pinned first root.
    ///
    /// # Errors
    /// [`TrustError::Pin`] and all that [`RootChain::new`] has.
    pub fn new(pin: &RootPin, first_root: &[u8], limits: Limits) -> Result<Self, TrustError> {
        let chain = RootChain::new(pin, first_root, limits)?;
        Ok(Self {
            chain,
            timestamp: None,
            snapshot: None,
            targets: None,
            delegated: BTreeMap::new(),
        })
    }

    /// The trusted root.
    #[must_use]
    pub fn root(&self) -> &Verified<Root> {
        self.chain.root()
    }

    /// The trusted timestamp.
    #[must_use]
    pub fn timestamp(&self) -> Option<&Verified<Timestamp>> {
        self.timestamp.as_ref()
    }

    /// The trusted snapshot, current or not.
    #[must_use]
    pub fn snapshot(&self) -> Option<&Verified<Snapshot>> {
        self.snapshot.as_ref()
    }

    /// The trusted targets, current or not.
    #[must_use]
    pub fn targets(&self) -> Option<&Verified<Targets>> {
        self.targets.as_ref()
    }

    /// The limits given at the start.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        self.chain.limits()
    }

    /// The root to try next; a 404 for it means that the trusted one is the newest.
    #[must_use]
    pub fn next_root(&self) -> Fetch {
        self.chain.next_root()
    }

    /// The timestamp, to be fetched in each update cycle.
    #[must_use]
    pub fn timestamp_fetch(&self) -> Fetch {
        let max_len = self.limits().max_timestamp_len;
        Fetch {
            role: Role::Timestamp,
            delegator: None,
            name: "timestamp.json".to_owned(),
            max_len,
        }
    }

    /// What is missing before [`crate::decide`] can work; none when all is current. Holds no opinion on expiry.
    #[must_use]
    pub fn wanted(&self) -> Option<Fetch> {
        let Some(timestamp) = &self.timestamp else {
            return Some(self.timestamp_fetch());
        };
        let Ok(snapshot) = self.current_snapshot() else {
            return Some(self.fetch(
                Role::Snapshot,
                None,
                &timestamp.snapshot,
                self.limits().max_snapshot_len,
            ));
        };
        if self.current_targets().is_ok() {
            return None;
        }
        let meta = snapshot.get(&Role::Targets)?;
        Some(self.fetch(Role::Targets, None, meta, self.limits().max_targets_len))
    }

    fn fetch(&self, role: Role, delegator: Option<Role>, meta: &MetaFile, limit: usize) -> Fetch {
        let stated = meta
            .length
            .and_then(|length| usize::try_from(length).ok())
            .unwrap_or(limit);
        let name = if self.root().consistent_snapshot {
            format!("{}.{}", meta.version, role.file_name())
        } else {
            role.file_name()
        };
        Fetch {
            role,
            delegator,
            name,
            max_len: stated.min(limit),
        }
    }

    /// Takes the file that `fetch` named.
    ///
    /// # Errors
    /// Those of the role's own step.
    pub fn update(&mut self, fetch: &Fetch, bytes: &[u8], now: UnixTime) -> Result<Change, TrustError> {
        match (&fetch.role, &fetch.delegator) {
            (Role::Root, _) => self.update_root(bytes).map(|()| Change::Updated),
            (Role::Timestamp, _) => self.update_timestamp(bytes, now),
            (Role::Snapshot, _) => self.update_snapshot(bytes, now).map(|()| Change::Updated),
            (Role::Targets, _) => self.update_targets(bytes, now).map(|()| Change::Updated),
            (role, Some(delegator)) => self
                .update_delegated(delegator, role, bytes, now)
                .map(|()| Change::Updated),
            (role, None) => Err(TrustError::NotListed {
                role: role.clone(),
                by: "this repository".to_owned(),
            }),
        }
    }

    /// Takes the next root (5.3). Its expiry is not looked at: a later root may follow.
    ///
    /// Metadata that the new root's keys did not sign is dropped. Where that hits the timestamp or the snapshot,
    /// both go, so that the owner recovers from versions that a thief pushed up (fast-forward, 5.3.11): delete
    /// their stored bytes when [`TrustedSet::timestamp`] and [`TrustedSet::snapshot`] are gone after this call.
    ///
    /// # Errors
    /// [`TrustError::RootVersion`] and all that verifying has.
    pub fn update_root(&mut self, bytes: &[u8]) -> Result<(), TrustError> {
        self.chain.update(bytes)?;
        let (root, limits) = (self.chain.root(), self.chain.limits());
        let rotated = |role: Role, keys: &RoleKeys, bytes: Option<&[u8]>| {
            bytes.is_some_and(|bytes| {
                let envelope = Envelope::parse(&role, bytes, limits.of(&role));
                !envelope.is_ok_and(|envelope| envelope.verify(&role, keys, &root.keys, None).is_ok())
            })
        };
        let timestamp = rotated(
            Role::Timestamp,
            &root.timestamp,
            self.timestamp.as_ref().map(Verified::bytes),
        );
        let snapshot = rotated(
            Role::Snapshot,
            &root.snapshot,
            self.snapshot.as_ref().map(Verified::bytes),
        );
        let targets = rotated(
            Role::Targets,
            &root.targets,
            self.targets.as_ref().map(Verified::bytes),
        );
        if timestamp || snapshot {
            self.timestamp = None;
            self.snapshot = None;
        }
        if targets {
            self.targets = None;
            self.delegated.clear();
        }
        Ok(())
    }

    /// Takes a timestamp (5.4).
    ///
    /// # Errors
    /// [`TrustError::Expired`] for the trusted root or this timestamp, [`TrustError::Rollback`], and all that
    /// verifying has.
    pub fn update_timestamp(&mut self, bytes: &[u8], now: UnixTime) -> Result<Change, TrustError> {
        self.root().header.check_fresh(Role::Root, now)?;
        let new = self.verify(Role::Timestamp, bytes, Timestamp::from_value)?;
        if let Some(trusted) = &self.timestamp {
            check_not_older(Role::Timestamp, trusted.header.version, new.header.version)?;
            if trusted.header.version == new.header.version {
                return Ok(Change::Unchanged);
            }
            check_not_older(Role::Snapshot, trusted.snapshot.version, new.snapshot.version)?;
        }
        new.header.check_fresh(Role::Timestamp, now)?;
        self.timestamp = Some(new);
        Ok(Change::Updated)
    }

    /// Takes the snapshot that the timestamp names (5.5).
    ///
    /// # Errors
    /// [`TrustError::NotLoaded`] without a timestamp, [`TrustError::Length`], [`TrustError::Hash`],
    /// [`TrustError::ListedVersion`], [`TrustError::DroppedFromSnapshot`], [`TrustError::Rollback`],
    /// [`TrustError::Expired`], and all that verifying has.
    pub fn update_snapshot(&mut self, bytes: &[u8], now: UnixTime) -> Result<(), TrustError> {
        let timestamp = self.fresh_timestamp(now)?;
        timestamp.snapshot.verify("snapshot", bytes)?;
        let new = self.verify(Role::Snapshot, bytes, Snapshot::from_value)?;
        check_listed(Role::Snapshot, timestamp.snapshot.version, new.header.version)?;
        if let Some(trusted) = &self.snapshot {
            for (name, old) in &trusted.meta {
                let listed = new.meta.get(name);
                let listed = listed.ok_or_else(|| TrustError::DroppedFromSnapshot { name: name.clone() })?;
                check_not_older(targets_role(name), old.version, listed.version)?;
            }
        }
        new.header.check_fresh(Role::Snapshot, now)?;
        self.delegated.retain(|(_, role), held| {
            new.get(role)
                .is_some_and(|meta| is_current(meta, &held.header, held))
        });
        self.snapshot = Some(new);
        Ok(())
    }

    /// Takes the targets that the snapshot names (5.6).
    ///
    /// # Errors
    /// As [`TrustedSet::update_snapshot`], with the snapshot as the parent.
    pub fn update_targets(&mut self, bytes: &[u8], now: UnixTime) -> Result<(), TrustError> {
        let meta = self.listed(&Role::Targets, bytes, now)?;
        let new = self.verify(Role::Targets, bytes, |signed| {
            Targets::from_value(&Role::Targets, signed)
        })?;
        check_listed(Role::Targets, meta, new.header.version)?;
        new.header.check_fresh(Role::Targets, now)?;
        self.targets = Some(new);
        self.delegated.clear();
        Ok(())
    }

    /// Takes the metadata of a delegated role (5.6.7), by the keys that `delegator` states for it.
    ///
    /// # Errors
    /// As [`TrustedSet::update_snapshot`]; [`TrustError::NotListed`] if the delegator does not delegate to it.
    pub fn update_delegated(
        &mut self,
        delegator: &Role,
        role: &Role,
        bytes: &[u8],
        now: UnixTime,
    ) -> Result<(), TrustError> {
        let meta = self.listed(role, bytes, now)?;
        let parent = self.loaded_targets(delegator)?;
        parent.header.check_fresh(delegator.clone(), now)?;
        let unlisted = || TrustError::NotListed {
            role: role.clone(),
            by: format!("{delegator}"),
        };
        let Role::Delegated(name) = role else {
            return Err(unlisted());
        };
        let delegations = parent.delegations.as_ref().ok_or_else(unlisted)?;
        let keys = delegations.role_keys(name).ok_or_else(unlisted)?;
        let envelope = Envelope::parse(role, bytes, self.limits().max_targets_len)?;
        envelope.verify(role, keys, &delegations.keys, None)?;
        let new = Targets::from_value(role, envelope.signed())?;
        check_listed(role.clone(), meta, new.header.version)?;
        new.header.check_fresh(role.clone(), now)?;
        if self.delegated.len() >= MAX_DELEGATED {
            return Err(TrustError::TooMany {
                what: "delegated roles at a time",
                limit: MAX_DELEGATED,
            });
        }
        self.delegated.retain(|(by, _), _| by != role);
        self.delegated
            .insert((delegator.clone(), role.clone()), Verified::new(new, bytes));
        Ok(())
    }

    /// The target of this name, out of current metadata that has not expired, delegations included.
    ///
    /// # Errors
    /// [`TrustError::NotLoaded`] where metadata has to be fetched first (see [`TrustedSet::wanted`], and
    /// [`Search`] for delegated roles); [`TrustError::Expired`]; [`TrustError::NotInImages`].
    pub fn fresh_target(&self, name: &str, now: UnixTime) -> Result<&TargetFile, TrustError> {
        self.check_fresh(now)?;
        match Search::new(name).step_by(self, |role, header| header.check_fresh(role.clone(), now))? {
            Step::Found(target) => Ok(target),
            Step::Fetch(fetch) => Err(TrustError::NotLoaded { role: fetch.role }),
            Step::Absent => Err(TrustError::NotInImages {
                name: name.to_owned(),
            }),
        }
    }

    /// Checks that root, timestamp, snapshot and targets are there, belong together and have not expired.
    ///
    /// # Errors
    /// [`TrustError::NotLoaded`], [`TrustError::Expired`].
    pub fn check_fresh(&self, now: UnixTime) -> Result<(), TrustError> {
        self.root().header.check_fresh(Role::Root, now)?;
        self.fresh_timestamp(now)?;
        self.current_snapshot()?.header.check_fresh(Role::Snapshot, now)?;
        self.current_targets()?.header.check_fresh(Role::Targets, now)
    }

    /// When the first of root, timestamp, snapshot and targets expires, and which; for warnings ahead of it.
    #[must_use]
    pub fn first_expiry(&self) -> (Role, UnixTime) {
        let mut first = (Role::Root, self.root().header.expires);
        let others = [
            (Role::Timestamp, self.timestamp.as_ref().map(|t| t.header.expires)),
            (Role::Snapshot, self.snapshot.as_ref().map(|s| s.header.expires)),
            (Role::Targets, self.targets.as_ref().map(|t| t.header.expires)),
        ];
        for (role, expires) in others {
            if let Some(expires) = expires.filter(|expires| *expires < first.1) {
                first = (role, expires);
            }
        }
        first
    }

    fn fresh_timestamp(&self, now: UnixTime) -> Result<&Verified<Timestamp>, TrustError> {
        let timestamp = self.timestamp.as_ref().ok_or(TrustError::NotLoaded {
            role: Role::Timestamp,
        })?;
        timestamp.header.check_fresh(Role::Timestamp, now)?;
        Ok(timestamp)
    }

    /// The snapshot, if it is the one that the timestamp names.
    fn current_snapshot(&self) -> Result<&Verified<Snapshot>, TrustError> {
        let missing = || TrustError::NotLoaded { role: Role::Snapshot };
        let named = &self.timestamp.as_ref().ok_or_else(missing)?.snapshot;
        self.snapshot
            .as_ref()
            .filter(|held| is_current(named, &held.header, held))
            .ok_or_else(missing)
    }

    /// The targets, if they are the ones that the current snapshot names.
    fn current_targets(&self) -> Result<&Verified<Targets>, TrustError> {
        let missing = || TrustError::NotLoaded { role: Role::Targets };
        let named = self.current_snapshot()?.get(&Role::Targets).ok_or_else(missing)?;
        self.targets
            .as_ref()
            .filter(|held| is_current(named, &held.header, held))
            .ok_or_else(missing)
    }

    /// Targets metadata of a role that was verified already, along some path.
    fn loaded_targets(&self, role: &Role) -> Result<&Verified<Targets>, TrustError> {
        if *role == Role::Targets {
            return self.current_targets();
        }
        let held = self.delegated.iter().find(|((_, held), _)| held == role);
        held.map(|(_, targets)| targets)
            .ok_or_else(|| TrustError::NotLoaded { role: role.clone() })
    }

    /// The version that a fresh current snapshot states for `role`, after its length and hashes matched.
    fn listed(&self, role: &Role, bytes: &[u8], now: UnixTime) -> Result<u64, TrustError> {
        self.fresh_timestamp(now)?;
        let snapshot = self.current_snapshot()?;
        snapshot.header.check_fresh(Role::Snapshot, now)?;
        let unlisted = || TrustError::NotListed {
            role: role.clone(),
            by: "the snapshot".to_owned(),
        };
        let meta = snapshot.get(role).ok_or_else(unlisted)?;
        meta.verify(&format!("{role}"), bytes)?;
        Ok(meta.version)
    }

    /// Length limit, signatures by the trusted root's keys for the role, typed view; in this order.
    fn verify<T>(
        &self,
        role: Role,
        bytes: &[u8],
        view: impl FnOnce(&Value) -> Result<T, TrustError>,
    ) -> Result<Verified<T>, TrustError> {
        let root = self.root();
        let keys = match role {
            Role::Timestamp => &root.timestamp,
            Role::Snapshot => &root.snapshot,
            _ => &root.targets,
        };
        let envelope = Envelope::parse(&role, bytes, self.limits().of(&role))?;
        envelope.verify(&role, keys, &root.keys, None)?;
        Ok(Verified::new(view(envelope.signed())?, bytes))
    }
}

/// Whether metadata that is held is what its parent states, to the byte where the parent says so.
fn is_current<T>(stated: &MetaFile, header: &Header, held: &Verified<T>) -> bool {
    stated.version == header.version && stated.verify("", held.bytes()).is_ok()
}

fn check_not_older(role: Role, trusted: u64, offered: u64) -> Result<(), TrustError> {
    if offered < trusted {
        Err(TrustError::Rollback {
            role,
            trusted,
            offered,
        })
    } else {
        Ok(())
    }
}

fn check_listed(role: Role, listed: u64, found: u64) -> Result<(), TrustError> {
    if found == listed {
        Ok(())
    } else {
        Err(TrustError::ListedVersion { role, listed, found })
    }
}

/// The role of a file in a snapshot.
fn targets_role(file: &str) -> Role {
    match file.strip_suffix(".json").unwrap_or(file) {
        "targets" => Role::Targets,
        name => Role::Delegated(name.to_owned()),
    }
}
