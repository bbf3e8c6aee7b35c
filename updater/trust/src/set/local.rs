//! Metadata from the device's own disk, verified again at each start.
//!
//! Disks rot, and roots rotate between two starts, so nothing is trusted for having been trusted before: the
//! same signatures are checked against the current root. Two rules differ from the network's. Expired metadata
//! is kept: it still is the floor under versions. And the snapshot need not be the one that the timestamp
//! names: power may have failed between storing the two.

use super::TrustedSet;
use crate::error::TrustError;
use crate::metadata::{Header, Role, Snapshot, Targets, Timestamp};
use crate::time::UnixTime;
use crate::verified::Verified;

/// Bytes from disk, where there are some.
#[derive(Debug, Clone, Copy, Default)]
pub struct Local<'a> {
    /// `timestamp.json`.
    pub timestamp: Option<&'a [u8]>,
    /// `snapshot.json`.
    pub snapshot: Option<&'a [u8]>,
    /// `targets.json`.
    pub targets: Option<&'a [u8]>,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalState {
    /// There was none.
    Absent,
    /// Trusted.
    Trusted,
    /// Trusted as a floor under versions; installs nothing.
    Expired {
        /// When it expired.
        since: UnixTime,
    },
    /// Not trusted: delete it and fetch it anew.
    Refused(TrustError),
}

impl LocalState {
    pub(crate) fn of(header: &Header, now: UnixTime) -> Self {
        if header.expires > now {
            Self::Trusted
        } else {
            Self::Expired {
                since: header.expires,
            }
        }
    }
}

/// What became of each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalReport {
    /// The trusted root: [`LocalState::Trusted`] or [`LocalState::Expired`].
    pub root: LocalState,
    /// The timestamp.
    pub timestamp: LocalState,
    /// The snapshot.
    pub snapshot: LocalState,
    /// The targets.
    pub targets: LocalState,
}

impl TrustedSet {
    /// Takes metadata from disk, after the roots from disk were given to [`TrustedSet::update_root`]. Whatever
    /// was loaded before is replaced.
    ///
    /// If the timestamp or the snapshot is whole but the current root's keys did not sign it, both are refused:
    /// those keys were rotated (5.3.11). Damage to one of them is told apart where the timestamp states the
    /// snapshot's hash, and then costs that file alone.
    pub fn load_local(&mut self, local: Local<'_>, now: UnixTime) -> LocalReport {
        self.delegated.clear();
        let (mut timestamp_state, timestamp) = state(
            self.verify_local(Role::Timestamp, local.timestamp, Timestamp::from_value),
            |t| &t.header,
            now,
        );
        let (mut snapshot_state, snapshot) = state(
            self.verify_local(Role::Snapshot, local.snapshot, Snapshot::from_value),
            |s| &s.header,
            now,
        );
        let (targets_state, targets) = state(
            self.verify_local(Role::Targets, local.targets, |signed| {
                Targets::from_value(&Role::Targets, signed)
            }),
            |t| &t.header,
            now,
        );
        self.timestamp = timestamp;
        self.snapshot = snapshot;
        self.targets = targets;

        let rotted = local
            .snapshot
            .zip(self.timestamp.as_deref())
            .is_some_and(|(bytes, timestamp)| {
                timestamp.snapshot.hashes.is_some() && timestamp.snapshot.verify("", bytes).is_err()
            });
        if let Some(error) = is_unsigned(&timestamp_state) {
            refuse(&mut snapshot_state, &mut self.snapshot, error);
        } else if let Some(error) = is_unsigned(&snapshot_state).filter(|_| !rotted) {
            refuse(&mut timestamp_state, &mut self.timestamp, error);
        }
        LocalReport {
            root: LocalState::of(&self.root().header, now),
            timestamp: timestamp_state,
            snapshot: snapshot_state,
            targets: targets_state,
        }
    }

    fn verify_local<T>(
        &self,
        role: Role,
        bytes: Option<&[u8]>,
        view: impl FnOnce(&crate::json::Value) -> Result<T, TrustError>,
    ) -> Option<Result<Verified<T>, TrustError>> {
        bytes.map(|bytes| self.verify(role, bytes, view))
    }
}

fn state<T>(
    loaded: Option<Result<Verified<T>, TrustError>>,
    header: impl FnOnce(&T) -> &Header,
    now: UnixTime,
) -> (LocalState, Option<Verified<T>>) {
    match loaded {
        None => (LocalState::Absent, None),
        Some(Err(error)) => (LocalState::Refused(error), None),
        Some(Ok(verified)) => (LocalState::of(header(&verified), now), Some(verified)),
    }
}

fn is_unsigned(state: &LocalState) -> Option<TrustError> {
    match state {
        LocalState::Refused(error @ TrustError::Signatures { .. }) => Some(error.clone()),
        _ => None,
    }
}

fn refuse<T>(state: &mut LocalState, held: &mut Option<Verified<T>>, error: TrustError) {
    if held.take().is_some() {
        *state = LocalState::Refused(error);
    }
}
