//! Starting and stopping a device.

use crate::engine::Engine;
use crate::error::DaemonError;
use crate::feed::Feed;
use crate::log::AnswerLog;
use crate::worker::{CascadeOptions, Command, Pace, Parts, Worker};
use sanderling_bundle::FORMAT_MAJOR;
use sanderling_drivers::{DriverError, Handle, Host, Options};
use sanderling_session::{RUNTIME_VERSION, operators};
use sanderling_wire::{DeviceId, RuntimeInfo};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

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
}

/// Version of the integer numerics (docs/numerics.md) that this build computes by.
const NUMERICS: u16 = 1;

/// What this build can run, with a limit on a model's memory in bytes (0: not stated).
#[must_use]
pub fn runtime_info(memory_limit: u64) -> RuntimeInfo {
    RuntimeInfo {
        version: (
            RUNTIME_VERSION.major,
            RUNTIME_VERSION.minor,
            RUNTIME_VERSION.patch,
        ),
        numerics: NUMERICS,
        bundle_format: FORMAT_MAJOR,
        operators: operators(),
        memory_limit,
    }
}

/// A running device.
pub struct Daemon {
    device: DeviceId,
    handle: Handle,
    worker: Sender<Command>,
    agent_thread: JoinHandle<Result<(), DriverError>>,
    worker_thread: JoinHandle<()>,
}

impl Daemon {
    /// Starts agent and worker.
    ///
    /// # Errors
    /// [`DaemonError`].
    pub fn start(options: DaemonOptions) -> Result<Self, DaemonError> {
        let log = AnswerLog::open(options.answers.as_deref())?;
        let (worker, commands) = channel();
        let host = Host::open(
            options.agent,
            Engine {
                worker: worker.clone(),
            },
        )?;
        let (device, handle) = (host.device(), host.handle());
        let feed = Feed::of_folders(&options.inputs, &device.0)?;
        let mut head = [0; 8];
        head.copy_from_slice(&device.0[..8]);
        let parts = Parts {
            handle: handle.clone(),
            commands,
            feed,
            pace: options.pace,
            cascade: options.cascade,
            log,
            seed: u64::from_le_bytes(head),
        };
        let worker_thread = std::thread::Builder::new()
            .name("sanderling-serve".to_string())
            .spawn(move || Worker::new(parts).run())
            .map_err(|source| DaemonError::Io {
                path: "a thread that serves".into(),
                source,
            })?;
        let agent_thread = host.spawn()?;
        Ok(Self {
            device,
            handle,
            worker,
            agent_thread,
            worker_thread,
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

    /// Stops: counts what was answered, puts telemetry on the disk.
    ///
    /// # Errors
    /// [`DaemonError::Driver`] where the agent could not put its telemetry on the disk.
    pub fn stop(self) -> Result<(), DaemonError> {
        // The worker first: its last window goes to the agent. Either may have ended by itself.
        drop(self.worker.send(Command::Stop));
        drop(self.worker_thread.join());
        self.handle.stop();
        join(self.agent_thread)
    }
}

fn join(thread: JoinHandle<Result<(), DriverError>>) -> Result<(), DaemonError> {
    match thread.join() {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}
