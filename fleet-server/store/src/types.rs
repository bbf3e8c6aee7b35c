//! Plain data that goes in and out of the store. Times are Unix seconds of the server.

use sanderling_wire::{
    Arm, CheckIn, DeviceId, Digest, EventKind, HardwareId, RolloutId, RuntimeInfo, StateReport,
};
use serde::{Deserialize, Serialize};

/// A device as it enrolled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id: the hash of its key.
    pub id: DeviceId,
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// What the operator called it when the enrolment string was made; may be empty.
    pub label: String,
    /// The kind of hardware it said it is.
    pub hardware: HardwareId,
    /// When it enrolled.
    pub enrolled_at: u64,
    /// When it was decommissioned, if it was.
    pub decommissioned_at: Option<u64>,
    /// Whether its operator keeps it from any rollout.
    pub frozen: bool,
}

/// What a device does with the image it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// Serve it, watched, and keep it if it holds up.
    Activate,
    /// Run it beside the version that serves.
    Shadow,
    /// Go back to it in a hurry: it served before.
    Restore,
}

/// The image that a device is to run, by decision of a rollout or as a newcomer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Desired {
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// The rollout that decided; none for a newcomer, which is told to run its model's champion.
    pub rollout: Option<RolloutId>,
    /// The device's side of that rollout.
    pub arm: Option<Arm>,
    /// What it does with the image.
    pub mode: Mode,
    /// Since when.
    pub since: u64,
}

/// What a device last said, and the counters that guard its director document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceState {
    /// When it last checked in.
    pub last_seen: u64,
    /// The newest signature time taken from it, by its own clock. Older requests are replays.
    pub last_signed: u64,
    /// The life of its outbox.
    pub incarnation: u64,
    /// What it said of itself.
    pub report: StateReport,
    /// The director version last allocated to it.
    pub director_version: u64,
    /// When that was.
    pub minted_at: u64,
    /// Since when it answers from what it answers from, as the server learned.
    pub active_since: u64,
}

/// All that is known of one device now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// The device.
    pub device: Device,
    /// What it is to run; none means whatever it came with.
    pub desired: Option<Desired>,
    /// What it last said; none before its first check-in.
    pub state: Option<DeviceState>,
}

/// One row of what a fleet runs: devices by phase and image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetCount {
    /// The phase, as `Phase`'s name; none before the first check-in.
    pub phase: Option<String>,
    /// The image they answer from.
    pub active: Option<Digest>,
    /// The kind of hardware.
    pub hardware: HardwareId,
    /// Devices.
    pub devices: u64,
}

/// A new enrolment token. The token itself is never stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// SHA-256 of the token.
    pub hash: Digest,
    /// What the operator calls it.
    pub label: String,
    /// When it was made.
    pub created_at: u64,
    /// From when it is refused, if still unused.
    pub expires_at: u64,
}

/// An enrolment token as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRow {
    /// What the operator calls it.
    pub label: String,
    /// When it was made.
    pub created_at: u64,
    /// From when it is refused, if still unused.
    pub expires_at: u64,
    /// The device that used it.
    pub used_by: Option<DeviceId>,
}

/// A device that wants to enrol; its signature has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// SHA-256 of the token it brought.
    pub token: Digest,
    /// Its public key.
    pub public_key: [u8; 32],
    /// Its hardware.
    pub hardware: HardwareId,
    /// What it can run.
    pub runtime: RuntimeInfo,
    /// Now.
    pub now: u64,
}

/// What came of an enrolment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Enrolled {
    /// The device's id.
    pub device: DeviceId,
    /// False where the device was enrolled already and only repeats itself.
    pub new: bool,
}

/// When a device's director version must rise though its assignment has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MintPolicy {
    /// Identifies the signing key and the form of the document: another value means another document.
    pub epoch: Digest,
    /// Seconds after which the document is renewed, well before it expires.
    pub refresh_after_s: u64,
    /// The version of the document that the server holds for the device, if it does. A version is never given
    /// other bytes: where the document is lost (a restart), a new version is allocated.
    pub held: Option<u64>,
}

/// A check-in whose signature has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckInWrite {
    /// Who.
    pub device: DeviceId,
    /// Now, by the server's clock.
    pub now: u64,
    /// When the device signed, by its own.
    pub signed_at: u64,
    /// What it sent.
    pub check_in: CheckIn,
    /// Health metrics that its telemetry fails; the server judges, by one rule for both arms.
    pub failed_metrics: Vec<String>,
    /// When to allocate a new director version.
    pub mint: MintPolicy,
}

/// What is known after a check-in is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckInStored {
    /// What the device is to run.
    pub desired: Option<Desired>,
    /// The version of the director document for it.
    pub director_version: u64,
    /// When that version was allocated; the document's expiry counts from here.
    pub minted_at: u64,
    /// Records of the incarnation below this sequence number are stored.
    pub acknowledged: u64,
    /// Records stored by this check-in: those that were not stored before.
    pub fresh: u32,
}

/// A published version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// The model's name.
    pub name: String,
    /// The version's name.
    pub version: String,
    /// Bytes of the bundle.
    pub length: u64,
    /// The version it was made from, where the publisher says so.
    pub parent: Option<Digest>,
    /// What the publisher and the bundle say of it, as a JSON object.
    pub metadata: String,
    /// When it was published.
    pub published_at: u64,
    /// By which operator.
    pub published_by: String,
}

/// A name that points at a version: `champion`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The model's name.
    pub name: String,
    /// The alias.
    pub alias: String,
    /// The version it points at.
    pub digest: Digest,
    /// Since when.
    pub since: u64,
}

/// A rollout as stored: what it moves between, and the planner's state, opaque here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolloutRow {
    /// Its number.
    pub id: RolloutId,
    /// Where it stands, in a word. `running`, `paused` and `stopping` (stopped by evidence, the rollback still to come)
    /// are planned on; any other is an end.
    pub status: String,
    /// The image it rolls out.
    pub target: Digest,
    /// The image it replaces.
    pub base: Digest,
    /// When it was created.
    pub created_at: u64,
    /// By which operator.
    pub created_by: String,
    /// The planner's state, JSON.
    pub state: String,
}

/// What later rollouts of the same model took over from a rollout: no longer that one's to undo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TakenOver {
    /// Devices that one of them gave its target and did not send back, by id; some more than once.
    pub devices: Vec<DeviceId>,
    /// Whether one of them completed with the same target, so that the fleet runs that by its word.
    pub target: bool,
}

/// A device's place in a rollout. Times that are set are never changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentRow {
    /// The device.
    pub device: DeviceId,
    /// Its hardware class when it entered.
    pub hardware: HardwareId,
    /// The stage it was given the new version in.
    pub stage: u16,
    /// When it entered the rollout.
    pub enrolled_at: u64,
    /// When it was given the new version.
    pub target_at: Option<u64>,
    /// When it was found silent.
    pub silent_at: Option<u64>,
    /// When it was sent back.
    pub reverted_at: Option<u64>,
}

/// Answers summed over the serving windows of one device and image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ServingTotals {
    /// Answers given.
    pub answers: u64,
    /// Answers that ended in an error.
    pub errors: u64,
    /// Inputs refused.
    pub rejected: u64,
    /// Inputs answered though flagged.
    pub flagged: u64,
    /// Answers taken from the cloud.
    pub cascaded: u64,
    /// Answers that should have been and could not.
    pub degraded: u64,
}

/// Distinct inputs that both versions of a rollout answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairedCount {
    /// The hardware class that saw them; none for the fleet as a whole, which counts each input once.
    pub hardware: Option<HardwareId>,
    /// Distinct inputs.
    pub inputs: u64,
    /// Those on which the versions decided differently.
    pub disagreements: u64,
}

/// A device's first failure of a kind in a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRow {
    /// Order of commit over all rollouts; rises.
    pub id: u64,
    /// The device.
    pub device: DeviceId,
    /// What failed: an event kind's name (`self_test_failed`) or a metric's.
    pub kind: String,
    /// When the server committed it.
    pub at: u64,
}

/// A device as the planner needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetRow {
    /// Its id.
    pub device: DeviceId,
    /// Its hardware class.
    pub hardware: HardwareId,
    /// Hash of its runtime description, for [`crate::Store::runtimes`].
    pub runtime: Digest,
    /// What it answers from.
    pub active: Option<Digest>,
    /// Since when, as the server learned.
    pub active_since: u64,
    /// What it was last told to run; none where it was never told.
    pub told: Option<Digest>,
    /// When it was last heard.
    pub last_seen: u64,
    /// Whether its operator keeps it from any rollout.
    pub frozen: bool,
}

/// One event of a device's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEvent {
    /// Order of arrival; rises.
    pub id: u64,
    /// The device.
    pub device: DeviceId,
    /// When it happened, by the device's clock.
    pub at: u64,
    /// When the server learned of it.
    pub received: u64,
    /// What happened.
    pub kind: EventKind,
    /// The image concerned.
    pub image: Option<Digest>,
    /// The rollout concerned.
    pub rollout: Option<RolloutId>,
    /// For people.
    pub detail: String,
}

/// An operator's action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When.
    pub at: u64,
    /// Who.
    pub operator: String,
    /// What: `rollout.create`, `device.decommission`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// For people.
    pub detail: String,
}

/// The kept answer to a call that carried an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotentReply {
    /// Who called.
    pub operator: String,
    /// The key.
    pub key: String,
    /// Hash of method, path and body: another call under the same key is a mistake.
    pub fingerprint: Digest,
    /// HTTP status of the answer.
    pub status: u16,
    /// Body of the answer.
    pub body: String,
    /// When.
    pub at: u64,
}

/// How far the feeds have come. Readers wait for a change and then read what is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Heads {
    /// Newest ledger entry.
    pub ledger: u64,
    /// Newest device event.
    pub event: u64,
    /// Commits since the store was opened.
    pub commits: u64,
}
