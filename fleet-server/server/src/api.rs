//! The operators' JSON, and the OpenAPI document made from it.
//!
//! Clients may use these types: they are serde both ways. Digests are 64 and device ids 32 hexadecimal digits;
//! times are Unix seconds of the server.

use sanderling_rollout::{Assessment, Policy};
use sanderling_store::ledger::{Entry, check_chain};
use sanderling_store::{AuditEntry, ServingTotals, StoreError};
use sanderling_wire::{Arm, DeviceId, Digest, EventKind, HardwareId, RolloutId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{OpenApi, ToSchema};

/// Asks for an enrolment string.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewEnrolment {
    /// What to call it in lists.
    pub label: String,
    /// Seconds until it is refused unused; an hour where absent, at most 90 days.
    pub ttl_s: Option<u64>,
}

/// An enrolment string. It is shown this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentCreated {
    /// `sdl1:…`: carry it to the device.
    pub enrolment: String,
    /// From when it is refused, if still unused.
    pub expires_at: u64,
}

/// An enrolment token in the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EnrolmentView {
    /// What it is called.
    pub label: String,
    /// When it was made.
    pub created_at: u64,
    /// From when it is refused, if still unused.
    pub expires_at: u64,
    /// The device that used it.
    #[schema(value_type = Option<String>)]
    pub used_by: Option<DeviceId>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: DeviceId,
    /// What the operator called it when its enrolment string was made; may be empty.
    #[serde(default)]
    pub label: String,
    /// Its kind of hardware.
    #[schema(value_type = String)]
    pub hardware: HardwareId,
    /// When it enrolled.
    pub enrolled_at: u64,
    /// When it was decommissioned, if it was.
    pub decommissioned_at: Option<u64>,
    /// Whether it is kept from any rollout.
    pub frozen: bool,
    /// When it was last heard; none before its first check-in.
    pub last_seen: Option<u64>,
    /// Where it is with an update: `idle`, `downloading`, `self_test`, `trial`, `no_model`.
    pub phase: Option<String>,
    /// The image it answers from.
    #[schema(value_type = Option<String>)]
    pub active: Option<Digest>,
    /// That image's name and version, where it is registered.
    pub active_name: Option<String>,
    /// Whether the trial of that image is over.
    pub confirmed: bool,
    /// The intact image in its other slot.
    #[schema(value_type = Option<String>)]
    pub standby: Option<Digest>,
    /// The image it is to run.
    #[schema(value_type = Option<String>)]
    pub desired: Option<Digest>,
    /// The rollout that decided that.
    #[schema(value_type = Option<u64>)]
    pub rollout: Option<RolloutId>,
    /// Its side of that rollout.
    #[schema(value_type = Option<String>)]
    pub arm: Option<Arm>,
    /// Why it gets neither the live rollout's version nor its model's champion, in words; only where one device is asked
    /// for.
    #[serde(default)]
    pub left_out: Option<String>,
    /// The director version last allocated to it.
    pub director_version: u64,
    /// The life of its telemetry outbox, as text: 64 bits do not fit JSON's numbers.
    pub incarnation: Option<String>,
    /// Telemetry records it dropped because its outbox was full.
    pub dropped_records: u64,
    /// Answers by image.
    #[schema(value_type = Object)]
    pub serving: BTreeMap<String, ServingTotals>,
}

/// A page of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DevicePage {
    /// The devices, by id.
    pub devices: Vec<DeviceView>,
    /// Ask for the next page with `after` set to this; none at the end.
    #[schema(value_type = Option<String>)]
    pub next: Option<DeviceId>,
}

/// An event of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Its place in the feed; rises.
    pub id: u64,
    /// The device.
    #[schema(value_type = String)]
    pub device: DeviceId,
    /// When, by the device's clock.
    pub at: u64,
    /// When the server learned of it.
    pub received: u64,
    /// What: `activated`, `self_test_failed` …
    #[schema(value_type = String)]
    pub kind: EventKind,
    /// The image concerned.
    #[schema(value_type = Option<String>)]
    pub image: Option<Digest>,
    /// The rollout concerned.
    #[schema(value_type = Option<u64>)]
    pub rollout: Option<RolloutId>,
    /// For people.
    pub detail: String,
}

/// A stretch of the events' feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventPage {
    /// Oldest first.
    pub events: Vec<EventView>,
    /// Go on with `after` set to this.
    pub next: u64,
}

/// Publishes a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewVersion {
    /// The target's name in the image repository. Its bytes must have been put before.
    pub target: String,
    /// TUF metadata files by name (`3.targets.json`), in base64, where they are new. A timestamp is not among them:
    /// the server signs that.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The version it was made from: digest, `name@version` or `name:alias`.
    #[serde(default)]
    pub parent: Option<String>,
    /// Aliases to point at it at once.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// New metadata without a new version: rotated roots, renewed expiry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewMetadata {
    /// TUF metadata files by name (`2.root.json`), in base64.
    pub metadata: BTreeMap<String, String>,
}

/// What metadata is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MetadataView {
    /// Version of the root.
    pub root: u64,
    /// Version of the timestamp, for the image repository.
    pub timestamp: Option<u64>,
    /// Names of the images that the owner signed.
    pub targets: Vec<String>,
}

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VersionView {
    /// SHA-256 of the bundle.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// The model's name.
    pub name: String,
    /// The version's name.
    pub version: String,
    /// Bytes.
    pub length: u64,
    /// The version it was made from.
    #[schema(value_type = Option<String>)]
    pub parent: Option<Digest>,
    /// Aliases that point at it.
    pub aliases: Vec<String>,
    /// What bundle and owner say of it.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
    /// When it was published.
    pub published_at: u64,
    /// By which operator.
    pub published_by: String,
}

/// Where an alias is to point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AliasTarget {
    /// Digest, `name@version` or `name:alias`.
    pub version: String,
}

/// Starts a rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRollout {
    /// What to roll out: digest, `name@version` or `name:alias`.
    pub target: String,
    /// What it replaces, and what a rollback goes back to; the model's `champion` where absent.
    #[serde(default)]
    pub base: Option<String>,
    /// Stages and gates; what is left out keeps its default.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub policy: Policy,
}

/// Why an operator does something; it goes into the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Why {
    /// In the operator's words.
    pub why: String,
}

/// A rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RolloutView {
    /// Its number.
    #[schema(value_type = u64)]
    pub id: RolloutId,
    /// The model that it is about.
    pub model: String,
    /// `running`, `paused`, `stopped`, `rolled back` or `completed`.
    pub status: String,
    /// Why it stands where it stands, in a sentence.
    pub reason: Option<String>,
    /// What is rolled out.
    #[schema(value_type = String)]
    pub target: Digest,
    /// Its label.
    pub target_label: String,
    /// What it replaces.
    #[schema(value_type = String)]
    pub base: Digest,
    /// Its label.
    pub base_label: String,
    /// The stages in words.
    pub stages: Vec<String>,
    /// Index of the stage it is in; one past the last while the control arm is upgraded.
    pub stage: u16,
    /// When it started.
    pub started_at: u64,
    /// Who started it.
    pub created_by: String,
    /// Why it does not move, in sentences.
    pub holding: Vec<String>,
    /// What the evidence so far can and cannot rule out.
    pub inference: String,
    /// The figures.
    #[schema(value_type = Object)]
    pub assessment: Assessment,
    /// The policy.
    #[schema(value_type = Object)]
    pub policy: Policy,
}

/// The fleet in figures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FleetView {
    /// Devices in service.
    pub devices: u64,
    /// Devices by phase; `new` before the first check-in.
    pub phases: BTreeMap<String, u64>,
    /// Devices by the image they answer from; `none` for those without.
    pub images: BTreeMap<String, u64>,
    /// Devices by hardware.
    pub hardware: BTreeMap<String, u64>,
    /// Why the fleet is frozen, if it is.
    pub frozen: Option<String>,
    /// Newest ledger entry.
    pub ledger: u64,
    /// Newest device event.
    pub event: u64,
}

/// A ledger entry. Its hash covers the other fields; `sanderling_store::ledger` says how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LedgerView {
    /// Its place, from 1.
    pub seq: u64,
    /// The rollout it belongs to.
    #[schema(value_type = Option<u64>)]
    pub rollout: Option<RolloutId>,
    /// When.
    pub at: u64,
    /// What happened.
    pub kind: String,
    /// The particulars.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
    /// Hash of the entry before.
    #[schema(value_type = String)]
    pub previous: Digest,
    /// Hash of the entry before in the same rollout.
    #[schema(value_type = String)]
    pub rollout_previous: Digest,
    /// Hash of this entry.
    #[schema(value_type = String)]
    pub hash: Digest,
}

impl LedgerView {
    /// The entry as it was hashed: its body is compact JSON with sorted keys, in the database and here.
    fn entry(&self) -> Entry {
        Entry {
            seq: self.seq,
            rollout: self.rollout,
            at: self.at,
            kind: self.kind.clone(),
            body: self.body.to_string(),
            previous: self.previous,
            rollout_previous: self.rollout_previous,
            hash: self.hash,
        }
    }
}

/// Checks that a ledger holds together, from its first entry on: each entry's hash is that of its fields, and each names the
/// hash of the one before.
///
/// That finds a change of single entries, not another chain written by who holds the whole database, nor a missing end:
/// for those, compare with the hash of an entry that was noted elsewhere before ([`check_head`]).
///
/// # Errors
/// [`StoreError::Conflict`] with the first entry that does not follow from those before it.
pub fn check_ledger(ledger: &[LedgerView]) -> Result<(), StoreError> {
    let entries: Vec<Entry> = ledger.iter().map(LedgerView::entry).collect();
    check_chain(None, &entries)
}

/// Checks that a ledger goes on from an entry whose hash was noted before. With [`check_ledger`] that means: up to it, all
/// is as it was then.
///
/// # Errors
/// [`StoreError::Conflict`] with what the ledger ends with instead.
pub fn check_head(ledger: &[LedgerView], noted: Digest) -> Result<(), StoreError> {
    if ledger.iter().any(|entry| entry.hash == noted) {
        return Ok(());
    }
    let ends = ledger.last().map_or_else(
        || "it is empty".to_owned(),
        |head| format!("it ends with entry {}, {}", head.seq, head.hash),
    );
    Err(StoreError::Conflict {
        what: format!(
            "the ledger has no entry {noted}: {ends}; it is another than when that was noted, or was cut"
        ),
    })
}

/// A stretch of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LedgerPage {
    /// Oldest first.
    pub entries: Vec<LedgerView>,
    /// Go on with `after` set to this.
    pub next: u64,
}

/// Operators' actions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// Newest first.
    #[schema(value_type = Vec<Object>)]
    pub actions: Vec<AuditEntry>,
}

/// An error (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemView {
    /// A word for programs: `unknown-version`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is wrong, in short.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What is wrong, and where.
    pub detail: String,
    /// What to do.
    pub action: String,
}

/// The document's head and the calls it lists.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Sanderling fleet server",
        version = "1",
        description = "For operators. Send `Authorization: Bearer <token>`; \
    send an `Idempotency-Key` with what changes something. Errors are application/problem+json."
    ),
    paths(
        crate::operator::fleet::show,
        crate::operator::fleet::freeze,
        crate::operator::fleet::unfreeze,
        crate::operator::devices::create_enrolment,
        crate::operator::devices::enrolments,
        crate::operator::devices::list,
        crate::operator::devices::show,
        crate::operator::devices::events,
        crate::operator::devices::decommission,
        crate::operator::devices::freeze,
        crate::operator::devices::unfreeze,
        crate::files::put_image,
        crate::operator::versions::publish,
        crate::operator::versions::list,
        crate::operator::versions::show,
        crate::operator::versions::set_alias,
        crate::operator::versions::remove_alias,
        crate::operator::versions::put_metadata,
        crate::operator::rollouts::create,
        crate::operator::rollouts::list,
        crate::operator::rollouts::show,
        crate::operator::rollouts::command,
        crate::feeds::ledger,
        crate::feeds::events,
        crate::feeds::stream,
        crate::operator::fleet::audit,
    ),
    components(schemas(ProblemView))
)]
struct Document;

/// The OpenAPI document, as it is checked in and served.
#[must_use]
pub fn openapi_json() -> String {
    let mut text = Document::openapi().to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
