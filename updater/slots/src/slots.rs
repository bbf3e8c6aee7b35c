//! The slots on a medium: transitions made durable, in the one order that survives a power cut.

use crate::error::SlotsError;
use crate::journal::{Image, ImageAt, Journal, Place, Recovery, SlotState};
use crate::outbox::Outbox;
use crate::storage::{Page, Region, Slot, Storage, StorageError};
use alloc::vec;
use sanderling_wire::Digest;
use sha2::{Digest as _, Sha256};

/// Bytes read at once while hashing: small, since devices are.
const BLOCK_LEN: usize = 16 * 1024;
/// A download on its way into the inactive slot.
#[derive(Clone)]
struct Incoming {
    slot: Slot,
    image: Image,
    received: u64,
    hash: Sha256,
}

/// Slots, journal and outbox on a medium.
pub struct Slots<S> {
    pub(crate) storage: S,
    pub(crate) journal: Journal,
    /// The page of the newest record and its sequence number.
    head: (Page, u64),
    pub(crate) recovery: Recovery,
    pub(crate) outbox: Outbox,
    incoming: Option<Incoming>,
}

impl<S: Storage> Slots<S> {
    /// Opens a medium and finishes what a power cut left half done.
    ///
    /// `incarnation` is a random number for the outbox, used if there is none yet or records of it were lost.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn open(mut storage: S, incarnation: u64) -> Result<Self, SlotsError> {
        let (journal, recovery) = Journal::recover(&mut storage)?;
        let head = match recovery {
            Recovery::Recovered { page, sequence } => (page, sequence),
            Recovery::Fresh | Recovery::Lost => (Page::One, 0),
        };
        let outbox = Outbox::open(&mut storage, journal.acknowledged, incarnation)?;
        let lost = outbox.is_behind(journal.acknowledged);
        let mut slots = Self {
            storage,
            journal,
            head,
            recovery,
            outbox,
            incoming: None,
        };
        if lost {
            // How many is not known. This commits the new outbox's mark, too.
            slots.count_dropped(1)?;
        }
        Ok(slots)
    }

    /// The record as it is on the medium.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where the record came from when the medium was opened.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// The medium, for blobs and for reading images.
    pub fn storage(&mut self) -> &mut S {
        &mut self.storage
    }

    /// Gives the medium back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    /// Writes a record to the page that does not hold the newest one. Only then is it the truth.
    pub(crate) fn commit(&mut self, mut next: Journal) -> Result<(), SlotsError> {
        next.acknowledged = self.outbox.acknowledged();
        if next == self.journal {
            return Ok(());
        }
        let (page, sequence) = (self.head.0.other(), self.head.1 + 1);
        let bytes = next.encode(sequence).ok_or_else(|| StorageError::Full {
            what: "journal page".into(),
        })?;
        self.storage.write_page(page, &bytes)?;
        self.storage.sync_page(page)?;
        self.journal = next;
        self.head = (page, sequence);
        Ok(())
    }

    pub(crate) fn is_intact(&mut self, at: &ImageAt) -> Result<bool, SlotsError> {
        let region = region_of(at.place);
        if self.storage.extent(region)? < at.image.length {
            return Ok(false);
        }
        match self.hash(region, at.image.length) {
            Ok(found) => Ok(found == at.image.digest),
            // A block that cannot be read is as lost as one that reads wrong.
            Err(SlotsError::Storage(StorageError::Failed { .. } | StorageError::OutOfRange { .. })) => {
                Ok(false)
            }
            Err(other) => Err(other),
        }
    }

    pub(crate) fn hash(&mut self, region: Region, length: u64) -> Result<Digest, SlotsError> {
        let mut hash = Sha256::new();
        self.hash_into(&mut hash, region, length)?;
        Ok(Digest(hash.finalize().into()))
    }

    fn hash_into(&mut self, hash: &mut Sha256, region: Region, length: u64) -> Result<(), SlotsError> {
        let mut block = vec![0; BLOCK_LEN];
        let mut at = 0;
        while at < length {
            let part = usize::try_from(length - at).unwrap_or(usize::MAX).min(BLOCK_LEN);
            self.storage.read(region, at, &mut block[..part])?;
            hash.update(&block[..part]);
            at += part as u64;
        }
        Ok(())
    }

    /// Begins or goes on with a download into the inactive slot; returns where it goes on.
    ///
    /// # Errors
    /// [`SlotsError::TooLarge`], [`SlotsError::OnTrial`], [`SlotsError::UnderFloor`], [`SlotsError::Storage`].
    pub fn begin_download(&mut self, image: Image) -> Result<u64, SlotsError> {
        let next = self.journal.begin_download(image)?;
        let slot = next.inactive_filling().unwrap_or_else(|| next.inactive());
        let region = Region::Slot(slot);
        let capacity = self.storage.capacity(region);
        if image.length > capacity {
            return Err(SlotsError::TooLarge {
                length: image.length,
                capacity,
            });
        }
        // The record gives the old content up before the medium does.
        self.commit(next)?;
        let SlotState::Filling { written, .. } = *self.journal.slot(slot) else {
            return Err(SlotsError::WrongState {
                slot,
                operation: "download",
            });
        };
        let granule = self.storage.granule(region).max(1);
        let kept = written - written % granule;
        let mut hash = Sha256::new();
        let received = if kept > 0 && self.storage.extent(region)? >= kept {
            self.storage.truncate(region, kept)?;
            self.hash_into(&mut hash, region, kept)?;
            kept
        } else {
            self.storage.clear(region)?;
            0
        };
        self.incoming = Some(Incoming {
            slot,
            image,
            received,
            hash,
        });
        Ok(received)
    }

    /// The download on its way: the image and the bytes received.
    pub fn incoming(&self) -> Option<(Image, u64)> {
        self.incoming
            .as_ref()
            .map(|incoming| (incoming.image, incoming.received))
    }

    /// Appends the next bytes of the download.
    ///
    /// # Errors
    /// [`SlotsError::TooLong`] before anything is written, [`SlotsError::Storage`] when the medium is full.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), SlotsError> {
        let incoming = self.incoming.as_mut().ok_or(NOTHING_INCOMING)?;
        if bytes.len() as u64 > incoming.image.length - incoming.received {
            return Err(SlotsError::TooLong {
                length: incoming.image.length,
            });
        }
        let region = Region::Slot(incoming.slot);
        if let Err(error) = self.storage.write(region, incoming.received, bytes) {
            // Part of it may be there: the next beginning cuts it off.
            self.incoming = None;
            return Err(error.into());
        }
        incoming.hash.update(bytes);
        incoming.received += bytes.len() as u64;
        Ok(())
    }

    /// Makes the bytes received so far survive a power cut.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn checkpoint(&mut self) -> Result<(), SlotsError> {
        let incoming = self.incoming.as_ref().ok_or(NOTHING_INCOMING)?;
        let (slot, received) = (incoming.slot, incoming.received);
        self.storage.sync(Region::Slot(slot))?;
        let next = self.journal.progress(slot, received)?;
        self.commit(next)
    }

    /// Ends the download: syncs, reads back what is on the medium, compares its digest with the signed one.
    ///
    /// # Errors
    /// [`SlotsError::WrongBytes`] after throwing the bytes away; [`SlotsError::WrongState`] if bytes are missing;
    /// [`SlotsError::Storage`].
    pub fn finish(&mut self) -> Result<ImageAt, SlotsError> {
        let incoming = self.incoming.clone().ok_or(NOTHING_INCOMING)?;
        let (slot, image) = (incoming.slot, incoming.image);
        if incoming.received != image.length {
            return Err(SlotsError::WrongState {
                slot,
                operation: "finish the download",
            });
        }
        let mut found = Digest(incoming.hash.finalize().into());
        if found == image.digest {
            self.checkpoint()?;
            found = self.hash(Region::Slot(slot), image.length)?;
        }
        if found != image.digest {
            self.abandon()?;
            return Err(SlotsError::WrongBytes {
                expected: image.digest,
                found,
            });
        }
        let next = self.journal.verified(slot)?;
        self.commit(next)?;
        self.incoming = None;
        Ok(ImageAt {
            place: Place::Slot(slot),
            image,
        })
    }

    /// Throws the half-done download away.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn abandon(&mut self) -> Result<(), SlotsError> {
        self.incoming = None;
        let Some(slot) = self.journal.inactive_filling() else {
            return Ok(());
        };
        let next = self.journal.abandon(slot);
        self.commit(next)?;
        Ok(self.storage.clear(Region::Slot(slot))?)
    }

    /// Counts a self-test's beginning; run it when this returns.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`], [`SlotsError::Storage`].
    pub fn begin_self_test(&mut self, slot: Slot) -> Result<(), SlotsError> {
        let next = self.journal.begin_self_test(slot)?;
        self.commit(next)
    }

    /// Notes that the golden vectors gave the stated answers.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`], [`SlotsError::Storage`].
    pub fn self_tested(&mut self, slot: Slot) -> Result<(), SlotsError> {
        let next = self.journal.self_tested(slot)?;
        self.commit(next)
    }

    /// Refuses the image in a slot for the rollout it came by.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn reject(&mut self, slot: Slot) -> Result<(), SlotsError> {
        let next = self.journal.reject(slot);
        self.commit(next)
    }

    /// Gives the image held in a slot to another rollout.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`], [`SlotsError::Storage`].
    pub fn adopt(&mut self, slot: Slot, image: Image) -> Result<(), SlotsError> {
        let next = self.journal.adopt(slot, image)?;
        self.commit(next)
    }

    /// Flips to the tested image in the inactive slot, on trial from `now` (Unix seconds). Its bytes are read again
    /// before.
    ///
    /// # Errors
    /// [`SlotsError::WrongBytes`] if they have changed, after giving them up; [`SlotsError::WrongState`],
    /// [`SlotsError::OnTrial`], [`SlotsError::UnderFloor`], [`SlotsError::Storage`].
    pub fn activate(&mut self, slot: Slot, now: u64) -> Result<ImageAt, SlotsError> {
        let next = self.journal.activate(slot, now)?;
        self.flip(next)
    }

    /// Flips back to the standby (a proven image or the factory's), off trial. Its bytes are read again before.
    ///
    /// # Errors
    /// As [`Self::activate`]; [`SlotsError::NoModel`] without a standby.
    pub fn roll_back(&mut self) -> Result<ImageAt, SlotsError> {
        let next = match self.journal.standby().ok_or(SlotsError::NoModel)?.place {
            Place::Slot(slot) => self.journal.roll_back(slot)?,
            Place::Factory => self.journal.roll_back_to_factory()?,
        };
        self.flip(next)
    }

    fn flip(&mut self, next: Journal) -> Result<ImageAt, SlotsError> {
        let at = next.serving().ok_or(SlotsError::NoModel)?;
        if !self.is_intact(&at)? {
            let lost = self.journal.lost(at.place);
            self.commit(lost)?;
            let found = Digest([0; 32]);
            return Err(SlotsError::WrongBytes {
                expected: at.image.digest,
                found,
            });
        }
        self.commit(next)?;
        Ok(at)
    }

    /// Notes that the image served answers well: earlier starts no longer count as a crash loop.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn healthy(&mut self) -> Result<(), SlotsError> {
        let next = self.journal.healthy();
        self.commit(next)
    }

    /// Takes the latest start back from those that count as a crash loop: the program ends in order. Once a start.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn rested(&mut self) -> Result<(), SlotsError> {
        let next = self.journal.rested();
        self.commit(next)
    }

    /// Ends the trial: the image stands.
    ///
    /// # Errors
    /// [`SlotsError::NotOnTrial`], [`SlotsError::Storage`].
    pub fn confirm(&mut self) -> Result<(), SlotsError> {
        let next = self.journal.confirm()?;
        self.commit(next)
    }

    /// Leaves the image on trial for the standby, whose bytes are read again; none is "no model".
    ///
    /// # Errors
    /// [`SlotsError::NotOnTrial`], [`SlotsError::Storage`].
    pub fn fall_back(&mut self) -> Result<Option<ImageAt>, SlotsError> {
        let mut next = self.journal.fall_back()?;
        while let Some(at) = next.serving() {
            if self.is_intact(&at)? {
                break;
            }
            next = next.lost(at.place);
        }
        self.commit(next)?;
        Ok(self.journal.serving())
    }

    /// Gives up an image that its host found unusable; what is then served is returned.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn lost(&mut self, place: Place) -> Result<Option<ImageAt>, SlotsError> {
        let mut next = self.journal.lost(place);
        while let Some(at) = next.serving() {
            if self.is_intact(&at)? {
                break;
            }
            next = next.lost(at.place);
        }
        self.commit(next)?;
        Ok(self.journal.serving())
    }

    /// Takes bytes out of a day's budget, durably, before they are spent.
    ///
    /// # Errors
    /// [`SlotsError::BudgetExhausted`], [`SlotsError::Storage`].
    pub fn reserve(&mut self, day: u64, bytes: u64, limit: u64) -> Result<(), SlotsError> {
        let next = self.journal.reserve(day, bytes, limit)?;
        self.commit(next)
    }
}

const NOTHING_INCOMING: SlotsError = SlotsError::WrongState {
    slot: Slot::A,
    operation: "download, which was not begun or broke off",
};

/// The region of a place.
#[must_use]
pub fn region_of(place: Place) -> Region {
    match place {
        Place::Factory => Region::Factory,
        Place::Slot(slot) => Region::Slot(slot),
    }
}
