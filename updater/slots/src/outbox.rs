//! The telemetry outbox: a bounded log in two halves.
//!
//! Records are appended to the current half, each in a frame with a checksum. When it is full, the other half is
//! emptied and becomes the current one; records in it that nobody acknowledged are dropped and counted. So a
//! record is written once, nothing is ever rewritten in place, and flash wears evenly.
//!
//! A half begins with the outbox's *incarnation* and the sequence number of its first record; from then on numbers
//! have no gaps, which is how stale frames of an earlier use are told from records. A record is synced before it
//! is sent, so that no sequence number is ever used twice for different records.

use crate::error::SlotsError;
use crate::storage::{Page, Region, Storage, StorageError};
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use sanderling_wire::{Digest, Record};

/// Most bytes of one record on the medium.
pub const MAX_RECORD_LEN: usize = 16 * 1024;

const MAGIC: [u8; 4] = *b"SDLO";
/// Magic, incarnation, first sequence number, checksum.
const HEAD_LEN: usize = 4 + 8 + 8 + CHECK_LEN;
const CHECK_LEN: usize = 8;
/// Length of the payload, checksum over incarnation, sequence number and payload.
const FRAME_LEN: usize = 4 + CHECK_LEN;

/// What one half holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Half {
    first: u64,
    next: u64,
    /// Where the first unacknowledged record begins, and its sequence number.
    cursor: (u64, u64),
    end: u64,
}

/// The outbox of one incarnation. It owns no medium: each method is given the one it was opened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbox {
    incarnation: u64,
    halves: [Option<Half>; 2],
    current: Page,
    acknowledged: u64,
    synced: bool,
    /// An append failed half-way: what follows the current half's end is cut off before the next one.
    ragged: bool,
}

/// Records for one message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// In order of sequence.
    pub records: Vec<Record>,
    /// Whether more wait.
    pub more: bool,
}

fn check(incarnation: u64, sequence: u64, payload: &[u8]) -> [u8; CHECK_LEN] {
    let mut bytes = Vec::with_capacity(16 + payload.len());
    bytes.extend_from_slice(&incarnation.to_le_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    bytes.extend_from_slice(payload);
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&Digest::of(&bytes).0[..CHECK_LEN]);
    check
}

fn head(incarnation: u64, first: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD_LEN);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&incarnation.to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&check(incarnation, first, &MAGIC));
    bytes
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

/// The payload of the frame at `at`, and where the next one begins. None if no whole record of this number is there.
fn frame<S: Storage>(
    storage: &mut S,
    page: Page,
    incarnation: u64,
    sequence: u64,
    at: u64,
    extent: u64,
) -> Result<Option<(Vec<u8>, u64)>, StorageError> {
    let mut header = [0; FRAME_LEN];
    if at.saturating_add(FRAME_LEN as u64) > extent {
        return Ok(None);
    }
    storage.read(Region::Outbox(page), at, &mut header)?;
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    let end = at + FRAME_LEN as u64 + u64::from(length);
    if length == 0 || length as usize > MAX_RECORD_LEN || end > extent {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    storage.read(Region::Outbox(page), at + FRAME_LEN as u64, &mut payload)?;
    let holds = check(incarnation, sequence, &payload) == header[4..];
    Ok(holds.then_some((payload, end)))
}

/// Reads one half: its incarnation and what it holds, none if it has no valid head.
fn scan<S: Storage>(storage: &mut S, page: Page) -> Result<Option<(u64, Half)>, StorageError> {
    let region = Region::Outbox(page);
    let extent = storage.extent(region)?;
    let mut bytes = [0; HEAD_LEN];
    if extent < HEAD_LEN as u64 {
        return Ok(None);
    }
    storage.read(region, 0, &mut bytes)?;
    let (Some(incarnation), Some(first)) = (array(&bytes, 4), array(&bytes, 12)) else {
        return Ok(None);
    };
    let (incarnation, first) = (u64::from_le_bytes(incarnation), u64::from_le_bytes(first));
    if bytes[..] != head(incarnation, first)[..] {
        return Ok(None);
    }
    let (mut next, mut end) = (first, HEAD_LEN as u64);
    while let Some((_, after)) = frame(storage, page, incarnation, next, end, extent)? {
        (next, end) = (next + 1, after);
    }
    Ok(Some((
        incarnation,
        Half {
            first,
            next,
            cursor: (HEAD_LEN as u64, first),
            end,
        },
    )))
}

impl Outbox {
    /// Reads what is there without changing it; none if there is no outbox yet or it is damaged beyond use.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub fn recover<S: Storage>(storage: &mut S, acknowledged: u64) -> Result<Option<Self>, StorageError> {
        let zero = scan(storage, Page::Zero)?;
        let one = scan(storage, Page::One)?;
        let (current, (incarnation, _)) = match (zero, one) {
            (None, None) => return Ok(None),
            (Some(zero), None) => (Page::Zero, zero),
            (None, Some(one)) => (Page::One, one),
            (Some(zero), Some(one)) if zero.1.first > one.1.first => (Page::Zero, zero),
            (Some(_), Some(one)) => (Page::One, one),
        };
        let of_this =
            |half: Option<(u64, Half)>| half.filter(|(i, _)| *i == incarnation).map(|(_, half)| half);
        let halves = [of_this(zero), of_this(one)];
        let mut outbox = Self {
            incarnation,
            halves,
            current,
            acknowledged: 0,
            synced: false,
            ragged: true,
        };
        outbox.acknowledge(storage, acknowledged)?;
        Ok(Some(outbox))
    }

    /// Reads what is there; begins anew, with the random number `fresh` as incarnation, where there is nothing or it
    /// [is behind](Self::is_behind) what was acknowledged.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub fn open<S: Storage>(storage: &mut S, acknowledged: u64, fresh: u64) -> Result<Self, StorageError> {
        match Self::recover(storage, acknowledged)? {
            Some(outbox) if !outbox.is_behind(acknowledged) => Ok(outbox),
            _ => Self::begin(storage, fresh),
        }
    }

    /// Begins anew with the random number `fresh` as incarnation, giving up what there is.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub(crate) fn begin<S: Storage>(storage: &mut S, fresh: u64) -> Result<Self, StorageError> {
        for page in Page::BOTH {
            storage.clear(Region::Outbox(page))?;
            storage.sync(Region::Outbox(page))?;
        }
        let mut outbox = Self {
            incarnation: fresh,
            halves: [None, None],
            current: Page::One,
            acknowledged: 0,
            synced: true,
            ragged: false,
        };
        outbox.turn(storage)?;
        Ok(outbox)
    }

    /// The life of the outbox that its sequence numbers belong to.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The sequence number of the next record.
    #[must_use]
    pub fn next_sequence(&self) -> u64 {
        self.halves[self.current.index()].map_or(self.acknowledged, |half| half.next)
    }

    /// Records below this number were acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Records that wait to be sent.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.halves
            .iter()
            .flatten()
            .map(|half| half.next - half.cursor.1)
            .sum()
    }

    /// Unacknowledged records that would be dropped to make room for `payload` bytes.
    pub(crate) fn would_drop<S: Storage>(&self, storage: &S, payload: usize) -> u64 {
        if self.fits(storage, payload) {
            return 0;
        }
        self.halves[self.current.other().index()].map_or(0, |half| half.next - half.cursor.1)
    }

    fn fits<S: Storage>(&self, storage: &S, payload: usize) -> bool {
        let capacity = storage.capacity(Region::Outbox(self.current));
        let held = self.halves[self.current.index()];
        held.is_some_and(|half| half.end + (FRAME_LEN + payload) as u64 <= capacity)
    }

    /// Makes the other half the current one, giving up what it holds.
    fn turn<S: Storage>(&mut self, storage: &mut S) -> Result<(), StorageError> {
        let first = self.next_sequence();
        let page = self.current.other();
        let region = Region::Outbox(page);
        // The half before must be whole on the medium before the numbers go on in this one.
        self.sync(storage)?;
        self.halves[page.index()] = None;
        storage.clear(region)?;
        storage.write(region, 0, &head(self.incarnation, first))?;
        storage.sync(region)?;
        let end = HEAD_LEN as u64;
        self.halves[page.index()] = Some(Half {
            first,
            next: first,
            cursor: (end, first),
            end,
        });
        self.current = page;
        self.ragged = false;
        Ok(())
    }

    /// Appends the record that `make` builds from its sequence number. Not durable before [`Self::sync`].
    ///
    /// # Errors
    /// [`SlotsError::RecordTooLong`]; [`SlotsError::Storage`], after which the outbox is as before.
    pub(crate) fn push<S: Storage>(&mut self, storage: &mut S, payload: &[u8]) -> Result<u64, SlotsError> {
        if !self.fits(storage, payload.len()) {
            self.turn(storage)?;
        }
        if !self.fits(storage, payload.len()) {
            return Err(StorageError::Full {
                what: Region::Outbox(self.current).to_string(),
            }
            .into());
        }
        let region = Region::Outbox(self.current);
        let sequence = self.next_sequence();
        let Some(half) = &mut self.halves[self.current.index()] else {
            return Err(StorageError::Full {
                what: region.to_string(),
            }
            .into());
        };
        if self.ragged {
            storage.truncate(region, half.end)?;
            self.ragged = false;
        }
        let mut bytes = Vec::with_capacity(FRAME_LEN + payload.len());
        bytes.extend_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&check(self.incarnation, sequence, payload));
        bytes.extend_from_slice(payload);
        self.synced = false;
        self.ragged = true;
        storage.write(region, half.end, &bytes)?;
        self.ragged = false;
        half.end += bytes.len() as u64;
        half.next += 1;
        Ok(sequence)
    }

    /// Makes every record so far survive a power cut.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub fn sync<S: Storage>(&mut self, storage: &mut S) -> Result<(), StorageError> {
        if !self.synced {
            storage.sync(Region::Outbox(self.current))?;
            self.synced = true;
        }
        Ok(())
    }

    /// The oldest unacknowledged records, at most `count` of them and about `bytes` bytes, but one at least.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub fn batch<S: Storage>(
        &mut self,
        storage: &mut S,
        count: usize,
        bytes: usize,
    ) -> Result<Batch, StorageError> {
        self.sync(storage)?;
        let mut batch = Batch::default();
        let mut spent = 0;
        for page in [self.current.other(), self.current] {
            let Some(half) = self.halves[page.index()] else {
                continue;
            };
            let (mut at, mut sequence) = half.cursor;
            while sequence < half.next {
                let found = frame(storage, page, self.incarnation, sequence, at, half.end)?;
                let Some((payload, next)) = found else { break };
                spent += payload.len();
                if batch.records.len() >= count || (spent > bytes && !batch.records.is_empty()) {
                    batch.more = true;
                    return Ok(batch);
                }
                // A record that a later build cannot read any more is passed over, like one that was dropped.
                batch.records.extend(postcard::from_bytes(&payload));
                (at, sequence) = (next, sequence + 1);
            }
        }
        Ok(batch)
    }

    /// Whether a mark says that records exist elsewhere which this outbox never wrote: a frame was damaged, or an older
    /// copy of the medium was put back. New records would take their numbers, and be taken for them.
    #[must_use]
    pub fn is_behind(&self, acknowledged: u64) -> bool {
        acknowledged > self.next_sequence()
    }

    /// Forgets every record below `up_to`; of a mark that this outbox [is behind](Self::is_behind), all there are.
    ///
    /// # Errors
    /// [`StorageError`] when the medium fails.
    pub fn acknowledge<S: Storage>(&mut self, storage: &mut S, up_to: u64) -> Result<(), StorageError> {
        let up_to = up_to.min(self.next_sequence());
        self.acknowledged = self.acknowledged.max(up_to);
        for page in Page::BOTH {
            let Some(half) = &mut self.halves[page.index()] else {
                continue;
            };
            while half.cursor.1 < self.acknowledged.min(half.next) {
                let (at, sequence) = half.cursor;
                match frame(storage, page, self.incarnation, sequence, at, half.end)? {
                    Some((_, next)) => half.cursor = (next, sequence + 1),
                    None => half.cursor = (half.end, half.next),
                }
            }
        }
        Ok(())
    }
}
