//! Starting, watching and stopping a device.
//!
//! A device is two threads, and it lives only as long as both: [`Daemon::wait`] returns when either has ended, so that
//! the process ends with an error that says what died, a supervisor starts it anew, and the count of starts on trial
//! takes notice of an image that kills it.

use crate::engine::Engine;
use crate::error::DaemonError;
use crate::feed::Feed;
use crate::infer::Api;
use crate::log::AnswerLog;
use crate::worker::{Cascade, CascadeOptions, Command, Pace, Parts, Worker};
use sanderling_drivers::{DriverError, Handle, Host, Options};
use sanderling_serve::{ServeOptions, Server};
use sanderling_session::SessionOptions;
use sanderling_wire::DeviceId;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a device does.
#[derive(Debug, Clone)]
pub struct DaemonOptions {
    /// Agent, state folder, network.
    pub agent: Options,
    /// Folders whose files are answered; none: the device keeps itself up to date and answers nothing.
    pub inputs: Vec<PathBuf>,
    /// Pace of the answers.
    pub pace: Pace,
    /// The cascade, where there is one.
    pub cascade: Option<CascadeOptions>,
    /// File that answers are appended to.
    pub answers: Option<PathBuf>,
    /// Where the programs of this device ask the model that the agent has made active; none: nowhere.
    pub inference: Option<ServeOptions>,
    /// How models are loaded.
    pub sessions: Sessions,
}

/// How the sessions of a device run: each thread that loads models makes their options, and the backends in them,
/// for itself.
#[derive(Clone)]
pub struct Sessions(Arc<dyn Fn() -> SessionOptions + Send + Sync>);

impl Sessions {
    /// Options as `make` makes them.
    pub fn new(make: impl Fn() -> SessionOptions + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn options(&self) -> SessionOptions {
        (self.0)()
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self::new(SessionOptions::default)
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sessions")
    }
}

/// The names of the two threads.
const AGENT: &str = "sanderling-agent";
const WORKER: &str = "sanderling-serve";

/// Told when a thread ends, however it ends, or somebody wants the device to stop.
#[derive(PartialEq, Eq, Debug)]
struct End;

/// Says so when it is dropped: a panic drops it, too.
struct Tells(Sender<End>);

impl Drop for Tells {
    fn drop(&mut self) {
        // Nobody waits any more if this fails.
        drop(self.0.send(End));
    }
}

/// Ends [`Daemon::wait`], from any thread; a signal handler's, for example.
#[derive(Clone)]
pub struct Stopper(Sender<End>);

impl Stopper {
    /// Asks the device to stop.
    pub fn stop(&self) {
        // A device that is gone has stopped.
        drop(self.0.send(End));
    }
}

/// A running device.
pub struct Daemon {
    device: DeviceId,
    handle: Handle,
    worker: Sender<Command>,
    agent_thread: JoinHandle<Result<(), DriverError>>,
    worker_thread: JoinHandle<()>,
    ends: (Sender<End>, Receiver<End>),
    inference: Option<sanderling_serve::Running>,
    /// How often the worker has gone round.
    rounds: Arc<AtomicU64>,
}

impl Daemon {
    /// Starts agent and worker.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn start(options: DaemonOptions) -> Result<Self, DaemonError> {
        let cascade = options.cascade.map(Cascade::new).transpose()?;
        let log = AnswerLog::open(options.answers.as_deref())?;
        let (worker, commands) = channel();
        let host = Host::open(
            options.agent,
            Engine {
                worker: worker.clone(),
                sessions: options.sessions.clone(),
            },
        )?;
        let (device, handle) = (host.device(), host.handle());
        let feed = Feed::of_folders(&options.inputs, &device.0)?;
        let mut head = [0; 8];
        head.copy_from_slice(&device.0[..8]);
        let queue = options.inference.as_ref().map_or(0, |inference| inference.queue);
        let api = Api::new(worker.clone(), queue);
        let rounds = Arc::default();
        let inference = options.inference.map(|how| {
            let running = Server::over(api.models.clone(), how).and_then(Server::start);
            running.map_err(DaemonError::Inference)
        });
        let parts = Parts {
            api,
            rounds: Arc::clone(&rounds),
            sessions: options.sessions,
            handle: handle.clone(),
            commands,
            feed,
            pace: options.pace,
            cascade,
            log,
            seed: u64::from_le_bytes(head),
        };
        let inference = inference.transpose()?;
        let ends = channel();
        let worker_thread = spawn(WORKER, &ends.0, move || Worker::new(parts).run())?;
        let agent_thread = spawn(AGENT, &ends.0, move || host.run())?;
        Ok(Self {
            device,
            handle,
            worker,
            agent_thread,
            worker_thread,
            ends,
            inference,
            rounds,
        })
    }

    /// This device's id.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// A way to speak to the agent.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// What ends [`Self::wait`].
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.ends.0.clone())
    }

    /// Waits until it is told to stop or a thread ends, then stops.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub fn wait(self) -> Result<(), DaemonError> {
        // This holds a sender itself: there is always somebody to hear from.
        drop(self.ends.1.recv());
        self.stop()
    }

    /// As [`Self::wait`], and calls `alive` every now and then as long as the worker goes round: a supervisor's watchdog
    /// hears from a device whose worker hangs no more.
    ///
    /// # Errors
    /// As [`Self::stop`].
    pub fn wait_alive(self, every: Duration, mut alive: impl FnMut()) -> Result<(), DaemonError> {
        let mut seen = self.rounds.load(Ordering::Relaxed);
        while self.ends.1.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
            let now = self.rounds.load(Ordering::Relaxed);
            if now != seen {
                alive();
            }
            seen = now;
        }
        self.stop()
    }

    /// Where programs of this device ask over HTTP, where they do.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.inference.as_ref()?.address
    }

    /// Stops: counts what was answered, puts telemetry on the disk.
    ///
    /// # Errors
    /// [`DaemonError::Died`] where a thread had ended by itself; [`DaemonError::Driver`] where the agent could not put
    /// its telemetry on the disk.
    pub fn stop(self) -> Result<(), DaemonError> {
        // Requests under way are answered before the worker goes; new ones find nobody.
        drop(self.inference);
        // The worker first: its last window goes to the agent. A worker that takes no command has ended.
        let ended = self.worker_thread.is_finished() | self.worker.send(Command::Stop).is_err();
        let worker = join(WORKER, self.worker_thread);
        self.handle.stop();
        let agent = join(AGENT, self.agent_thread);
        worker?;
        if ended {
            return Err(DaemonError::Died {
                thread: WORKER,
                words: "it ended though nobody told it to".to_string(),
            });
        }
        Ok(agent??)
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    ends: &Sender<End>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, DaemonError> {
    let tells = Tells(ends.clone());
    let work = move || {
        let _tells = tells;
        work()
    };
    std::thread::Builder::new()
        .name(name.to_string())
        .spawn(work)
        .map_err(|source| DaemonError::Io {
            path: format!("the thread {name}").into(),
            source,
        })
}

fn join<T>(name: &'static str, thread: JoinHandle<T>) -> Result<T, DaemonError> {
    thread.join().map_err(|panic| {
        let words = panic
            .downcast_ref::<&str>()
            .map(|words| (*words).to_string())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_default();
        DaemonError::Died {
            thread: name,
            words: format!("it panicked: {words}"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_app::runtime_info;
    use sanderling_wire::{Digest, EnrolmentString, HardwareId};
    use std::path::Path;

    fn device(state: &Path) -> Daemon {
        let hardware = HardwareId::new("test-board").unwrap();
        let mut agent = Options::new(state, hardware, runtime_info(0));
        agent.enrolment = Some(EnrolmentString {
            server: "http://127.0.0.1:1".to_string(),
            token: "nobody listens there".to_string(),
            image_root: Digest([1; 32]),
            director_root: Digest([2; 32]),
            tls_ca: None,
        });
        Daemon::start(DaemonOptions {
            agent,
            inputs: Vec::new(),
            pace: Pace::default(),
            cascade: None,
            answers: None,
            inference: None,
            sessions: Sessions::default(),
        })
        .unwrap()
    }

    #[test]
    fn stops_when_told() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = device(folder.path());
        daemon.stopper().stop();
        daemon.wait().unwrap();
    }

    #[test]
    fn a_serving_thread_that_ends_ends_the_device() {
        let folder = tempfile::tempdir().unwrap();
        let daemon = device(folder.path());
        daemon.worker.send(Command::Stop).unwrap();
        let error = daemon.wait().unwrap_err();
        assert!(
            matches!(error, DaemonError::Died { thread: WORKER, .. }),
            "{error}"
        );
        // The folder is free for the next start.
        device(folder.path()).stop().unwrap();
    }

    #[test]
    fn a_panic_is_told_and_named() {
        let (ends, told) = channel();
        let thread = spawn(WORKER, &ends, || panic!("kernel {}", 7)).unwrap();
        told.recv().unwrap();
        let error = join::<()>(WORKER, thread).unwrap_err().to_string();
        assert!(error.contains("kernel 7") && error.contains(WORKER), "{error}");
    }
}
