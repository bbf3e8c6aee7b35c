//! What a set asks for and how much of it it takes.

use crate::metadata::Role;
use alloc::string::String;

/// How much is read of what strangers send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of a root file.
    pub max_root_len: usize,
    /// Most bytes of a timestamp file.
    pub max_timestamp_len: usize,
    /// Most bytes of a snapshot file, also where the timestamp states more.
    pub max_snapshot_len: usize,
    /// Most bytes of a targets file, also where the snapshot states more.
    pub max_targets_len: usize,
    /// Most bytes of a director document.
    pub max_director_len: usize,
    /// Most roots fetched in one update cycle. The caller counts.
    pub max_root_rotations: usize,
    /// Most delegated roles visited in search of one target.
    pub max_delegations: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_root_len: 512_000,
            max_timestamp_len: 16_384,
            max_snapshot_len: 2_000_000,
            max_targets_len: 5_000_000,
            max_director_len: 16_384,
            max_root_rotations: 256,
            max_delegations: 32,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The metadata is new and trusted now: store its bytes.
    Updated,
    /// The version trusted already; the new bytes are dropped.
    Unchanged,
}

/// A file to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Whose metadata.
    pub role: Role,
    /// Who delegates to it, for delegated roles.
    pub delegator: Option<Role>,
    /// The file's name below the repository's address: `7.snapshot.json`.
    pub name: String,
    /// Most bytes to read; give up beyond.
    pub max_len: usize,
}

impl Limits {
    /// The limit for a role's file.
    #[must_use]
    pub fn of(&self, role: &Role) -> usize {
        match role {
            Role::Root => self.max_root_len,
            Role::Timestamp => self.max_timestamp_len,
            Role::Snapshot => self.max_snapshot_len,
            Role::Targets | Role::Delegated(_) => self.max_targets_len,
            Role::Director => self.max_director_len,
        }
    }
}
