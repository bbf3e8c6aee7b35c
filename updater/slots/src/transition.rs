//! The journal's changes of state, as pure functions: a record and a reason give the next record.
//!
//! ```text
//! Empty ─begin_download─► Filling ─progress…─► Held·Verified ─begin_self_test─► Testing ─self_tested─► Tested
//!   ▲                        │                     │                              │                      │
//!   └───────── abandon / reject / lost ◄───────────┴──────────────────────────────┘                  activate
//!                                                                                                        ▼
//!          Proven standby ◄──── fall_back ──── served, on trial ──── confirm ────► served, Proven ◄─ roll_back ─
//! ```
//!
//! None of them does I/O; `Slots` makes durable what a record will claim, then writes the record.

use crate::error::SlotsError;
use crate::journal::{
    Budget, Grade, Image, ImageAt, Journal, MAX_REJECTED, Place, Rejected, SlotState, Trial,
};
use crate::storage::Slot;

type Next = Result<Journal, SlotsError>;

impl Journal {
    fn with_slot(&self, slot: Slot, state: SlotState) -> Self {
        let mut next = self.clone();
        next.slots[slot as usize] = state;
        next
    }

    /// An image goes into the inactive slot, whose content is given up; one that is half there already goes on.
    ///
    /// # Errors
    /// [`SlotsError::OnTrial`]: the inactive slot is what the device would fall back to.
    /// [`SlotsError::UnderFloor`] for an image that must not run.
    pub fn begin_download(&self, image: Image) -> Next {
        if self.trial.is_some() {
            return Err(SlotsError::OnTrial);
        }
        if image.release < self.release_floor {
            return Err(SlotsError::UnderFloor {
                release: image.release,
                floor: self.release_floor,
            });
        }
        let slot = self.inactive();
        let written = match self.slot(slot) {
            SlotState::Filling { image: old, written }
                if old.digest == image.digest && old.length == image.length =>
            {
                *written
            }
            _ => 0,
        };
        Ok(self.with_slot(slot, SlotState::Filling { image, written }))
    }

    /// The first `written` bytes survive a power cut.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] if nothing is on its way into the slot or `written` does not grow.
    pub fn progress(&self, slot: Slot, written: u64) -> Next {
        match *self.slot(slot) {
            SlotState::Filling {
                image,
                written: before,
            } if before <= written && written <= image.length => {
                Ok(self.with_slot(slot, SlotState::Filling { image, written }))
            }
            _ => Err(SlotsError::WrongState {
                slot,
                operation: "download",
            }),
        }
    }

    /// The whole image is there and its bytes have the signed digest.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] if it is not all there.
    pub fn verified(&self, slot: Slot) -> Next {
        match *self.slot(slot) {
            SlotState::Filling { image, written } if written == image.length => Ok(self.with_slot(
                slot,
                SlotState::Held {
                    image,
                    grade: Grade::Verified,
                },
            )),
            _ => Err(SlotsError::WrongState {
                slot,
                operation: "verify",
            }),
        }
    }

    /// What is on its way into the slot is thrown away.
    #[must_use]
    pub fn abandon(&self, slot: Slot) -> Self {
        match self.slot(slot) {
            SlotState::Filling { .. } => self.with_slot(slot, SlotState::Empty),
            SlotState::Empty | SlotState::Held { .. } => self.clone(),
        }
    }

    /// The self-test of the image in the inactive slot begins; counted, since the process may die in it.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] if the slot is served from or holds no whole image.
    pub fn begin_self_test(&self, slot: Slot) -> Next {
        let wrong = SlotsError::WrongState {
            slot,
            operation: "self-test",
        };
        let SlotState::Held { image, grade } = *self.slot(slot) else {
            return Err(wrong);
        };
        if self.serving == Some(Place::Slot(slot)) {
            return Err(wrong);
        }
        let attempts = match grade {
            Grade::Testing { attempts } => attempts.saturating_add(1),
            Grade::Verified | Grade::Tested => 1,
            Grade::Proven => return Ok(self.clone()),
        };
        Ok(self.with_slot(
            slot,
            SlotState::Held {
                image,
                grade: Grade::Testing { attempts },
            },
        ))
    }

    /// The golden vectors gave the stated answers.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] if no self-test was begun.
    pub fn self_tested(&self, slot: Slot) -> Next {
        match *self.slot(slot) {
            SlotState::Held {
                image,
                grade: Grade::Testing { .. },
            } => Ok(self.with_slot(
                slot,
                SlotState::Held {
                    image,
                    grade: Grade::Tested,
                },
            )),
            SlotState::Held {
                grade: Grade::Proven, ..
            } => Ok(self.clone()),
            _ => Err(SlotsError::WrongState {
                slot,
                operation: "pass the self-test",
            }),
        }
    }

    /// The image in the slot is refused for this rollout and given up.
    #[must_use]
    pub fn reject(&self, slot: Slot) -> Self {
        let image = match *self.slot(slot) {
            SlotState::Filling { image, .. } | SlotState::Held { image, .. } => image,
            SlotState::Empty => return self.clone(),
        };
        if self.serving == Some(Place::Slot(slot)) {
            return self.clone();
        }
        self.with_slot(slot, SlotState::Empty).with_rejected(&image)
    }

    fn with_rejected(mut self, image: &Image) -> Self {
        let rejected = Rejected {
            digest: image.digest,
            rollout: image.rollout,
        };
        self.rejected.retain(|r| *r != rejected);
        if self.rejected.len() >= MAX_REJECTED {
            self.rejected.remove(0);
        }
        self.rejected.push(rejected);
        self
    }

    /// The image held in a slot now belongs to this rollout.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] if the slot holds another image or none.
    pub fn adopt(&self, slot: Slot, image: Image) -> Next {
        match *self.slot(slot) {
            SlotState::Held { image: old, grade }
                if old.digest == image.digest && old.length == image.length =>
            {
                Ok(self.with_slot(slot, SlotState::Held { image, grade }))
            }
            _ => Err(SlotsError::WrongState {
                slot,
                operation: "adopt",
            }),
        }
    }

    /// The device answers from the image in the inactive slot, on trial; the one before stays as standby.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] for an image that has not passed its self-test, [`SlotsError::OnTrial`],
    /// [`SlotsError::UnderFloor`].
    pub fn activate(&self, slot: Slot, now: u64) -> Next {
        let image = self.ready(slot, "activate", |grade| {
            matches!(grade, Grade::Tested | Grade::Proven)
        })?;
        let mut next = self.clone();
        next.serving = Some(Place::Slot(slot));
        next.trial = Some(Trial {
            started: now,
            boots: 0,
        });
        next.slots[slot as usize] = SlotState::Held {
            image,
            grade: Grade::Tested,
        };
        Ok(next)
    }

    /// The device answers from the proven image in the inactive slot, at once: the fleet was rolled back.
    ///
    /// # Errors
    /// [`SlotsError::WrongState`] for an image that is not proven, [`SlotsError::UnderFloor`].
    pub fn roll_back(&self, slot: Slot) -> Next {
        let mut next = self.clone();
        if let (Some(_), Some(ImageAt { image, .. })) = (next.trial.take(), self.serving()) {
            // The image left behind did not finish its trial: it is not one to go back to.
            next = next.with_rejected(&image);
        }
        next.ready(slot, "roll back to", |grade| matches!(grade, Grade::Proven))?;
        next.serving = Some(Place::Slot(slot));
        Ok(next)
    }

    /// The same, to the factory image.
    ///
    /// # Errors
    /// [`SlotsError::NoModel`] if there is none at or above the release floor.
    pub fn roll_back_to_factory(&self) -> Next {
        let image = self.factory.ok_or(SlotsError::NoModel)?;
        if image.release < self.release_floor {
            return Err(SlotsError::UnderFloor {
                release: image.release,
                floor: self.release_floor,
            });
        }
        let mut next = self.clone();
        if let (Some(_), Some(ImageAt { image, .. })) = (next.trial.take(), self.serving()) {
            next = next.with_rejected(&image);
        }
        next.serving = Some(Place::Factory);
        Ok(next)
    }

    fn ready(
        &self,
        slot: Slot,
        operation: &'static str,
        may: fn(Grade) -> bool,
    ) -> Result<Image, SlotsError> {
        if self.trial.is_some() {
            return Err(SlotsError::OnTrial);
        }
        match *self.slot(slot) {
            SlotState::Held { image, .. } if image.release < self.release_floor => {
                Err(SlotsError::UnderFloor {
                    release: image.release,
                    floor: self.release_floor,
                })
            }
            SlotState::Held { image, grade } if may(grade) && self.serving != Some(Place::Slot(slot)) => {
                Ok(image)
            }
            _ => Err(SlotsError::WrongState { slot, operation }),
        }
    }

    /// The image on trial stands. Releases with a lower counter never run here again.
    ///
    /// # Errors
    /// [`SlotsError::NotOnTrial`].
    pub fn confirm(&self) -> Next {
        match (self.trial, self.serving()) {
            (
                Some(_),
                Some(ImageAt {
                    place: Place::Slot(slot),
                    image,
                }),
            ) => {
                let mut next = self.with_slot(
                    slot,
                    SlotState::Held {
                        image,
                        grade: Grade::Proven,
                    },
                );
                next.trial = None;
                next.release_floor = next.release_floor.max(image.release);
                Ok(next)
            }
            _ => Err(SlotsError::NotOnTrial),
        }
    }

    /// The device leaves the image on trial for the standby, by itself.
    ///
    /// # Errors
    /// [`SlotsError::NotOnTrial`].
    pub fn fall_back(&self) -> Next {
        let (Some(_), Some(left)) = (self.trial, self.serving()) else {
            return Err(SlotsError::NotOnTrial);
        };
        let mut next = self.clone().with_rejected(&left.image);
        next.trial = None;
        next.serving = self.standby().map(|at| at.place);
        Ok(next)
    }

    /// The bytes at this place are damaged: they are given up, and if they were served, the standby is.
    #[must_use]
    pub fn lost(&self, place: Place) -> Self {
        let mut next = self.clone();
        if self.serving == Some(place) {
            next.serving = self.standby().map(|at| at.place);
            next.trial = None;
        }
        match place {
            Place::Slot(slot) => next.slots[slot as usize] = SlotState::Empty,
            Place::Factory => next.factory = None,
        }
        next
    }

    /// The agent started.
    #[must_use]
    pub fn booted(&self) -> Self {
        let mut next = self.clone();
        next.boots = self.boots.saturating_add(1);
        if let Some(trial) = &mut next.trial {
            trial.boots = trial.boots.saturating_add(1);
        }
        next
    }

    /// The image on trial answered well for a while: earlier starts no longer count as a crash loop.
    #[must_use]
    pub fn healthy(&self) -> Self {
        let mut next = self.clone();
        if let Some(trial) = &mut next.trial {
            trial.boots = 0;
        }
        next
    }

    /// The program ends in order: this start was no crash.
    #[must_use]
    pub fn rested(&self) -> Self {
        let mut next = self.clone();
        if let Some(trial) = &mut next.trial {
            trial.boots = trial.boots.saturating_sub(1);
        }
        next
    }

    /// Takes `bytes` out of the budget of `limit` bytes a day before they are spent. A day before the newest one
    /// seen counts as that newest one, so that a clock set back buys nothing.
    ///
    /// # Errors
    /// [`SlotsError::BudgetExhausted`].
    pub fn reserve(&self, day: u64, bytes: u64, limit: u64) -> Next {
        let spent = if day > self.budget.day {
            0
        } else {
            self.budget.spent
        };
        match spent.checked_add(bytes) {
            Some(total) if total <= limit => {
                let mut next = self.clone();
                next.budget = Budget {
                    day: day.max(self.budget.day),
                    spent: total,
                };
                Ok(next)
            }
            _ => Err(SlotsError::BudgetExhausted {
                wanted: bytes,
                spent,
                limit,
            }),
        }
    }
}
