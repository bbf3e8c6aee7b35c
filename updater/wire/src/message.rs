//! Enrolment and check-in.

use crate::telemetry::Record;
use crate::{DeviceId, Digest, HardwareId, RolloutId};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a device can run: the planner leaves out devices that a bundle asks too much of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeInfo {
    /// Version of the runtime, as (major, minor, patch).
    pub version: (u16, u16, u16),
    /// Version of the integer numerics (docs/numerics.md) it computes by; digests compare within one.
    pub numerics: u16,
    /// Highest bundle format version it reads.
    pub bundle_format: u16,
    /// Operators it runs, `domain:OpType` (ONNX names; the default domain is empty), sorted.
    pub operators: Vec<String>,
    /// Bytes of memory a model may take; 0 where the device does not say.
    pub memory_limit: u64,
}

/// First word of a device to its fleet. Signed by the key it names; sending it again is harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The one-time token of the enrolment string.
    pub token: String,
    /// The device's Ed25519 public key; its hash is the device's id.
    pub public_key: [u8; 32],
    /// The kind of hardware.
    pub hardware: HardwareId,
    /// What the device can run.
    pub runtime: RuntimeInfo,
}

/// Answer to an [`EnrolRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolReply {
    /// The id the server knows the device by: that of the key it sent.
    pub device: DeviceId,
    /// Where the doorbell is, where there is one.
    pub mqtt: Option<MqttEndpoint>,
    /// Seconds between check-ins while nothing rings.
    pub poll_interval_s: u32,
    /// The server's clock, Unix seconds. A hint for people and logs; a device trusts no unsigned time.
    pub server_time: u64,
}

/// A broker's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MqttEndpoint {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the connection is TLS.
    pub tls: bool,
}

/// Where a device is with an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Phase {
    /// Serving, nothing to do.
    Idle,
    /// Fetching a new image into the inactive slot.
    Downloading,
    /// Checking the image's bytes and running its golden vectors.
    SelfTest,
    /// Serving a new image, watched; the old one is kept and runs beside it for comparison.
    Trial,
    /// No intact image: serving nothing, fetching.
    NoModel,
}

/// A device's side of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Gets the new version now.
    Target,
    /// Keeps the old version for comparison, and gets the new one last.
    Control,
}

/// The image a device answers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveImage {
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// The rollout it came by; none for the factory image.
    pub rollout: Option<RolloutId>,
    /// Whether the trial is over and the image stands.
    pub confirmed: bool,
}

/// What a device says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateReport {
    /// Where it is.
    pub phase: Phase,
    /// What it answers from.
    pub active: Option<ActiveImage>,
    /// The intact image in the other slot, to which it can go back.
    pub standby: Option<Digest>,
    /// The highest director version it trusts. A server restored from a backup jumps past it.
    pub director_version: u64,
    /// The highest version of the image repository's root it trusts.
    pub image_root_version: u64,
    /// The highest version of the director's root it trusts.
    pub director_root_version: u64,
    /// The floor under release counters it holds.
    pub release_floor: u64,
    /// What it can run.
    pub runtime: RuntimeInfo,
    /// Telemetry records dropped since the state folder was made, because the outbox was full.
    pub dropped_records: u64,
}

/// A device's regular word.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckIn {
    /// The life of the outbox that sequence numbers belong to: drawn at random when a state folder is made.
    pub incarnation: u64,
    /// What the device says of itself.
    pub state: StateReport,
    /// Telemetry, in order of sequence, at most [`crate::api::MAX_RECORDS`].
    pub records: Vec<Record>,
}

/// Answer to a [`CheckIn`], given after everything in it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckInReply {
    /// The director's document for this device: signed JSON, bytes as they are to be verified.
    pub director: Vec<u8>,
    /// Every record of the incarnation below this sequence number is stored: the device forgets them.
    pub acknowledged: u64,
    /// Seconds until the next check-in, unless the doorbell rings.
    pub next_check_in_s: u32,
    /// The server's clock, Unix seconds; a hint, see [`EnrolReply::server_time`].
    pub server_time: u64,
}
