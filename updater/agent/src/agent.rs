//! The state machine: what there is, how inputs are taken, and what is done next.
//!
//! Three strands run beside each other. The *network* strand has one request under way at most and decides in
//! [`Agent::advance`] what the next one is. The *update* strand follows a goal (an image to install or go back to);
//! how far it is, is read from the journal, so that a restart goes on where the power failed. The *serving* strand
//! tells the host what to answer from and watches an image on trial. No failure of the first two stops the third.

use crate::backoff::Backoff;
use crate::config::Config;
use crate::enrolment::{ENROLLED, fleet};
use crate::error::{AgentError, Trouble};
use crate::io::{Action, Entropy, Input, Now, Report, RequestId, Serving};
use crate::network::InFlight;
use crate::refresh::Refresh;
use crate::repositories::{Repositories, Repository};
use crate::update::Goal;
use crate::watch::Watch;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use sanderling_slots::{Boot, BootNote, ImageAt, Slots, SlotsError, Storage, StorageError};
use sanderling_trust::{DeviceIdentity, Signer, TrustError, UnixTime};
use sanderling_wire::{
    ActiveImage, DeviceId, Digest, EnrolReply, EnrolmentString, Event, EventKind, Phase, RecordBody,
    RolloutId, StateReport, encode,
};

/// Most actions that wait for the host. Reports make room for what has to be done, of which a handful can wait at most:
/// one request, one self-test, and the newest of what is to be served and listened to.
const MAX_ACTIONS: usize = 256;
/// Most characters of an event's detail.
const MAX_DETAIL: usize = 240;
/// Seconds within which the same refusal is told once.
const SAME_REFUSAL_S: u64 = 600;

/// What the host does at the moment.
#[derive(Debug, Default)]
pub(crate) struct Host {
    /// What it was last told to serve.
    pub(crate) serving: Serving,
    /// The image whose self-test runs.
    pub(crate) testing: Option<ImageAt>,
    /// Whether it was told at all.
    pub(crate) told: bool,
    /// Whether it runs the image beside the one that answers.
    pub(crate) compares: bool,
    /// Failures to load the image served, in a row.
    pub(crate) load_failures: u8,
}

/// A device's agent. Owns its medium; see the crate's documentation for the loop around it.
pub struct Agent<S> {
    pub(crate) config: Config,
    pub(crate) slots: Slots<S>,
    pub(crate) signer: Box<dyn Signer + Send>,
    pub(crate) entropy: Box<dyn Entropy + Send>,
    pub(crate) enrolment: EnrolmentString,
    pub(crate) enrolled: Option<EnrolReply>,
    pub(crate) device: DeviceId,
    pub(crate) repositories: Repositories,
    pub(crate) in_flight: Option<InFlight>,
    pub(crate) next_request: u64,
    pub(crate) backoff: Backoff,
    /// No request before this, milliseconds of uptime.
    pub(crate) quiet_until: u64,
    pub(crate) check_in_at: u64,
    /// A doorbell that rang while a check-in was under way.
    pub(crate) ring_again: bool,
    pub(crate) refresh: Option<Refresh>,
    /// A director document that waits for newer roots.
    pub(crate) unverified: Option<alloc::vec::Vec<u8>>,
    pub(crate) goal: Option<Goal>,
    /// An image that this device cannot take, as long as the director asks for it in this rollout.
    pub(crate) unfit: Option<(Digest, Option<RolloutId>)>,
    pub(crate) host: Host,
    pub(crate) watch: Watch,
    /// When the trial should be looked at though nothing happens.
    pub(crate) trial_due: Option<u64>,
    refusal: Option<(String, u64)>,
    /// A full disk took not even the event that says so.
    untold_full: Option<String>,
    actions: VecDeque<Action>,
}

impl<S: Storage> Agent<S> {
    /// Starts an agent on its medium: recovers, verifies, and says what to serve before anything else.
    ///
    /// # Errors
    /// [`AgentError`]: the state belongs to no fleet or to another one, is damaged, or the medium or the key failed.
    pub fn start(
        mut config: Config,
        storage: S,
        signer: Box<dyn Signer + Send>,
        mut entropy: Box<dyn Entropy + Send>,
        now: Now,
    ) -> Result<Self, AgentError> {
        let public_key = signer
            .public_key()
            .ed25519_bytes()
            .ok_or_else(|| AgentError::Key {
                reason: "devices sign with Ed25519".to_string(),
            })?;
        let device = DeviceId::of_public_key(&public_key);
        let mut slots = Slots::open(storage, entropy.number())?;
        let (enrolment, enrolled) = fleet(&mut slots, config.enrolment.take())?;
        if let Some(reply) = enrolled.as_ref().filter(|reply| reply.device != device) {
            return Err(AgentError::OtherKey {
                stored: reply.device,
                found: device,
            });
        }
        let boot = slots.boot(config.trial.max_boots)?;
        let identity = identity(&config, device, &slots);
        let (repositories, refused) = Repositories::load(
            slots.storage(),
            &enrolment,
            config.roots,
            &identity,
            UnixTime(now.unix_s),
        )
        .map_err(|trouble| match trouble {
            Trouble::Slots(error) => AgentError::Slots(error),
            other => AgentError::Key {
                reason: other.to_string(),
            },
        })?;
        let mut agent = Self {
            backoff: Backoff::new(&config.network, now.uptime_ms),
            config,
            slots,
            signer,
            entropy,
            enrolment,
            enrolled,
            device,
            repositories,
            in_flight: None,
            next_request: 0,
            quiet_until: now.uptime_ms,
            check_in_at: now.uptime_ms,
            ring_again: false,
            refresh: None,
            unverified: None,
            goal: None,
            unfit: None,
            host: Host::default(),
            watch: Watch::begin(now.uptime_ms),
            trial_due: None,
            refusal: None,
            untold_full: None,
            actions: VecDeque::new(),
        };
        agent.first_words(now, &boot, &refused);
        Ok(agent)
    }

    /// What there is to say and to do at a start.
    fn first_words(&mut self, now: Now, boot: &Boot, refused: &[TrustError]) {
        let detail = format!("start {}", self.slots.journal().boots);
        self.event(now, EventKind::Started, boot.serving, detail);
        boot.notes.iter().for_each(|note| self.boot_note(now, note));
        refused.iter().for_each(|error| self.refused(now, error));
        self.serve(now);
        if let Some(endpoint) = self.enrolled.as_ref().and_then(|reply| reply.mqtt.clone()) {
            self.act(Action::Listen(endpoint));
        }
        self.advance(now);
    }

    /// Takes in what happened.
    pub fn handle(&mut self, input: Input<'_>, now: Now) {
        match input {
            Input::Tick => {}
            Input::Doorbell => self.ring(now),
            Input::Response { id, head } => self.on_response(id, head, now),
            Input::Body { id, bytes } => self.on_body(id, bytes, now),
            Input::End { id } => self.on_end(id, now),
            Input::Failed { id, error } => self.on_failed(id, error, now),
            Input::SelfTested { image, outcome } => self.on_self_tested(image, outcome, now),
            Input::Loaded { image, outcome } => self.on_loaded(image, outcome, now),
            Input::Served(window) => self.on_served(window, now),
            Input::Paired(paired) => self.on_paired(paired, now),
            Input::Note(event) => self.record(now, RecordBody::Event(event)),
            Input::Dropped(records) => self.count_dropped(records),
        }
        self.judge_trial(now);
        self.advance(now);
    }

    /// The next thing to do, oldest first; none when all is done for now.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Input::Tick`] is due, in milliseconds of uptime, unless something else happens first.
    pub fn wake_at(&self) -> u64 {
        let network = match (&self.in_flight, &self.refresh, &self.goal) {
            (Some(request), _, _) => request.deadline_ms,
            (None, Some(_), _) => self.quiet_until,
            (None, None, Some(goal)) if self.host.testing.is_none() => {
                self.check_in_at.min(goal.not_before_ms).max(self.quiet_until)
            }
            (None, None, _) => self.check_in_at.max(self.quiet_until),
        };
        self.trial_due.map_or(network, |due| due.min(network))
    }

    /// This device's id.
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The fleet server's address, and what it was joined by.
    pub fn enrolment(&self) -> &EnrolmentString {
        &self.enrolment
    }

    /// Whether the server knows the device.
    pub fn is_enrolled(&self) -> bool {
        self.enrolled.is_some()
    }

    /// The slots, for whoever looks on.
    pub fn slots(&self) -> &Slots<S> {
        &self.slots
    }

    /// The medium, to open an image's region on it.
    pub fn storage(&mut self) -> &mut S {
        self.slots.storage()
    }

    /// Makes telemetry survive, at the end of the program.
    ///
    /// # Errors
    /// [`AgentError::Slots`] when the medium fails.
    pub fn flush(&mut self) -> Result<(), AgentError> {
        Ok(self.slots.sync_outbox()?)
    }

    /// Ends a program in order: [`Self::flush`], and this start is no crash. For programs that a system starts and ends
    /// as it likes, as on phones, whether or not they answered anything. Call it once.
    ///
    /// # Errors
    /// [`AgentError::Slots`] when the medium fails.
    pub fn rest(&mut self) -> Result<(), AgentError> {
        self.flush()?;
        Ok(self.slots.rested()?)
    }

    /// What the device says of itself at a check-in.
    pub fn state_report(&self) -> StateReport {
        let journal = self.slots.journal();
        let active = journal.serving().map(|at| ActiveImage {
            digest: at.image.digest,
            rollout: at.image.rollout,
            confirmed: journal.trial.is_none(),
        });
        let phase = match (&active, journal.trial, &self.goal) {
            (None, _, _) => Phase::NoModel,
            _ if self.host.testing.is_some() => Phase::SelfTest,
            (_, Some(_), _) => Phase::Trial,
            (_, _, Some(_)) => Phase::Downloading,
            _ => Phase::Idle,
        };
        StateReport {
            phase,
            active,
            standby: journal.standby().map(|at| at.image.digest),
            director_version: self
                .repositories
                .document()
                .map_or(0, |document| document.header.version),
            image_root_version: self.repositories.root_version(Repository::Images),
            director_root_version: self.repositories.root_version(Repository::Director),
            release_floor: journal.release_floor,
            runtime: self.config.runtime.clone(),
            dropped_records: journal.dropped_records,
        }
    }

    pub(crate) fn identity(&self) -> DeviceIdentity {
        identity(&self.config, self.device, &self.slots)
    }

    pub(crate) fn act(&mut self, action: Action) {
        match action {
            Action::Serve(_) => self.actions.retain(|a| !matches!(a, Action::Serve(_))),
            Action::Listen(_) => self.actions.retain(|a| !matches!(a, Action::Listen(_))),
            Action::Cancel(id) => {
                let waiting = self.actions.len();
                self.actions
                    .retain(|a| !matches!(a, Action::Http(request) if request.id == id));
                if self.actions.len() < waiting {
                    // The host never heard of it.
                    return;
                }
            }
            _ => {}
        }
        if self.actions.len() >= MAX_ACTIONS {
            // Reports are for people; everything else has to be done.
            match self
                .actions
                .iter()
                .position(|action| matches!(action, Action::Report(_)))
            {
                Some(at) => drop(self.actions.remove(at)),
                None if matches!(action, Action::Report(_)) => return,
                None => {}
            }
        }
        self.actions.push_back(action);
    }

    /// Keeps a telemetry record. One that does not fit is counted as dropped.
    pub(crate) fn record(&mut self, now: Now, body: RecordBody) {
        if let RecordBody::Event(event) = &body {
            self.act(Action::Report(Report::Event(event.clone())));
        }
        match self.slots.push_record(now.unix_s, body) {
            Ok(_) => {
                if let Some(detail) = self.untold_full.take() {
                    self.event(now, EventKind::StorageFull, None, detail);
                }
            }
            Err(error) => {
                if matches!(error, SlotsError::Storage(StorageError::Full { .. })) {
                    self.untold_full = Some(error.to_string());
                }
                self.trouble(Trouble::Slots(error));
                self.count_dropped(1);
            }
        }
    }

    fn count_dropped(&mut self, records: u64) {
        if let Err(error) = self.slots.count_dropped(records) {
            self.trouble(Trouble::Slots(error));
        }
    }

    pub(crate) fn event(
        &mut self,
        now: Now,
        kind: EventKind,
        at: Option<ImageAt>,
        detail: impl Into<String>,
    ) {
        let image = at.map(|at| (at.image.digest, at.image.rollout));
        self.event_of(now, kind, image, detail);
    }

    pub(crate) fn event_of(
        &mut self,
        now: Now,
        kind: EventKind,
        image: Option<(Digest, Option<RolloutId>)>,
        detail: impl Into<String>,
    ) {
        let mut detail: String = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(MAX_DETAIL) {
            detail.truncate(end);
        }
        let (image, rollout) = (
            image.map(|(digest, _)| digest),
            image.and_then(|(_, rollout)| rollout),
        );
        self.record(
            now,
            RecordBody::Event(Event {
                kind,
                image,
                rollout,
                detail,
            }),
        );
    }

    pub(crate) fn trouble(&mut self, trouble: Trouble) {
        self.act(Action::Report(Report::Trouble(trouble)));
    }

    /// Metadata was refused: told to the fleet, but the same words not more often than every ten minutes.
    pub(crate) fn refused(&mut self, now: Now, error: &TrustError) {
        let words = error.to_string();
        let known = self.refusal.as_ref().is_some_and(|(same, since)| {
            *same == words && now.uptime_ms.saturating_sub(*since) < SAME_REFUSAL_S * 1_000
        });
        if !known {
            self.refusal = Some((words.clone(), now.uptime_ms));
            self.event(now, EventKind::MetadataRefused, None, words);
        }
    }

    fn boot_note(&mut self, now: Now, note: &BootNote) {
        match *note {
            BootNote::JournalLost => self.event(now, EventKind::FellBack, None, "the journal was lost"),
            BootNote::Damaged(at) => {
                self.event(
                    now,
                    EventKind::FellBack,
                    Some(at),
                    "its bytes changed since they were verified",
                );
            }
            BootNote::CrashLoop(at) => {
                self.event(now, EventKind::CrashLoop, Some(at), "too many starts on trial")
            }
            BootNote::SelfTestDied(at) => {
                self.event(
                    now,
                    EventKind::SelfTestFailed,
                    Some(at),
                    "the process ended in the self-test, twice",
                );
            }
            BootNote::FellBackTo(at) => {
                self.event(now, EventKind::FellBack, Some(at), "answers from this one now")
            }
            _ => {}
        }
    }

    pub(crate) fn keep_enrolment(&mut self, reply: &EnrolReply) -> Result<(), SlotsError> {
        let bytes = encode(reply);
        Ok(self.slots.storage().write_blob(ENROLLED, &bytes)?)
    }

    pub(crate) fn request_id(&mut self) -> RequestId {
        self.next_request += 1;
        RequestId(self.next_request)
    }
}

fn identity<S: Storage>(config: &Config, device: DeviceId, slots: &Slots<S>) -> DeviceIdentity {
    let release_floor = slots.journal().release_floor;
    DeviceIdentity {
        device,
        hardware: config.hardware.clone(),
        release_floor,
    }
}
