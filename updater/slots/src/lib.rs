//! A/B model slots and their journal over a storage trait; power-fail safe.
//!
//! A device has two slots. It answers from one; a new image goes into the other, is verified there, tested there,
//! and then one journal record is written, which is the flip. The old image stays as *standby* until the next
//! download needs its slot. So whenever the power fails, what the device answers from afterwards is the old or the
//! new verified image: whichever the newest whole journal record names.
//!
//! - [`Journal`] is everything the device must not forget, as one value on two alternating pages. Its changes are
//!   pure functions (`transition.rs`): what may follow what is decided there and tested without a medium.
//! - [`Slots`] makes them durable on a [`Storage`], in the order that survives a cut: bytes first, then the record
//!   that claims them; the record that gives bytes up first, then the bytes.
//! - [`Outbox`] keeps telemetry until the server has it.
//! - [`MemoryStorage`] is a medium in memory; [`sim::FaultyStorage`] wraps any medium and cuts the power.
//!
//! ```text
//! open ─► boot ─► serving ──begin_download, write…, checkpoint…, finish──► verified
//!                    ▲                                                        │ begin_self_test, self_tested
//!                    ├── confirm ◄── trial ◄── activate ◄─────────────────────┘
//!                    └── fall_back / roll_back: the standby serves
//! ```
//!
//! Integrity is checked when it matters: at each start and at each flip the image about to serve is read and
//! hashed. If no intact image is left the answer is [`SlotsError::NoModel`], never a damaged one.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod boot;
mod error;
mod journal;
mod memory;
mod outbox;
mod records;
pub mod sim;
mod slots;
mod storage;
#[cfg(test)]
mod tests;
mod transition;

pub use boot::{Boot, BootNote, MAX_SELF_TEST_ATTEMPTS};
pub use error::SlotsError;
pub use journal::{
    Budget, Grade, Image, ImageAt, Journal, MAX_REJECTED, Place, Recovery, Rejected, SlotState, Trial,
};
pub use memory::MemoryStorage;
pub use outbox::{Batch, MAX_RECORD_LEN, Outbox};
pub use slots::{Slots, region_of};
pub use storage::{MAX_BLOB_LEN, PAGE_LEN, Page, Region, Slot, Storage, StorageError, is_blob_name};
