//! What the fleet server remembers: the [`Store`] trait and [`SqliteStore`], its embedded default.
//!
//! There are three ways in and many ways out. Devices' words go in through [`Store::check_in`] and
//! [`Store::enrol`]; everything that operators and the executor decide goes in through [`Store::commit`], a list of
//! [`Change`]s that are kept together or not at all. All three answer after the commit is on disk, never before.
//!
//! ```text
//!   check_in ─┐
//!   enrol ────┼─► queue ─► one writer: many jobs, one transaction, one fsync ─► answers, then Heads tick
//!   commit ───┘
//!   reads ────────────────► pool of read-only connections
//! ```
//!
//! One writer, because SQLite has one anyway; many jobs a transaction, because an fsync costs the same for one and
//! for a hundred ("group commit"). A job that is refused (a used token, a taken name) undoes only itself.
//!
//! Exactly once: a record's key is (device, incarnation, sequence). Devices send in order of sequence, so one
//! high-water mark per (device, incarnation), moved in the same transaction, tells new records from repeats; the
//! primary key of the table stands behind it. What is counted from records (evidence, answers) is counted with them.
//!
//! The planner's state is opaque here; what SQL must reason about (who is assigned, what was counted) has
//! columns. PostgreSQL comes as a second implementation of the trait.
#![forbid(unsafe_code)]

mod change;
mod error;
pub mod ledger;
mod sqlite;
mod types;

pub use change::{Change, Committed};
pub use error::StoreError;
pub use sqlite::{SqliteOptions, SqliteStore};
pub use types::{
    Alias, AssignmentRow, AuditEntry, CheckInStored, CheckInWrite, Desired, Device, DeviceEvent,
    DeviceRecord, DeviceState, Enrolled, Enrolment, FleetCount, FleetRow, Heads, HealthRow, IdempotentReply,
    MintPolicy, Mode, NewToken, PairedCount, RolloutRow, ServingTotals, TakenOver, TokenRow, Version,
};

use sanderling_wire::{DeviceId, Digest, Record, RolloutId, RuntimeInfo};
use std::pin::Pin;
use tokio::sync::watch;

/// What a store's methods return: a future that can be boxed, sent and awaited.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Durable memory of a fleet server.
///
/// Writes resolve after they are on disk. Reads see every write that resolved before them. Lists are bounded by
/// their `limit`, and go on after the last key of the page before.
pub trait Store: Send + Sync + 'static {
    /// Stores a check-in and tells what the device is to run.
    ///
    /// # Errors
    /// [`StoreError::UnknownDevice`], [`StoreError::Decommissioned`], [`StoreError::TooManyIncarnations`],
    /// [`StoreError::Busy`].
    fn check_in(&self, check_in: CheckInWrite) -> Pending<'_, CheckInStored>;

    /// Redeems an enrolment token. The same key may repeat itself; another key is refused.
    ///
    /// # Errors
    /// [`StoreError::TokenInvalid`], [`StoreError::TokenUsed`], [`StoreError::Decommissioned`], [`StoreError::Busy`].
    fn enrol(&self, enrolment: Enrolment) -> Pending<'_, Enrolled>;

    /// Makes the changes, all or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] and [`StoreError::NotFound`] by the change that does not fit, [`StoreError::Busy`].
    fn commit(&self, changes: Vec<Change>) -> Pending<'_, Committed>;

    /// Waits until all writes taken so far are done, and closes.
    fn close(&self) -> Pending<'_, ()>;

    /// Tells of commits. A reader waits for a change, then reads what is new.
    fn heads(&self) -> watch::Receiver<Heads>;

    /// A device.
    fn device(&self, id: DeviceId) -> Pending<'_, Option<DeviceRecord>>;

    /// Devices by id, after `after`.
    fn devices(&self, after: Option<DeviceId>, limit: u32) -> Pending<'_, Vec<DeviceRecord>>;

    /// Devices counted by phase, image and hardware; decommissioned ones left out.
    fn fleet_counts(&self) -> Pending<'_, Vec<FleetCount>>;

    /// Every device in service that has checked in, for the planner.
    fn fleet(&self) -> Pending<'_, Vec<FleetRow>>;

    /// Devices in service that may be newcomers: never told what to run, not frozen, and answering from a version whose
    /// model's `alias` points at another. Costs little where there are none.
    fn newcomers(&self, alias: &str) -> Pending<'_, Vec<FleetRow>>;

    /// Devices that were last told to run this version, by id.
    fn told(&self, digest: Digest) -> Pending<'_, Vec<DeviceId>>;

    /// The runtime descriptions of these hashes, as far as they are known.
    fn runtimes(&self, hashes: Vec<Digest>) -> Pending<'_, Vec<(Digest, RuntimeInfo)>>;

    /// Enrolment tokens, newest first.
    fn tokens(&self, limit: u32) -> Pending<'_, Vec<TokenRow>>;

    /// Versions, newest first.
    fn versions(&self, limit: u32) -> Pending<'_, Vec<Version>>;

    /// The version of these bytes.
    fn version(&self, digest: Digest) -> Pending<'_, Option<Version>>;

    /// The version of this name.
    fn version_named(&self, name: &str, version: &str) -> Pending<'_, Option<Version>>;

    /// The model that each version is of.
    fn models(&self) -> Pending<'_, Vec<(Digest, String)>>;

    /// All aliases.
    fn aliases(&self) -> Pending<'_, Vec<Alias>>;

    /// A TUF metadata file, byte for byte.
    fn tuf_file(&self, repository: &str, name: &str) -> Pending<'_, Option<Vec<u8>>>;

    /// Rollouts, newest first.
    fn rollouts(&self, limit: u32) -> Pending<'_, Vec<RolloutRow>>;

    /// Rollouts that are still planned, oldest first: those whose status is `running`, `paused` or `stopping`.
    fn live_rollouts(&self) -> Pending<'_, Vec<RolloutRow>>;

    /// Whether a rollout stands behind a version: one completed with it, or one from it was completed or rolled back.
    fn is_proven(&self, digest: Digest) -> Pending<'_, bool>;

    /// What later rollouts of the same model took over from a rollout.
    fn taken_over(&self, rollout: RolloutId) -> Pending<'_, TakenOver>;

    /// A rollout.
    fn rollout(&self, id: RolloutId) -> Pending<'_, Option<RolloutRow>>;

    /// Who is in a rollout, by device id.
    fn assignments(&self, rollout: RolloutId) -> Pending<'_, Vec<AssignmentRow>>;

    /// Rollouts that a device is or was in, newest first, with its place in each.
    fn assignments_of(&self, device: DeviceId) -> Pending<'_, Vec<(RolloutId, AssignmentRow)>>;

    /// Distinct paired inputs of a rollout: the fleet's count first, then each hardware class's.
    fn paired_counts(&self, rollout: RolloutId) -> Pending<'_, Vec<PairedCount>>;

    /// First failures in a rollout, in order of commit.
    fn health(&self, rollout: RolloutId) -> Pending<'_, Vec<HealthRow>>;

    /// Answers summed by image, of one device or of all.
    fn serving(&self, device: Option<DeviceId>) -> Pending<'_, Vec<(Digest, ServingTotals)>>;

    /// Events after `after`, oldest first, of one device or of all.
    fn events(&self, device: Option<DeviceId>, after: u64, limit: u32) -> Pending<'_, Vec<DeviceEvent>>;

    /// The newest events, newest first, of one device or of all.
    fn recent_events(&self, device: Option<DeviceId>, limit: u32) -> Pending<'_, Vec<DeviceEvent>>;

    /// Telemetry of a device's outbox as it came, from sequence number `from` on.
    fn telemetry(
        &self,
        device: DeviceId,
        incarnation: u64,
        from: u64,
        limit: u32,
    ) -> Pending<'_, Vec<Record>>;

    /// Ledger entries after `after`, oldest first, of one rollout or of all.
    fn ledger(&self, rollout: Option<RolloutId>, after: u64, limit: u32) -> Pending<'_, Vec<ledger::Entry>>;

    /// The newest ledger entry, of one rollout or of all.
    fn ledger_head(&self, rollout: Option<RolloutId>) -> Pending<'_, Option<ledger::Entry>>;

    /// Operators' actions, newest first.
    fn audit(&self, limit: u32) -> Pending<'_, Vec<AuditEntry>>;

    /// The kept answer to a call with an idempotency key.
    fn remembered(&self, operator: &str, key: &str) -> Pending<'_, Option<IdempotentReply>>;

    /// A setting.
    fn setting(&self, name: &str) -> Pending<'_, Option<String>>;

    /// Whether the database answers.
    fn ping(&self) -> Pending<'_, ()>;
}

#[cfg(test)]
mod tests;
