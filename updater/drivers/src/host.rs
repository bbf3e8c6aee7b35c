//! The loop around an agent: one thread for the agent and its model host, one for HTTP, one for the doorbell.
//!
//! ```text
//!   Handle (serving threads, signals) ─┐
//!   HTTP thread ───────────────────────┼─► inbox ─► Agent::handle ─► actions ─► HTTP thread, ModelHost, doorbell
//!   doorbell thread ───────────────────┘
//! ```
//!
//! The model host is called on the agent's thread. What answers meanwhile are its own threads: a self-test that takes
//! a minute delays a check-in, never an answer.

use crate::doorbell::{BellError, BellNews, MqttBell, listen};
use crate::error::DriverError;
use crate::files::{FileOptions, FileStorage};
use crate::http::{Answer, HttpDriver};
use crate::key::DeviceKey;
use crate::model::{ModelFile, ModelHost, Models};
use crate::system::{Clock, OsEntropy, SystemClock};
use sanderling_agent::{Action, Agent, Config, Input, NetworkPolicy, Paired, Serving, TrialPolicy};
use sanderling_slots::ImageAt;
use sanderling_trust::Roots;
use sanderling_wire::{
    DeviceId, EnrolmentString, Event, HardwareId, MqttEndpoint, RuntimeInfo, ServingWindow, StateReport,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Parts of answers and rings that wait for the agent: 16 blocks of 16 KiB at most.
const INBOX_LEN: usize = 16;
/// Windows, outcomes and events that wait for the agent.
const TELEMETRY_LEN: usize = 1024;
/// Longest sleep: the wall clock may have been set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(60);

/// How a device runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state folder; made if need be.
    pub state: PathBuf,
    /// Sizes, and the factory image.
    pub files: FileOptions,
    /// The enrolment string; may be left out once the folder belongs to a fleet.
    pub enrolment: Option<EnrolmentString>,
    /// Which roots are accepted. Only a demo sets [`Roots::Demo`].
    pub roots: Roots,
    /// The kind of hardware.
    pub hardware: HardwareId,
    /// What the device can run.
    pub runtime: RuntimeInfo,
    /// How a new image is watched.
    pub trial: TrialPolicy,
    /// Downloads and retries.
    pub network: NetworkPolicy,
    /// Whether to listen for the doorbell; without it the device polls.
    pub doorbell: bool,
}

impl Options {
    /// Options with everything else at its default.
    #[must_use]
    pub fn new(state: impl Into<PathBuf>, hardware: HardwareId, runtime: RuntimeInfo) -> Self {
        Self {
            state: state.into(),
            files: FileOptions::default(),
            enrolment: None,
            roots: Roots::Production,
            hardware,
            runtime,
            trial: TrialPolicy::default(),
            network: NetworkPolicy::default(),
            doorbell: true,
        }
    }
}

enum Message {
    Http(Answer),
    Bell(BellNews),
    /// Telemetry waits, or the end has come.
    Wake,
}

enum Telemetry {
    Served(ServingWindow),
    Paired(Paired),
    Note(Event),
}

/// What others share with a running host.
struct Shared {
    stop: AtomicBool,
    dropped: AtomicU64,
    state: Mutex<Option<StateReport>>,
}

/// A way to speak to a running [`Host`], from any thread. Never blocks.
#[derive(Clone)]
pub struct Handle {
    inbox: SyncSender<Message>,
    telemetry: SyncSender<Telemetry>,
    shared: Arc<Shared>,
}

impl Handle {
    fn tell(&self, telemetry: Telemetry) {
        if let Err(TrySendError::Full(_)) = self.telemetry.try_send(telemetry) {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
        // A full inbox wakes the agent by itself.
        let _ = self.inbox.try_send(Message::Wake);
    }

    /// Answers given in a stretch of time: one window every few seconds, for each image that answered.
    pub fn served(&self, window: ServingWindow) {
        self.tell(Telemetry::Served(window));
    }

    /// Inputs that both images answered, and which images those were: [`Models::paired`].
    pub fn paired(&self, paired: Paired) {
        self.tell(Telemetry::Paired(paired));
    }

    /// An event, of the cascade for example.
    pub fn note(&self, event: Event) {
        self.tell(Telemetry::Note(event));
    }

    /// Checks in now.
    pub fn ring(&self) {
        let _ = self.inbox.try_send(Message::Bell(BellNews::Rang));
    }

    /// Ends [`Host::run`], after telemetry is on the disk.
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.inbox.try_send(Message::Wake);
    }

    /// What the device says of itself; none before its first turn.
    #[must_use]
    pub fn state(&self) -> Option<StateReport> {
        self.shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An agent on its state folder, and the model host that it drives.
pub struct Host<M> {
    agent: Agent<FileStorage>,
    model: M,
    key: DeviceKey,
    clock: SystemClock,
    http: HttpDriver,
    doorbell: bool,
    bell: Option<(MqttEndpoint, Arc<AtomicBool>)>,
    inbox: Receiver<Message>,
    telemetry: Receiver<Telemetry>,
    handle: Handle,
}

impl<M: ModelHost> Host<M> {
    /// Opens the state folder and starts the agent; nothing is sent or served before [`Self::run`].
    ///
    /// # Errors
    /// [`DriverError`]: the folder is in use, belongs to another fleet, has lost its key or its enrolment, or cannot be
    /// used.
    pub fn open(options: Options, model: M) -> Result<Self, DriverError> {
        let storage = FileStorage::open(&options.state, options.files)?;
        let key = DeviceKey::of_folder(&options.state)?;
        let clock = SystemClock::new();
        let config = Config {
            enrolment: options.enrolment,
            roots: options.roots,
            hardware: options.hardware,
            runtime: options.runtime,
            trial: options.trial,
            network: options.network,
        };
        let (signer, entropy) = (Box::new(key.clone()), Box::new(OsEntropy::new()?));
        let agent = Agent::start(config, storage, signer, entropy, clock.now());
        let agent = agent.map_err(|error| DriverError::of_agent(error, &options.state))?;
        let (inbox_sender, inbox) = sync_channel(INBOX_LEN);
        let (telemetry_sender, telemetry) = sync_channel(TELEMETRY_LEN);
        let shared = Shared {
            stop: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            state: Mutex::new(None),
        };
        let handle = Handle {
            inbox: inbox_sender,
            telemetry: telemetry_sender,
            shared: Arc::new(shared),
        };
        let answers = handle.inbox.clone();
        let http = HttpDriver::start(agent.enrolment(), move |answer| {
            answers.send(Message::Http(answer)).is_ok()
        })?;
        let doorbell = options.doorbell;
        Ok(Self {
            agent,
            model,
            key,
            clock,
            http,
            doorbell,
            bell: None,
            inbox,
            telemetry,
            handle,
        })
    }

    /// This device's id.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.agent.device()
    }

    /// A way to speak to the host while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs until [`Handle::stop`], or for ever.
    ///
    /// # Errors
    /// [`DriverError::Agent`] if telemetry could not be put on the disk at the end.
    pub fn run(mut self) -> Result<(), DriverError> {
        loop {
            self.act();
            self.publish();
            if self.handle.shared.stop.load(Ordering::Relaxed) {
                self.drain();
                self.act();
                return Ok(self.agent.flush()?);
            }
            let wait = self.agent.wake_at().saturating_sub(self.clock.now().uptime_ms);
            match self
                .inbox
                .recv_timeout(Duration::from_millis(wait).min(MAX_SLEEP))
            {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => self.agent.handle(Input::Tick, self.clock.now()),
                // This host holds a sender itself.
                Err(RecvTimeoutError::Disconnected) => return Ok(self.agent.flush()?),
            }
            self.drain();
        }
    }

    /// [`Self::run`] on a thread of its own.
    ///
    /// # Errors
    /// [`DriverError::Io`] if there can be no more threads.
    pub fn spawn(self) -> Result<JoinHandle<Result<(), DriverError>>, DriverError>
    where
        M: 'static,
    {
        let builder = thread::Builder::new().name("sanderling-agent".into());
        builder
            .spawn(move || self.run())
            .map_err(DriverError::io("a thread for the agent"))
    }

    fn take(&mut self, message: Message) {
        let now = self.clock.now();
        match message {
            Message::Http(Answer::Head(id, head)) => self.agent.handle(Input::Response { id, head }, now),
            Message::Http(Answer::Block(id, bytes)) => {
                self.agent.handle(Input::Body { id, bytes: &bytes }, now)
            }
            Message::Http(Answer::End(id)) => self.agent.handle(Input::End { id }, now),
            Message::Http(Answer::Failed(id, error)) => self.agent.handle(Input::Failed { id, error }, now),
            Message::Bell(BellNews::Rang) => self.agent.handle(Input::Doorbell, now),
            Message::Bell(BellNews::Up) => self.model.doorbell(Ok(())),
            Message::Bell(BellNews::Down(error)) => self.model.doorbell(Err(&error)),
            Message::Wake => {}
        }
    }

    fn drain(&mut self) {
        for _ in 0..TELEMETRY_LEN {
            let Ok(telemetry) = self.telemetry.try_recv() else {
                break;
            };
            let input = match telemetry {
                Telemetry::Served(window) => Input::Served(window),
                Telemetry::Paired(paired) => Input::Paired(paired),
                Telemetry::Note(event) => Input::Note(event),
            };
            self.agent.handle(input, self.clock.now());
        }
        let dropped = self.handle.shared.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            self.agent.handle(Input::Dropped(dropped), self.clock.now());
        }
    }

    fn publish(&self) {
        let state = self.agent.state_report();
        *self
            .handle
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(state);
    }

    fn act(&mut self) {
        // Handling an action may add others; the agent bounds how many.
        while let Some(action) = self.agent.poll_action() {
            match action {
                Action::Http(request) => {
                    if let Err((id, error)) = self.http.send(request) {
                        self.agent.handle(Input::Failed { id, error }, self.clock.now());
                    }
                }
                Action::Cancel(id) => self.http.cancel(id),
                Action::SelfTest(at) => self.self_test(at),
                Action::Serve(serving) => self.serve(serving),
                Action::Listen(endpoint) => self.listen(endpoint),
                Action::Report(report) => self.model.report(&report),
                _ => {}
            }
        }
    }

    fn model_file(&mut self, at: ImageAt) -> Result<ModelFile, String> {
        let (file, path) = self
            .agent
            .storage()
            .image_file(at.place)
            .map_err(|error| error.to_string())?;
        Ok(ModelFile::new(file, path, at))
    }

    fn self_test(&mut self, at: ImageAt) {
        let outcome = self.model_file(at).and_then(|file| self.model.self_test(&file));
        self.agent.handle(
            Input::SelfTested {
                image: at.image.digest,
                outcome,
            },
            self.clock.now(),
        );
    }

    fn serve(&mut self, serving: Serving) {
        let answer = serving.answer.map(|at| self.model_file(at)).transpose();
        // An image beside that cannot be opened costs the comparison and nothing else.
        let beside = serving.beside.and_then(|at| self.model_file(at).ok());
        let outcome = answer.and_then(|answer| {
            self.model.serve(Models {
                answer,
                beside,
                rollout: serving.rollout,
                trial: serving.trial,
                shadow: serving.shadow,
            })
        });
        if let Some(at) = serving.answer {
            self.agent.handle(
                Input::Loaded {
                    image: at.image.digest,
                    outcome,
                },
                self.clock.now(),
            );
        }
    }

    fn listen(&mut self, endpoint: MqttEndpoint) {
        if !self.doorbell || self.bell.as_ref().is_some_and(|(same, _)| *same == endpoint) {
            return;
        }
        if let Some((_, stop)) = self.bell.take() {
            stop.store(true, Ordering::Relaxed);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (key, clock, inbox) = (self.key.clone(), self.clock, self.handle.inbox.clone());
        let (ends, broker) = (stop.clone(), endpoint.clone());
        let work = move || {
            let Ok(mut entropy) = OsEntropy::new() else { return };
            let connect = || MqttBell::connect(&broker, &key, clock.now().unix_s);
            listen(
                connect,
                |news| inbox.send(Message::Bell(news)).is_ok(),
                &clock,
                &mut entropy,
                &ends,
            );
        };
        let spawned = thread::Builder::new()
            .name("sanderling-bell".into())
            .stack_size(512 * 1024)
            .spawn(work);
        match spawned {
            Ok(_) => self.bell = Some((endpoint, stop)),
            Err(error) => self.model.doorbell(Err(&BellError::Broken {
                detail: error.to_string(),
            })),
        }
    }
}

impl<M> Drop for Host<M> {
    fn drop(&mut self) {
        if let Some((_, stop)) = self.bell.take() {
            stop.store(true, Ordering::Relaxed);
        }
    }
}
