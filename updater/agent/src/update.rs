//! The update strand: from the director's word to an image that serves.
//!
//! The director's document names a target; [`sanderling_trust::decide`] is the only way from there to a [`Goal`].
//! What is still to be done for a goal is read from the journal each time: download, self-test, flip. So the steps
//! have no memory of their own to lose.

use crate::agent::Agent;
use crate::error::Trouble;
use crate::io::{Action, Now};
use crate::refresh::{Goal as Walk, Refresh};
use alloc::format;
use alloc::string::{String, ToString};
use sanderling_slots::{Grade, Image, ImageAt, Place, Slot, SlotState, SlotsError, Storage};
use sanderling_trust::{Assignment, Mode, TrustError, UnixTime};
use sanderling_wire::{Arm, Digest, EventKind, RolloutId, api};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// An image to be installed, gone back to, or run in the shadow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Goal {
    pub(crate) image: Image,
    pub(crate) mode: Mode,
    /// Nothing is done for it before this, milliseconds of uptime.
    pub(crate) not_before_ms: u64,
    /// The day whose budget was found exhausted, so that it is told once.
    exhausted_day: Option<u64>,
}

impl<S: Storage> Agent<S> {
    /// A director document was verified: what does it ask for?
    pub(crate) fn follow_document(&mut self, now: Now) {
        let Some(document) = self.repositories.document() else {
            return;
        };
        let Some(target) = &document.target else {
            self.goal = None;
            return self.serve(now);
        };
        let (name, digest) = (target.name.clone(), target.sha256);
        let rollout = document.rollout.as_ref().map(|rollout| rollout.rollout);
        let mode = document
            .rollout
            .as_ref()
            .map_or(Mode::Activate, |rollout| rollout.mode);
        let journal = self.slots.journal();
        let serves_it = journal.serving().is_some_and(|at| at.image.digest == digest);
        let shadowed = self
            .host
            .serving
            .beside
            .is_some_and(|at| at.image.digest == digest)
            && mode == Mode::Shadow;
        let unfit = self.unfit == Some((digest, rollout));
        let given = document
            .rollout
            .as_ref()
            .filter(|assigned| assigned.arm == Arm::Target && mode == Mode::Activate);
        let given = given.map(|assigned| assigned.rollout);
        if serves_it || shadowed || unfit || journal.is_rejected(&digest, rollout) {
            self.goal = None;
            if let (true, Some(rollout)) = (serves_it, given) {
                self.serve_for(rollout, now);
            }
            return self.serve(now);
        }
        let standby = journal.standby().is_some_and(|at| at.image.digest == digest);
        if self.goes_on(digest, mode, rollout, now) {
            return;
        }
        self.goal = None;
        if mode == Mode::Restore && standby {
            // Whoever rolls back is in a hurry, and nothing is installed: no need for fresh image metadata.
            self.restore(now);
        } else {
            self.refresh = Some(Refresh::new(Walk::Target(name)));
        }
    }

    /// Whether the goal there is the one asked for. A rollout begun again under another id takes it over with what is
    /// done already: outcomes are the evidence of the rollout that asks now. A self-test under way notes its outcome in
    /// the slot, so the slot is taken over at once; else the next step towards the goal does that.
    fn goes_on(&mut self, digest: Digest, mode: Mode, rollout: Option<RolloutId>, now: Now) -> bool {
        let Some(goal) = &mut self.goal else { return false };
        if goal.image.digest != digest || goal.mode != mode {
            return false;
        }
        if goal.image.rollout == rollout {
            return true;
        }
        goal.image.rollout = rollout;
        let image = goal.image;
        let testing = self.host.testing.as_mut();
        let Some(at) = testing.filter(|at| at.image.digest == digest) else {
            return true;
        };
        at.image = image;
        if let Place::Slot(slot) = at.place
            && let Err(error) = self.slots.adopt(slot, image)
        {
            self.storage_failed(now, error);
        }
        true
    }

    /// The image that answers is what another rollout gives: one that was rolled back and begun again before this device
    /// had left the image, or had said that it runs it. The image is that rollout's from now on: its trial, if it is on
    /// one, begins anew, and so does the comparison, whose outcomes are evidence under the new id alone.
    fn serve_for(&mut self, rollout: RolloutId, now: Now) {
        let Some(at) = self.slots.journal().serving() else {
            return;
        };
        let Place::Slot(slot) = at.place else { return };
        if at.image.rollout == Some(rollout) {
            return;
        }
        let image = Image {
            rollout: Some(rollout),
            ..at.image
        };
        match self.slots.adopt(slot, image) {
            Ok(()) => self.begin_watch(now),
            Err(error) => self.storage_failed(now, error),
        }
    }

    /// Goes back to the standby that the director names.
    fn restore(&mut self, now: Now) {
        match self.repositories.decide(&self.identity(), UnixTime(now.unix_s)) {
            // Expiry blocks installing, never going back to what was installed and proven.
            Ok(_)
            | Err(
                TrustError::Expired { .. } | TrustError::ImagesBehind { .. } | TrustError::NotLoaded { .. },
            ) => {}
            Err(error) => return self.refused(now, &error),
        }
        let rollout = self.assigned_rollout();
        match self.slots.roll_back() {
            Ok(at) => {
                self.goal = None;
                let image = (at.image.digest, rollout.or(at.image.rollout));
                self.event_of(
                    now,
                    EventKind::RolledBack,
                    Some(image),
                    "the director sent the device back",
                );
                self.serve(now);
                self.check_in_soon(now);
            }
            Err(error) => self.storage_failed(now, error),
        }
    }

    fn assigned_rollout(&self) -> Option<RolloutId> {
        Some(self.repositories.document()?.rollout.as_ref()?.rollout)
    }

    /// The metadata is fresh: both repositories are put together.
    pub(crate) fn set_goal(&mut self, now: Now) {
        let Assignment { rollout, target, .. } =
            match self.repositories.decide(&self.identity(), UnixTime(now.unix_s)) {
                Ok(assignment) => assignment,
                Err(error) => return self.refused(now, &error),
            };
        let Some(target) = target else { return };
        let (needs, runs) = (target.release.min_runtime, self.config.runtime.version);
        if needs > runs {
            let image = (target.sha256, rollout.as_ref().map(|rollout| rollout.rollout));
            return self.leave(now, image, Trouble::Runtime { needs, runs }.to_string());
        }
        self.goal = Some(Goal {
            image: Image {
                digest: target.sha256,
                length: target.length,
                release: target.release.counter,
                rollout: rollout.as_ref().map(|rollout| rollout.rollout),
            },
            mode: rollout.map_or(Mode::Activate, |rollout| rollout.mode),
            not_before_ms: now.uptime_ms,
            exhausted_day: None,
        });
    }

    /// Does the next step towards the goal. False if there is nothing to do now.
    pub(crate) fn pursue(&mut self, now: Now) -> bool {
        let Some(goal) = self.goal.clone() else {
            return false;
        };
        if self.host.testing.is_some() || now.uptime_ms < goal.not_before_ms {
            return false;
        }
        let journal = self.slots.journal();
        if journal
            .serving()
            .is_some_and(|at| at.image.digest == goal.image.digest)
            || journal.is_rejected(&goal.image.digest, goal.image.rollout)
        {
            self.goal = None;
            return false;
        }
        if goal.mode == Mode::Restore
            && journal
                .standby()
                .is_some_and(|at| at.image.digest == goal.image.digest)
        {
            self.restore(now);
            return true;
        }
        if journal.trial.is_some() {
            // The director wants another image than the one on trial.
            self.fall_back(now, EventKind::FellBack, "the director assigned another image");
            return true;
        }
        let result = match self.held_slot(&goal.image.digest) {
            Some((slot, grade)) => self.step_held(&goal, slot, grade, now),
            None => self.step_download(&goal, now),
        };
        if let Err(error) = result {
            self.update_failed(&goal, error, now);
        }
        true
    }

    fn held_slot(&self, digest: &Digest) -> Option<(Slot, Grade)> {
        [Slot::A, Slot::B]
            .into_iter()
            .find_map(|slot| match self.slots.journal().slot(slot) {
                SlotState::Held { image, grade } if image.digest == *digest => Some((slot, *grade)),
                _ => None,
            })
    }

    fn step_held(&mut self, goal: &Goal, slot: Slot, grade: Grade, now: Now) -> Result<(), SlotsError> {
        self.slots.adopt(slot, goal.image)?;
        let at = ImageAt {
            place: Place::Slot(slot),
            image: goal.image,
        };
        match grade {
            Grade::Verified | Grade::Testing { .. } => {
                self.slots.begin_self_test(slot)?;
                self.host.testing = Some(at);
                self.act(Action::SelfTest(at));
            }
            Grade::Tested | Grade::Proven if goal.mode == Mode::Shadow => {
                self.goal = None;
                self.serve(now);
            }
            Grade::Tested | Grade::Proven => {
                let at = self.slots.activate(slot, now.unix_s)?;
                self.goal = None;
                self.event(now, EventKind::Activated, Some(at), "on trial");
                self.begin_watch(now);
                self.serve(now);
                self.check_in_soon(now);
            }
        }
        Ok(())
    }

    fn step_download(&mut self, goal: &Goal, now: Now) -> Result<(), SlotsError> {
        let going_on = self
            .slots
            .incoming()
            .filter(|(image, _)| image.digest == goal.image.digest);
        let from = match going_on {
            Some((_, received)) => received,
            None => {
                self.stop_comparing();
                let from = self.slots.begin_download(goal.image)?;
                let at = (goal.image.digest, goal.image.rollout);
                self.event_of(
                    now,
                    EventKind::DownloadStarted,
                    Some(at),
                    format!("from byte {from}"),
                );
                from
            }
        };
        if from == goal.image.length {
            let ImageAt { place, .. } = self.slots.finish()?;
            // The download may have begun for another rollout.
            let image = goal.image;
            let at = ImageAt { place, image };
            self.event(
                now,
                EventKind::Verified,
                Some(at),
                "length and hash are the signed ones",
            );
            return Ok(());
        }
        let policy = self.config.network;
        let to = from
            .saturating_add(policy.chunk_len.max(1))
            .min(goal.image.length);
        self.slots
            .reserve(now.unix_s / DAY_S, to - from, policy.daily_budget)?;
        let path = format!("{}{}.sdl", api::IMAGES, goal.image.digest);
        self.request_chunk(&path, from, to, now);
        Ok(())
    }

    fn update_failed(&mut self, goal: &Goal, error: SlotsError, now: Now) {
        let image = (goal.image.digest, goal.image.rollout);
        match error {
            SlotsError::WrongBytes { .. } => {
                self.event_of(now, EventKind::DownloadRefused, Some(image), error.to_string());
                self.failed(now, Trouble::Slots(error), 0);
            }
            SlotsError::BudgetExhausted { .. } => {
                let day = now.unix_s / DAY_S;
                let told = goal.exhausted_day == Some(day);
                // The next day is found by the wall clock, which may jump: look again now and then.
                let not_before_ms = now.uptime_ms.saturating_add(600_000);
                self.goal = Some(Goal {
                    not_before_ms,
                    exhausted_day: Some(day),
                    ..goal.clone()
                });
                if !told {
                    self.event_of(now, EventKind::DownloadRefused, Some(image), error.to_string());
                }
            }
            SlotsError::TooLarge { .. } | SlotsError::UnderFloor { .. } => {
                self.leave(now, image, error.to_string());
            }
            error => self.storage_failed(now, error),
        }
    }

    /// This device cannot take the image: said once, and the image is left alone in this rollout.
    fn leave(&mut self, now: Now, image: (Digest, Option<RolloutId>), why: String) {
        self.goal = None;
        self.unfit = Some(image);
        self.event_of(now, EventKind::DownloadRefused, Some(image), why);
    }

    pub(crate) fn on_self_tested(&mut self, image: Digest, outcome: Result<(), String>, now: Now) {
        let Some(at) = self.host.testing.take_if(|at| at.image.digest == image) else {
            return;
        };
        let Place::Slot(slot) = at.place else { return };
        let noted = match &outcome {
            Ok(()) => self.slots.self_tested(slot),
            Err(_) => self.slots.reject(slot),
        };
        if let Err(error) = noted {
            return self.storage_failed(now, error);
        }
        match outcome {
            Ok(()) => self.event(now, EventKind::SelfTestPassed, Some(at), "every golden vector"),
            Err(why) => {
                self.goal = None;
                self.event(now, EventKind::SelfTestFailed, Some(at), why);
                // Bad news travels fast: the rollout stops for everybody at the first of these.
                self.check_in_soon(now);
            }
        }
    }
}
