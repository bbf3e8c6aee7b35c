//! What can go wrong, for whoever runs the device.

use crate::io::TransportError;
use alloc::string::String;
use core::fmt;
use sanderling_slots::SlotsError;
use sanderling_trust::{TrustError, UnixTime};
use sanderling_wire::{DecodeError, DeviceId};

/// Why an agent does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AgentError {
    /// The state is that of no fleet yet, and no enrolment string was given.
    NotEnrolled,
    /// The state belongs to another fleet than the enrolment string.
    OtherFleet {
        /// The server whose state this is.
        stored: String,
        /// The server of the string.
        given: String,
    },
    /// The state was in use, and what it says of its fleet is gone or cannot be read.
    EnrolmentDamaged {
        /// What is wrong with it.
        reason: String,
    },
    /// The state is that of a device with another key.
    OtherKey {
        /// The device whose state this is.
        stored: DeviceId,
        /// The device of the key.
        found: DeviceId,
    },
    /// The medium failed.
    Slots(SlotsError),
    /// The device's key does not work.
    Key {
        /// What is wrong.
        reason: String,
    },
}

impl From<SlotsError> for AgentError {
    fn from(error: SlotsError) -> Self {
        Self::Slots(error)
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotEnrolled => {
                f.write_str("this device belongs to no fleet yet: start it with an enrolment string (sdl1:…)")
            }
            Self::OtherFleet { stored, given } => write!(
                f,
                "this state belongs to the fleet of {stored}, the enrolment string for {given} pins other roots: \
                 use another state folder for another fleet"
            ),
            Self::EnrolmentDamaged { reason } => write!(
                f,
                "the stored enrolment is {reason}, so it is not known which fleet this device belongs to: restore it, \
                 or start once with the device's enrolment string (sdl1:…)"
            ),
            Self::OtherKey { stored, found } => write!(
                f,
                "this is the state of device {stored}, the key is that of device {found}: put the key of {stored} back, \
                 or start once with a new enrolment string to enrol {found}"
            ),
            Self::Slots(error) => error.fmt(f),
            Self::Key { reason } => write!(f, "the device's key: {reason}"),
        }
    }
}

impl core::error::Error for AgentError {}

/// Something failed; the agent goes on, and tries again where that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// An exchange came to no answer.
    Transport {
        /// What it was for.
        what: &'static str,
        /// Why.
        error: TransportError,
    },
    /// The server answered with a status that was not hoped for.
    Status {
        /// What it was for.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// The server has decommissioned the device.
    Decommissioned {
        /// What was asked.
        what: &'static str,
        /// When, if the server said so.
        at: Option<u64>,
    },
    /// The answer is not what it should be.
    Answer {
        /// What it was for.
        what: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// The answer is for a range that was not asked for.
    Range {
        /// First byte wanted.
        wanted: u64,
        /// First byte sent, if the server said so.
        found: Option<u64>,
    },
    /// The server knows this device under another id than its key's.
    OtherDevice,
    /// Metadata was refused.
    Trust(TrustError),
    /// The assigned image needs a later runtime.
    Runtime {
        /// The version it needs.
        needs: (u16, u16, u16),
        /// The version that runs here.
        runs: (u16, u16, u16),
    },
    /// The medium, the budget, or the bytes of an image.
    Slots(SlotsError),
    /// The host could not load an image that is intact.
    Load {
        /// The host's words.
        detail: String,
    },
    /// The key did not sign.
    Key {
        /// The signer's words.
        detail: String,
    },
}

impl From<SlotsError> for Trouble {
    fn from(error: SlotsError) -> Self {
        Self::Slots(error)
    }
}

impl From<sanderling_slots::StorageError> for Trouble {
    fn from(error: sanderling_slots::StorageError) -> Self {
        Self::Slots(error.into())
    }
}

impl From<TrustError> for Trouble {
    fn from(error: TrustError) -> Self {
        Self::Trust(error)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport { what, error } => write!(f, "{what}: {error}"),
            Self::Status {
                what: "enrolment",
                status: status @ (403 | 409),
            } => write!(
                f,
                "enrolment: the server answers {status}: the enrolment string was used by another device, has expired \
                 or is another server's; make a new one with `sanderling device enrol`"
            ),
            Self::Status {
                what,
                status: status @ (401 | 403),
            } => write!(
                f,
                "{what}: the server answers {status}: it does not know this device or its token, or the clocks differ"
            ),
            Self::Decommissioned { what, at } => {
                write!(f, "{what}: the fleet's owner decommissioned this device")?;
                if let Some(at) = at {
                    write!(f, " at {}", UnixTime(*at))?;
                }
                f.write_str(
                    ": it gets no more updates, and its key is refused for good; what it has goes on answering. To take \
                     it back, start it in a new, empty state folder with a new string of `sanderling device enrol`; \
                     else stop the agent",
                )
            }
            Self::Status { what, status } => write!(f, "{what}: the server answers {status}"),
            Self::Answer { what, error } => write!(f, "{what}: {error}"),
            Self::Range { wanted, found } => {
                write!(
                    f,
                    "download: bytes from {wanted} on were asked for, the server sent "
                )?;
                match found {
                    Some(found) => write!(f, "bytes from {found} on"),
                    None => f.write_str("no range"),
                }
            }
            Self::OtherDevice => {
                f.write_str("enrolment: the server answers for another device than this one")
            }
            Self::Trust(error) => error.fmt(f),
            Self::Runtime { needs, runs } => write!(
                f,
                "the assigned image needs runtime {}.{}.{}, {}.{}.{} runs here: update the agent",
                needs.0, needs.1, needs.2, runs.0, runs.1, runs.2
            ),
            Self::Slots(error) => error.fmt(f),
            Self::Load { detail } => write!(f, "the image does not load: {detail}"),
            Self::Key { detail } => write!(f, "the device's key: {detail}"),
        }
    }
}

impl core::error::Error for Trouble {}
