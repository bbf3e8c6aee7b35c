//! The serving strand: what the host answers from, and the watch over an image on trial.

use crate::agent::Agent;
use crate::error::Trouble;
use crate::io::{Action, Now, Paired, Running, Serving};
use crate::watch::{Verdict, Watch};
use alloc::string::String;
use sanderling_slots::{Grade, ImageAt, Place, Slot, SlotState, Storage};
use sanderling_trust::Mode;
use sanderling_wire::{Digest, EventKind, RecordBody, ServingWindow};

/// Most outcomes in one telemetry record.
const MAX_OUTCOMES: usize = 512;
/// Failures to load an intact image, in a row, after which it is given up.
const MAX_LOAD_FAILURES: u8 = 3;

impl<S: Storage> Agent<S> {
    /// Tells the host what to answer from, if that has changed.
    pub(crate) fn serve(&mut self, now: Now) {
        let journal = self.slots.journal();
        let answer = journal.serving();
        let trial = journal.trial.is_some();
        let beside = answer.and_then(|_| self.beside());
        let shadow = beside.filter(|_| self.is_shadow(beside));
        let rollout = shadow.or(answer).and_then(|at| at.image.rollout);
        let serving = Serving {
            answer,
            beside,
            rollout,
            trial,
            shadow: shadow.is_some(),
        };
        if trial
            && self.trial_due.is_none()
            && self.host.serving.answer.map(|at| at.image) != answer.map(|at| at.image)
        {
            self.begin_watch(now);
        }
        if serving != self.host.serving || !self.host.told {
            self.host.serving = serving;
            self.host.told = true;
            self.host.compares = beside.is_some();
            self.act(Action::Serve(serving));
        }
    }

    /// The image to compare with: the old one while a rollout looks at the new one, or one in the shadow. Outcomes are
    /// a rollout's evidence: an image that no rollout brought is compared with nothing.
    fn beside(&self) -> Option<ImageAt> {
        let journal = self.slots.journal();
        let answer = journal.serving()?;
        let assigned = self.repositories.document().and_then(|document| {
            let rollout = document.rollout.as_ref()?;
            Some((rollout.rollout, rollout.mode, document.target.as_ref()?.sha256))
        });
        let enough = self.watch.pairs() >= self.config.trial.max_pairs;
        if let Some((_, Mode::Shadow, digest)) = assigned {
            return self
                .tested(&digest)
                .filter(|at| at.place != answer.place && !enough);
        }
        let watched = assigned.is_some_and(|(rollout, mode, digest)| {
            mode == Mode::Activate && Some(rollout) == answer.image.rollout && digest == answer.image.digest
        });
        let on_trial = journal.trial.is_some() && answer.image.rollout.is_some();
        if on_trial || (watched && !enough) {
            journal.standby()
        } else {
            None
        }
    }

    fn is_shadow(&self, beside: Option<ImageAt>) -> bool {
        let mode = self
            .repositories
            .document()
            .and_then(|document| Some(document.rollout.as_ref()?.mode));
        beside.is_some() && mode == Some(Mode::Shadow)
    }

    fn tested(&self, digest: &Digest) -> Option<ImageAt> {
        let journal = self.slots.journal();
        [Slot::A, Slot::B]
            .into_iter()
            .find_map(|slot| match *journal.slot(slot) {
                SlotState::Held {
                    image,
                    grade: Grade::Tested | Grade::Proven,
                } if image.digest == *digest => Some(ImageAt {
                    place: Place::Slot(slot),
                    image,
                }),
                _ => None,
            })
    }

    /// The slot beside the one served is about to be overwritten.
    pub(crate) fn stop_comparing(&mut self) {
        if self.host.serving.beside.take().is_some() {
            self.act(Action::Serve(self.host.serving));
        }
    }

    pub(crate) fn begin_watch(&mut self, now: Now) {
        self.watch = Watch::begin(now.uptime_ms);
        self.trial_due = Some(self.watch.due_ms(&self.config.trial));
    }

    pub(crate) fn on_loaded(&mut self, image: Digest, outcome: Result<Running, String>, now: Now) {
        let Some(at) = self.host.serving.answer.filter(|at| at.image.digest == image) else {
            return;
        };
        let detail = match outcome {
            Ok(running) => {
                self.host.load_failures = 0;
                self.host.compares = running == Running::Compared;
                return;
            }
            Err(detail) => detail,
        };
        self.trouble(Trouble::Load {
            detail: detail.clone(),
        });
        if self.slots.journal().trial.is_some() {
            return self.fall_back(now, EventKind::FellBack, detail);
        }
        self.host.load_failures = self.host.load_failures.saturating_add(1);
        if self.host.load_failures < MAX_LOAD_FAILURES {
            // The bytes are intact; the host may have been short of memory for a moment.
            return self.act(Action::Serve(self.host.serving));
        }
        self.host.load_failures = 0;
        match self.slots.lost(at.place) {
            Ok(_) => self.event(now, EventKind::FellBack, Some(at), detail),
            Err(error) => self.storage_failed(now, error),
        }
        self.serve(now);
    }

    pub(crate) fn on_served(&mut self, window: ServingWindow, now: Now) {
        let on_trial = self.slots.journal().trial;
        let of_trial = self
            .slots
            .journal()
            .serving()
            .is_some_and(|at| at.image.digest == window.image);
        let verdict = match on_trial {
            Some(_) if of_trial => self.watch.add(&window, &self.config.trial),
            _ => Verdict::Wait,
        };
        self.record(now, RecordBody::Serving(window));
        if let Verdict::FallBack(why) = verdict {
            return self.fall_back(now, EventKind::FellBack, why);
        }
        if on_trial.is_some_and(|trial| trial.boots > 0)
            && self.watch.is_healthy(&self.config.trial)
            && let Err(error) = self.slots.healthy()
        {
            self.storage_failed(now, error);
        }
    }

    pub(crate) fn on_paired(&mut self, paired: Paired, now: Now) {
        let Paired {
            rollout,
            new,
            old,
            outcomes,
        } = paired;
        for part in outcomes.chunks(MAX_OUTCOMES) {
            let outcomes = part.to_vec();
            self.record(
                now,
                RecordBody::Paired {
                    rollout,
                    new,
                    old,
                    outcomes,
                },
            );
        }
        // What comes late is evidence for its own rollout, and none for the trial that runs now.
        if self.host.serving.compares(rollout, new, old) {
            self.watch.add_pairs(outcomes.len());
        }
        if self.watch.pairs() >= self.config.trial.max_pairs {
            self.serve(now);
        }
    }

    /// Confirms or leaves an image on trial, when its counts say so.
    pub(crate) fn judge_trial(&mut self, now: Now) {
        self.trial_due = self.trial_due.filter(|&due| now.uptime_ms < due);
        let Some(at) = self
            .slots
            .journal()
            .serving()
            .filter(|_| self.slots.journal().trial.is_some())
        else {
            self.trial_due = None;
            return;
        };
        let compared = self.host.compares;
        match self.watch.verdict(&self.config.trial, now.uptime_ms, compared) {
            Verdict::Wait => {}
            Verdict::FallBack(why) => self.fall_back(now, EventKind::FellBack, why),
            Verdict::Confirm => match self.slots.confirm() {
                Ok(()) => {
                    self.event(
                        now,
                        EventKind::Confirmed,
                        Some(at),
                        "the trial is over, the image stands",
                    );
                    self.serve(now);
                    self.check_in_soon(now);
                }
                Err(error) => self.storage_failed(now, error),
            },
        }
    }

    /// Leaves the image on trial for the standby.
    pub(crate) fn fall_back(&mut self, now: Now, kind: EventKind, why: impl Into<String>) {
        let left = self.slots.journal().serving();
        match self.slots.fall_back() {
            Ok(_) => {
                self.trial_due = None;
                self.event(now, kind, left, why);
                self.serve(now);
                self.check_in_soon(now);
            }
            Err(error) => self.storage_failed(now, error),
        }
    }
}
