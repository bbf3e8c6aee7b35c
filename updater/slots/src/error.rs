//! What can go wrong with slots.

use crate::storage::{Slot, StorageError};
use core::fmt;
use sanderling_wire::Digest;

/// Why an operation on the slots was not done. Nothing has changed then, but for what the medium may have lost.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SlotsError {
    /// The medium failed or is full.
    Storage(StorageError),
    /// No intact image: the device answers nothing until one is fetched.
    NoModel,
    /// The image served is on trial: it must be confirmed or left first.
    OnTrial,
    /// No image is on trial.
    NotOnTrial,
    /// The slot is not in the state that the operation needs.
    WrongState {
        /// The slot.
        slot: Slot,
        /// What was asked for.
        operation: &'static str,
    },
    /// The image does not fit a slot.
    TooLarge {
        /// Bytes of the image.
        length: u64,
        /// Bytes of a slot.
        capacity: u64,
    },
    /// More bytes came than the signed metadata says.
    TooLong {
        /// Bytes the image has.
        length: u64,
    },
    /// The bytes are not those that the signed metadata names.
    WrongBytes {
        /// The signed digest.
        expected: Digest,
        /// The digest of what came.
        found: Digest,
    },
    /// The release counter is under the floor: this image must never run again.
    UnderFloor {
        /// The image's counter.
        release: u64,
        /// The floor.
        floor: u64,
    },
    /// The day's byte budget does not cover it.
    BudgetExhausted {
        /// Bytes asked for.
        wanted: u64,
        /// Bytes spent today.
        spent: u64,
        /// Bytes a day.
        limit: u64,
    },
    /// A record is longer than one may be.
    RecordTooLong {
        /// Its bytes.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
}

impl From<StorageError> for SlotsError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl fmt::Display for SlotsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Storage(error) => error.fmt(f),
            Self::NoModel => {
                f.write_str("no intact model on this device; it is fetched again at the next check-in")
            }
            Self::OnTrial => {
                f.write_str("an image is on trial: it is confirmed or left before another one is taken")
            }
            Self::NotOnTrial => f.write_str("no image is on trial"),
            Self::WrongState { slot, operation } => {
                write!(f, "slot {slot} is not in the state that \"{operation}\" needs")
            }
            Self::TooLarge { length, capacity } => {
                write!(f, "the image has {length} bytes, a slot holds {capacity}")
            }
            Self::TooLong { length } => {
                write!(
                    f,
                    "more bytes came than the {length} that the signed metadata names"
                )
            }
            Self::WrongBytes { expected, found } => write!(
                f,
                "the bytes have the digest {}, the signed metadata names {}",
                found.short(),
                expected.short()
            ),
            Self::UnderFloor { release, floor } => write!(
                f,
                "the image's release counter {release} is under the floor {floor}: its owner forbade it to run"
            ),
            Self::BudgetExhausted { wanted, spent, limit } => write!(
                f,
                "{wanted} bytes would go over the day's budget: {spent} of {limit} bytes are spent"
            ),
            Self::RecordTooLong { length, limit } => {
                write!(f, "a telemetry record has {length} bytes, {limit} are allowed")
            }
        }
    }
}

impl core::error::Error for SlotsError {}
