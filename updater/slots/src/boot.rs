//! The start: counts it, verifies what is to be served, goes back where it must.

use crate::error::SlotsError;
use crate::journal::{Grade, Image, ImageAt, Journal, Place, Recovery, SlotState};
use crate::slots::Slots;
use crate::storage::{Region, Slot, Storage};
use alloc::vec::Vec;

/// Beginnings of a self-test after which its image is refused: it killed the process each time. Three, as two power cuts
/// in one self-test are bad luck and must not stop a rollout.
pub const MAX_SELF_TEST_ATTEMPTS: u8 = 3;

/// What a start found and did about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootNote {
    /// Journal pages were there and none of them holds: everything is fetched again.
    JournalLost,
    /// The bytes at this place are not those that were verified.
    Damaged(ImageAt),
    /// The agent was started too often while this image was on trial.
    CrashLoop(ImageAt),
    /// The process died in this image's self-test too often: it is refused.
    SelfTestDied(ImageAt),
    /// The device now answers from this image instead.
    FellBackTo(ImageAt),
}

/// The outcome of [`Slots::boot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boot {
    /// The image to answer from, its bytes verified just now. None is "no model".
    pub serving: Option<ImageAt>,
    /// What was found, in order.
    pub notes: Vec<BootNote>,
}

impl<S: Storage> Slots<S> {
    /// Called once at each start: counts it, verifies what is to be served, goes back where it must.
    ///
    /// `max_boots` starts without [`Self::healthy`] in between end a trial.
    ///
    /// # Errors
    /// [`SlotsError::Storage`] when the medium fails.
    pub fn boot(&mut self, max_boots: u8) -> Result<Boot, SlotsError> {
        let mut notes = Vec::new();
        if self.recovery == Recovery::Lost {
            notes.push(BootNote::JournalLost);
        }
        let mut next = self.journal.booted();
        self.look_at_factory(&mut next)?;
        for slot in [Slot::A, Slot::B] {
            if let SlotState::Held {
                image,
                grade: Grade::Testing { attempts },
            } = *next.slot(slot)
                && attempts >= MAX_SELF_TEST_ATTEMPTS
            {
                notes.push(BootNote::SelfTestDied(ImageAt {
                    place: Place::Slot(slot),
                    image,
                }));
                next = next.reject(slot);
            }
        }
        if let (Some(trial), Some(at)) = (next.trial, next.serving())
            && trial.boots >= max_boots
        {
            notes.push(BootNote::CrashLoop(at));
            next = next.fall_back()?;
            notes.extend(next.serving().map(BootNote::FellBackTo));
        }
        if next.serving.is_none() {
            next.serving = next.standby().map(|at| at.place);
        }
        // Each turn gives up one of three places, so there are at most three.
        while let Some(at) = next.serving() {
            if self.is_intact(&at)? {
                break;
            }
            notes.push(BootNote::Damaged(at));
            next = next.lost(at.place);
            notes.extend(next.serving().map(BootNote::FellBackTo));
        }
        if next.serving().is_none() {
            next.serving = None;
            next.trial = None;
        }
        self.commit(next)?;
        Ok(Boot {
            serving: self.journal.serving(),
            notes,
        })
    }

    /// The factory image is what came with the app: an update of the app may have changed it.
    fn look_at_factory(&mut self, next: &mut Journal) -> Result<(), SlotsError> {
        let length = self.storage.extent(Region::Factory)?;
        let known = next.factory.is_some_and(|image| image.length == length);
        if length == 0 {
            next.factory = None;
        } else if !known || next.serving.is_none_or(|place| place == Place::Factory) {
            let digest = self.hash(Region::Factory, length)?;
            next.factory = Some(Image {
                digest,
                length,
                release: 0,
                rollout: None,
            });
        }
        Ok(())
    }
}
