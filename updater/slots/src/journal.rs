//! The journal record: everything the device must not forget, as one value.
//!
//! Two pages alternate. Each holds one whole [`Journal`] with a sequence number and a SHA-256 over it; the newest
//! page whose checksum holds is the truth, so a page torn by a power cut simply does not count. What a page says
//! was made durable before the page was written, never after.
//!
//! The changes of state are in `transition.rs`, as pure functions from a record to the next.

use crate::storage::{PAGE_LEN, Page, Slot, Storage, StorageError};
use alloc::boxed::Box;
use alloc::vec::Vec;
use sanderling_wire::{Digest, RolloutId};
use serde::{Deserialize, Serialize};

/// Most refused images remembered; the oldest is forgotten.
pub const MAX_REJECTED: usize = 8;

const MAGIC: [u8; 4] = *b"SDLJ";
const FORMAT: u16 = 1;
/// Magic, format, sequence number, length of the payload.
const HEADER_LEN: usize = 4 + 2 + 8 + 4;
const CHECKSUM_LEN: usize = 32;

/// An image by its bytes: what signed metadata says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// Bytes of the bundle.
    pub length: u64,
    /// Its release counter: under the release floor it never runs.
    pub release: u64,
    /// The rollout it came by, none for the factory image.
    pub rollout: Option<RolloutId>,
}

/// How much is known of a held image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Grade {
    /// Its bytes have the signed digest.
    Verified,
    /// Its self-test began this many times and never ended: the process died in it.
    Testing {
        /// Beginnings.
        attempts: u8,
    },
    /// Its golden vectors gave the stated answers.
    Tested,
    /// It went through a trial: the device can go back to it at once.
    Proven,
}

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum SlotState {
    /// Nothing of use.
    #[default]
    Empty,
    /// An image on its way in.
    Filling {
        /// What it shall be.
        image: Image,
        /// Bytes that survive a power cut.
        written: u64,
    },
    /// A whole image whose bytes were verified.
    Held {
        /// What it is.
        image: Image,
        /// How much is known of it.
        grade: Grade,
    },
}

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    /// With the app or the firmware.
    Factory,
    /// In a slot.
    Slot(Slot),
}

/// An image and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageAt {
    /// Where.
    pub place: Place,
    /// What.
    pub image: Image,
}

/// The time after activation in which the device watches the new image and keeps the old one ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// When it began, Unix seconds by the device's clock.
    pub started: u64,
    /// Starts of the agent since the image was last seen healthy.
    pub boots: u8,
}

/// An image that this device refused, and in which rollout; another rollout may bring it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// The image.
    pub digest: Digest,
    /// The rollout it came by.
    pub rollout: Option<RolloutId>,
}

/// Bytes spent on downloads on one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Budget {
    /// Days since 1970-01-01 by the device's clock; never goes back.
    pub day: u64,
    /// Bytes reserved on that day; never goes down within it.
    pub spent: u64,
}

/// What the device must not forget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Journal {
    /// What the device answers from; none is "no model".
    pub serving: Option<Place>,
    /// Set while the image served is on trial.
    pub trial: Option<Trial>,
    /// What the slots hold, A then B.
    pub slots: [SlotState; 2],
    /// The factory image as last seen.
    pub factory: Option<Image>,
    /// Images refused by this device, oldest first.
    pub rejected: Vec<Rejected>,
    /// Download budget.
    pub budget: Budget,
    /// Highest release counter of an image that was ever confirmed: none under it runs again.
    pub release_floor: u64,
    /// Telemetry records below this sequence number were acknowledged; may lag behind, never ahead.
    pub acknowledged: u64,
    /// Telemetry records dropped since the state was made.
    pub dropped_records: u64,
    /// Starts of the agent.
    pub boots: u64,
}

/// Where a journal came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// The medium was never used.
    Fresh,
    /// The newest page whose checksum holds.
    Recovered {
        /// The page.
        page: Page,
        /// Its sequence number.
        sequence: u64,
    },
    /// Pages were written, none of them holds: the device starts anew and fetches its image again.
    Lost,
}

impl Journal {
    /// Reads the newest valid record. Changes nothing.
    ///
    /// # Errors
    /// [`StorageError`] when a page cannot be read at all.
    pub fn recover<S: Storage>(storage: &mut S) -> Result<(Self, Recovery), StorageError> {
        let mut best: Option<(Self, Page, u64)> = None;
        let mut used = false;
        let mut bytes = Box::new([0; PAGE_LEN]);
        for page in Page::BOTH {
            storage.read_page(page, &mut bytes)?;
            used |= !(bytes.iter().all(|&b| b == 0) || bytes.iter().all(|&b| b == 0xff));
            if let Some((sequence, journal)) = Self::decode(&bytes)
                && best.as_ref().is_none_or(|(_, _, newest)| sequence > *newest)
            {
                best = Some((journal, page, sequence));
            }
        }
        Ok(match best {
            Some((journal, page, sequence)) => (journal, Recovery::Recovered { page, sequence }),
            None if used => (Self::default(), Recovery::Lost),
            None => (Self::default(), Recovery::Fresh),
        })
    }

    /// A page with this record. None if the record outgrew the page, which its bounded lists rule out.
    pub(crate) fn encode(&self, sequence: u64) -> Option<Box<[u8; PAGE_LEN]>> {
        let payload = postcard::to_allocvec(self).ok()?;
        let end = HEADER_LEN + payload.len();
        let mut page = Box::new([0; PAGE_LEN]);
        if end + CHECKSUM_LEN > PAGE_LEN {
            return None;
        }
        page[..4].copy_from_slice(&MAGIC);
        page[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        page[6..14].copy_from_slice(&sequence.to_le_bytes());
        page[14..18].copy_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
        page[HEADER_LEN..end].copy_from_slice(&payload);
        let checksum = Digest::of(&page[..end]);
        page[end..end + CHECKSUM_LEN].copy_from_slice(&checksum.0);
        Some(page)
    }

    /// The record of a page, none of a page that is blank, torn or of another format.
    pub(crate) fn decode(page: &[u8; PAGE_LEN]) -> Option<(u64, Self)> {
        let word = |at: usize| <[u8; 4]>::try_from(page.get(at..at + 4)?).ok();
        let format = u16::from_le_bytes([page[4], page[5]]);
        let sequence = u64::from_le_bytes(page.get(6..14)?.try_into().ok()?);
        let length = usize::try_from(u32::from_le_bytes(word(14)?)).ok()?;
        let end = HEADER_LEN.checked_add(length)?;
        let checksum = page.get(end..end.checked_add(CHECKSUM_LEN)?)?;
        if word(0)? != MAGIC || format != FORMAT || Digest::of(&page[..end]).0 != checksum {
            return None;
        }
        postcard::from_bytes(&page[HEADER_LEN..end])
            .ok()
            .map(|journal| (sequence, journal))
    }

    /// What a slot holds.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> &SlotState {
        &self.slots[slot as usize]
    }

    /// The image the device answers from.
    #[must_use]
    pub fn serving(&self) -> Option<ImageAt> {
        self.held(self.serving?)
    }

    /// The image at a place, if a whole one is there.
    #[must_use]
    pub fn held(&self, place: Place) -> Option<ImageAt> {
        let image = match place {
            Place::Factory => self.factory?,
            Place::Slot(slot) => match self.slot(slot) {
                SlotState::Held { image, .. } => *image,
                SlotState::Empty | SlotState::Filling { .. } => return None,
            },
        };
        Some(ImageAt { place, image })
    }

    /// The image the device would go back to: the proven one in the other slot, or the factory's, at or above the
    /// release floor.
    #[must_use]
    pub fn standby(&self) -> Option<ImageAt> {
        let proven = |slot: Slot| {
            matches!(
                self.slot(slot),
                SlotState::Held {
                    grade: Grade::Proven,
                    ..
                }
            )
        };
        let slots = [Slot::A, Slot::B]
            .into_iter()
            .filter(|&slot| proven(slot))
            .map(Place::Slot);
        slots
            .chain([Place::Factory])
            .filter(|&place| self.serving != Some(place))
            .filter_map(|place| self.held(place))
            .find(|at| at.image.release >= self.release_floor)
    }

    /// Whether this device refused the image in this rollout.
    #[must_use]
    pub fn is_rejected(&self, digest: &Digest, rollout: Option<RolloutId>) -> bool {
        self.rejected
            .iter()
            .any(|r| r.digest == *digest && r.rollout == rollout)
    }

    /// The slot that a download is on its way into.
    #[must_use]
    pub fn inactive_filling(&self) -> Option<Slot> {
        [Slot::A, Slot::B]
            .into_iter()
            .find(|&slot| matches!(self.slot(slot), SlotState::Filling { .. }))
    }

    /// The slot that a new image goes to, and what of it is there already: never the slot served from.
    #[must_use]
    pub fn inactive(&self) -> Slot {
        match self.serving {
            Some(Place::Slot(slot)) => slot.other(),
            // Nothing is served from a slot: keep what is on its way, else what can be gone back to.
            _ if matches!(self.slot(Slot::B), SlotState::Filling { .. }) => Slot::B,
            _ if matches!(
                self.slot(Slot::A),
                SlotState::Held {
                    grade: Grade::Proven,
                    ..
                }
            ) =>
            {
                Slot::B
            }
            _ => Slot::A,
        }
    }
}

/// Makes a page's checksum hold, for the simulator: what would happen if nobody checked it.
pub(crate) fn forge_checksum(page: &mut [u8; PAGE_LEN]) {
    let length = u32::from_le_bytes([page[14], page[15], page[16], page[17]]) as usize;
    let end = HEADER_LEN.saturating_add(length);
    if end <= PAGE_LEN - CHECKSUM_LEN {
        let checksum = Digest::of(&page[..end]);
        page[end..end + CHECKSUM_LEN].copy_from_slice(&checksum.0);
    }
}
