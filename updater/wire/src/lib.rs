//! What a device and the fleet server say to each other.
//!
//! A conversation is a row of signed HTTP requests: the device enrols once, then *checks in*: it sends a
//! [`CheckIn`] (its state and a batch of telemetry) and gets a [`CheckInReply`] (the director document minted
//! for it, the telemetry acknowledged so far, when to come again). MQTT carries no state, only a doorbell that
//! says "check in now" ([`topics`]). So a device that has lost MQTT is slow, never wrong.
//!
//! The types here are wire types and nothing else: plain data, versioned by [`envelope`], with golden bytes in
//! the tests. What they *mean* is decided by the agent on one side and by the server on the other.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod api;
pub mod enrolment;
pub mod envelope;
pub mod ids;
pub mod message;
pub mod sketch;
pub mod telemetry;
pub mod topics;

pub use enrolment::{EnrolmentError, EnrolmentString};
pub use envelope::{DecodeError, WIRE_VERSION, decode, encode};
pub use ids::{DeviceId, Digest, HardwareId, ParseIdError, RolloutId};
pub use message::{
    ActiveImage, Arm, CheckIn, CheckInReply, EnrolReply, EnrolRequest, MqttEndpoint, Phase, RuntimeInfo,
    StateReport,
};
pub use sketch::Sketch;
pub use telemetry::{Event, EventKind, PairedOutcome, Record, RecordBody, ServingWindow};

#[cfg(test)]
mod tests;
