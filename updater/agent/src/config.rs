//! What an agent is told at its start.

use sanderling_trust::Roots;
use sanderling_wire::{EnrolmentString, HardwareId, RuntimeInfo};

/// What an agent is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The enrolment string; may be left out once the state belongs to a fleet.
    pub enrolment: Option<EnrolmentString>,
    /// Which roots the pins may name. Only a demo sets [`Roots::Demo`].
    pub roots: Roots,
    /// The kind of hardware.
    pub hardware: HardwareId,
    /// What the device can run.
    pub runtime: RuntimeInfo,
    /// How a new image is watched.
    pub trial: TrialPolicy,
    /// Downloads and retries.
    pub network: NetworkPolicy,
}

/// When a new image stands, and when the device leaves it by itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TrialPolicy {
    /// Seconds of answering before the image is confirmed.
    pub min_seconds: u32,
    /// Answers before the image is confirmed.
    pub min_answers: u64,
    /// Inputs compared with the old image before the new one is confirmed, where there is an old one.
    pub min_pairs: u64,
    /// Inputs compared after which the old image is no longer run beside the new one.
    pub max_pairs: u64,
    /// Good answers after a start that clear the count of starts.
    pub healthy_answers: u64,
    /// Starts without [`Self::healthy_answers`] in between that end the trial.
    pub max_boots: u8,
    /// Errors before their share counts.
    pub min_errors: u64,
    /// Share of what was asked (answers and errors) that may be errors.
    pub max_error_share: f64,
    /// Latency that 95 % of the answers of a window must keep to, microseconds.
    pub max_p95_us: Option<f64>,
}

impl Default for TrialPolicy {
    fn default() -> Self {
        Self {
            min_seconds: 30,
            min_answers: 20,
            min_pairs: 20,
            max_pairs: 2_000,
            healthy_answers: 5,
            max_boots: 3,
            min_errors: 3,
            max_error_share: 0.05,
            max_p95_us: None,
        }
    }
}

/// Bounds on what the agent asks of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkPolicy {
    /// Bytes of images a day.
    pub daily_budget: u64,
    /// Bytes asked for in one request; each is reserved before and made durable after.
    pub chunk_len: u64,
    /// First step of the back-off, milliseconds; doubled at each failure in a row.
    pub backoff_base_ms: u64,
    /// Longest step of the back-off, milliseconds.
    pub backoff_max_ms: u64,
    /// Retries that may be spent at once; one comes back each [`Self::retry_refill_ms`].
    pub retry_budget: u32,
    /// Milliseconds for one retry to come back.
    pub retry_refill_ms: u64,
    /// Seconds for an exchange of a message.
    pub message_timeout_s: u32,
    /// Seconds for an exchange of a chunk.
    pub chunk_timeout_s: u32,
    /// Longest time between two check-ins, whatever the server asks for, seconds.
    pub max_check_in_s: u32,
}

impl Default for NetworkPolicy {
    fn default() -> Self {
        Self {
            daily_budget: 2 << 30,
            chunk_len: 1 << 20,
            backoff_base_ms: 500,
            backoff_max_ms: 300_000,
            retry_budget: 20,
            retry_refill_ms: 15_000,
            message_timeout_s: 30,
            chunk_timeout_s: 120,
            max_check_in_s: 24 * 3600,
        }
    }
}
