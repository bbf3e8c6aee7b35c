//! Telemetry records of the slots' device: the outbox on the same medium, and the count of what was dropped.

use crate::error::SlotsError;
use crate::outbox::{Batch, MAX_RECORD_LEN, Outbox};
use crate::slots::Slots;
use crate::storage::Storage;
use sanderling_wire::{Record, RecordBody};

impl<S: Storage> Slots<S> {
    /// The outbox.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Appends a telemetry record; older unacknowledged ones may have to go, which is counted. Durable after
    /// [`Self::sync_outbox`] or [`Self::batch`].
    ///
    /// # Errors
    /// [`SlotsError::RecordTooLong`]; [`SlotsError::Storage`] when not even the oldest could make room.
    pub fn push_record(&mut self, time: u64, body: RecordBody) -> Result<u64, SlotsError> {
        let record = Record {
            sequence: self.outbox.next_sequence(),
            time,
            body,
        };
        let payload = postcard::to_allocvec(&record).unwrap_or_default();
        if payload.is_empty() || payload.len() > MAX_RECORD_LEN {
            return Err(SlotsError::RecordTooLong {
                length: payload.len(),
                limit: MAX_RECORD_LEN,
            });
        }
        let dropped = self.outbox.would_drop(&self.storage, payload.len());
        if dropped > 0 {
            self.count_dropped(dropped)?;
        }
        self.outbox.push(&mut self.storage, &payload)
    }

    /// Counts records that were dropped.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn count_dropped(&mut self, records: u64) -> Result<(), SlotsError> {
        let mut next = self.journal.clone();
        next.dropped_records = next.dropped_records.saturating_add(records);
        self.commit(next)
    }

    /// Makes every record pushed so far survive a power cut.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn sync_outbox(&mut self) -> Result<(), SlotsError> {
        Ok(self.outbox.sync(&mut self.storage)?)
    }

    /// The oldest unacknowledged records, synced first: at most `count`, and about `bytes` bytes.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn batch(&mut self, count: usize, bytes: usize) -> Result<Batch, SlotsError> {
        Ok(self.outbox.batch(&mut self.storage, count, bytes)?)
    }

    /// Forgets the records below `up_to`. The mark reaches the medium with the next change of state.
    ///
    /// A mark above every number used here says that the server knows records which this medium lost: the outbox begins
    /// anew, with the random number `fresh` as incarnation. What waited in it may have been taken for those records; it
    /// is counted as dropped.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn acknowledge(&mut self, up_to: u64, fresh: u64) -> Result<(), SlotsError> {
        if !self.outbox.is_behind(up_to) {
            return Ok(self.outbox.acknowledge(&mut self.storage, up_to)?);
        }
        let lost = self.outbox.waiting().max(1);
        self.outbox = Outbox::begin(&mut self.storage, fresh)?;
        self.count_dropped(lost)
    }
}
