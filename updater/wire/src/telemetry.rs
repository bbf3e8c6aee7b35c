//! Telemetry: counts and sketches, never raw inputs.
//!
//! A record's key is (device, incarnation, sequence). The device keeps a record until the server has
//! acknowledged its sequence number, the server stores a key once: so nothing is lost and nothing doubled.

use crate::{Digest, RolloutId, Sketch};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One record of the outbox.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the outbox of this incarnation, from 0, without gaps but for records dropped when it was full.
    pub sequence: u64,
    /// The device's clock when it was written, Unix seconds. Never used for order.
    pub time: u64,
    /// What happened.
    pub body: RecordBody,
}

/// Kinds of record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RecordBody {
    /// Answers given in a stretch of time.
    Serving(ServingWindow),
    /// New and old version compared on the same inputs.
    Paired {
        /// The rollout on trial.
        rollout: RolloutId,
        /// The new version.
        new: Digest,
        /// The version before it.
        old: Digest,
        /// One outcome an input.
        outcomes: Vec<PairedOutcome>,
    },
    /// Something that happened once.
    Event(Event),
}

/// Answers given by one image in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServingWindow {
    /// The image that answered.
    pub image: Digest,
    /// Length of the stretch, seconds.
    pub seconds: u32,
    /// Answers given. Inputs asked for and not refused by validation are `answers + errors`.
    pub answers: u64,
    /// Inputs that ended in an error instead of an answer: apart from `answers`, never part of them.
    pub errors: u64,
    /// Inputs refused by validation (shape, dtype, NaN, range).
    pub rejected_inputs: u64,
    /// Inputs answered though validation flagged them.
    pub flagged_inputs: u64,
    /// Answers taken over from the cloud because the device was not sure.
    pub cascaded: u64,
    /// Answers that should have gone to the cloud, could not, and were given by the device.
    pub degraded: u64,
    /// Time per answer, microseconds.
    pub latency_us: Sketch,
    /// Confidence of the top answer, ten equal bins over [0, 1].
    pub confidence: [u32; 10],
    /// The most frequent answers: class index and count, at most 16.
    pub classes: Vec<(u32, u32)>,
}

/// One input that both versions answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairedOutcome {
    /// Head of a hash of the input salted by the rollout: tells inputs apart, says nothing else of them.
    pub unit: u64,
    /// Whether both gave the same decision.
    pub agree: bool,
}

/// Something that happened once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The image it happened with, where one is concerned.
    pub image: Option<Digest>,
    /// The rollout it happened in, where one is concerned.
    pub rollout: Option<RolloutId>,
    /// For people: at most 240 characters.
    pub detail: String,
}

/// Kinds of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// The agent started.
    Started,
    /// A download began, or went on after an interruption.
    DownloadStarted,
    /// Bytes did not have the length or hash that the signed metadata names; they were thrown away.
    DownloadRefused,
    /// The image is in its slot and its bytes are verified.
    Verified,
    /// The golden vectors gave the answers the bundle states.
    SelfTestPassed,
    /// They did not, or the bundle did not load: the image is never activated.
    SelfTestFailed,
    /// The device answers from the image, on trial.
    Activated,
    /// The trial is over, the image stands.
    Confirmed,
    /// The device went back by itself.
    FellBack,
    /// The director sent the device back.
    RolledBack,
    /// The agent was restarted too often while the image was on trial.
    CrashLoop,
    /// Metadata that does not verify was refused.
    MetadataRefused,
    /// The disk has no room.
    StorageFull,
    /// The cascade's endpoint is given up for a while.
    CascadeOpen,
    /// The cascade's endpoint answers again.
    CascadeClosed,
}
