//! What operators and the executor write: lists of changes that are committed together or not at all.

use crate::ledger::{Entry, NewEntry};
use crate::types::{
    Alias, AssignmentRow, AuditEntry, Desired, IdempotentReply, NewToken, RolloutRow, Version,
};
use sanderling_wire::{DeviceId, RolloutId};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Makes an enrolment token valid.
    AddToken(NewToken),
    /// Refuses a device's key from now on and takes its assignment away.
    Decommission {
        /// The device.
        device: DeviceId,
        /// Now.
        at: u64,
    },
    /// Registers a version. A name and version are taken once; the same bytes under them again are no change.
    AddVersion(Version),
    /// Keeps TUF metadata files, over older ones of the same name.
    PutTufFiles {
        /// `image` or `director`.
        repository: &'static str,
        /// Name and bytes of each.
        files: Vec<(String, Vec<u8>)>,
    },
    /// Points an alias at a version.
    SetAlias(Alias),
    /// Takes an alias away.
    RemoveAlias {
        /// The model's name.
        name: String,
        /// The alias.
        alias: String,
    },
    /// Creates a rollout.
    AddRollout(RolloutRow),
    /// Moves a rollout on.
    SetRollout {
        /// Which.
        id: RolloutId,
        /// Its new status.
        status: String,
        /// Its new state, JSON.
        state: String,
    },
    /// Puts devices into a rollout. A device that is in keeps what is set; what was empty is filled in.
    Assign {
        /// The rollout.
        rollout: RolloutId,
        /// The devices' places.
        rows: Vec<AssignmentRow>,
    },
    /// Keeps a device from any rollout, or lets it take part again.
    FreezeDevice {
        /// The device.
        device: DeviceId,
        /// Whether it is kept.
        frozen: bool,
    },
    /// Says what devices are to run.
    Desire {
        /// Which.
        devices: Vec<DeviceId>,
        /// What; none takes the assignment away.
        desired: Option<Desired>,
    },
    /// Appends to the ledger.
    Ledger(NewEntry),
    /// Notes an operator's action.
    Audit(AuditEntry),
    /// Keeps an answer for the case that the call comes again.
    Remember(IdempotentReply),
    /// Sets a setting.
    Set {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Forgets telemetry, kept answers and unused expired tokens from before a time, and runtime descriptions that no device
    /// has any more. Evidence, ledger and audit stay.
    Prune {
        /// Telemetry received before this goes.
        telemetry_before: u64,
        /// Kept answers from before this go.
        replies_before: u64,
        /// Tokens that expired unused before this go.
        tokens_before: u64,
    },
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Committed {
    /// The entries that were appended to the ledger.
    pub entries: Vec<Entry>,
}
