//! What a device is told: the keys of `agent.toml`, and what the flags of `sanderling agent` set.
//!
//! Plain data, as it was written; [`Settings::options`] is the one place where it becomes what a [`crate::Daemon`]
//! takes, for the command and for the daemon alike. Unknown keys are refused by their place.

use crate::daemon::{DaemonOptions, Sessions};
use crate::error::DaemonError;
use crate::worker::{CascadeOptions, Pace};
use sanderling_app::runtime_info;
use sanderling_drivers::Options;
use sanderling_serve::ServeOptions;
use sanderling_wire::{EnrolmentString, HardwareId};
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most bytes of a secret's file.
const MAX_SECRET: u64 = 1 << 20;
/// Longest time between two inputs, milliseconds: a day.
const MAX_INTERVAL: u64 = 86_400_000;
/// Fewest characters of a secret.
const MIN_SECRET: usize = 16;

/// All of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// State folder; made if need be.
    pub state: PathBuf,
    /// The kind of hardware, as the fleet's owner names it.
    pub hardware: HardwareId,
    /// File with the enrolment string. It is not needed any more once the state folder belongs to a fleet.
    pub enrolment_file: Option<PathBuf>,
    /// Bundle to start from where the state folder holds none.
    pub factory: Option<PathBuf>,
    /// What models run on: a word that the binary knows.
    pub backend: String,
    /// Threads a model computes with.
    pub threads: usize,
    /// Files that are answered by themselves.
    pub inputs: Inputs,
    /// What is told to the fleet.
    pub telemetry: Telemetry,
    /// How the device updates.
    pub update: Update,
    /// Where unsure answers go.
    pub cascade: Option<Cascade>,
    /// The API for the programs on this device.
    pub inference: Inference,
}

/// Files that are answered by themselves.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inputs {
    /// Folders whose files are answered, over and over, those that come later too.
    pub folders: Vec<PathBuf>,
    /// Milliseconds between two of them; at most a day.
    pub every_ms: u64,
    /// File that answers are appended to, one JSON document a line.
    pub answers: Option<PathBuf>,
}

/// What is told to the fleet.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Seconds of a window.
    pub window_seconds: u64,
}

/// How the device updates.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Update {
    /// Bytes of images that may be downloaded a day.
    pub daily_budget_bytes: Option<u64>,
    /// Seconds that a new image is on trial at least.
    pub trial_seconds: Option<u32>,
    /// Whether to listen for the doorbell; without it the device polls only.
    pub doorbell: bool,
}

/// Where unsure answers go.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cascade {
    /// Open Inference Protocol v2 server.
    pub url: String,
    /// Confidence below which it is asked; by default the bundle's.
    pub threshold: Option<f32>,
    /// Name of the model there; by default the bundle's.
    pub model: Option<String>,
    /// File with the token it wants.
    pub token_file: Option<PathBuf>,
}

/// The API for the programs on this device. Without a socket and an address there is none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inference {
    /// Unix socket, for the daemon's user and group.
    pub socket: Option<PathBuf>,
    /// Address on loopback.
    pub http: Option<SocketAddr>,
    /// File with the token that requests to the address must carry.
    pub http_token_file: Option<PathBuf>,
    /// Requests that may wait.
    pub queue: usize,
    /// Largest request, bytes.
    pub max_body_bytes: usize,
    /// Most bytes of requests at a time.
    pub max_bodies_bytes: usize,
    /// Seconds one request may take.
    pub timeout_seconds: u64,
    /// Connections at a time.
    pub connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            state: "/var/lib/sanderling".into(),
            hardware: default_hardware(),
            enrolment_file: None,
            factory: None,
            backend: "auto".to_string(),
            threads: 1,
            inputs: Inputs::default(),
            telemetry: Telemetry::default(),
            update: Update::default(),
            cascade: None,
            inference: Inference::default(),
        }
    }
}

impl Default for Inputs {
    fn default() -> Self {
        Self {
            folders: Vec::new(),
            every_ms: 500,
            answers: None,
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { window_seconds: 10 }
    }
}

impl Default for Update {
    fn default() -> Self {
        Self {
            daily_budget_bytes: None,
            trial_seconds: None,
            doorbell: true,
        }
    }
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            socket: None,
            http: None,
            http_token_file: None,
            queue: 16,
            max_body_bytes: 32 << 20,
            max_bodies_bytes: 64 << 20,
            timeout_seconds: 30,
            connections: 64,
        }
    }
}

/// What a device is called whose owner has named nothing: architecture and system.
#[must_use]
pub fn default_hardware() -> HardwareId {
    let name = format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS);
    HardwareId::new(&name)
        .expect("Rust's names of architectures and systems are lower-case letters, digits and '_'")
}

impl Settings {
    /// What a daemon takes. Reads the files of secrets; an enrolment string that is given goes before that of the file.
    ///
    /// # Errors
    /// [`DaemonError::Setting`] naming the key; [`DaemonError::Io`] for a file that cannot be read.
    pub fn options(
        self,
        enrolment: Option<EnrolmentString>,
        sessions: Sessions,
    ) -> Result<DaemonOptions, DaemonError> {
        let enrolment = match (enrolment, &self.enrolment_file) {
            (None, Some(file)) if file.exists() => Some(read_enrolment(file)?),
            (given, _) => given,
        };
        if self.inputs.every_ms > MAX_INTERVAL {
            return Err(DaemonError::Setting {
                key: "inputs.every_ms",
                message: format!("{} is more than a day, {MAX_INTERVAL}", self.inputs.every_ms),
            });
        }
        let inference = self.inference.options()?;
        let cascade = self.cascade.map(Cascade::options).transpose()?;
        let mut agent = Options::new(self.state, self.hardware, runtime_info(0));
        agent.enrolment = enrolment;
        agent.doorbell = self.update.doorbell;
        agent.files.factory = self.factory;
        if let Some(bytes) = self.update.daily_budget_bytes {
            agent.network.daily_budget = bytes;
        }
        if let Some(seconds) = self.update.trial_seconds {
            agent.trial.min_seconds = seconds;
        }
        Ok(DaemonOptions {
            agent,
            inputs: self.inputs.folders,
            pace: Pace {
                interval: Duration::from_millis(self.inputs.every_ms.max(1)),
                window: Duration::from_secs(self.telemetry.window_seconds.max(1)),
                ..Pace::default()
            },
            cascade,
            answers: self.inputs.answers,
            inference,
            sessions,
        })
    }
}

impl Cascade {
    fn options(self) -> Result<CascadeOptions, DaemonError> {
        if self.threshold.is_some_and(|share| !(0.0..=1.0).contains(&share)) {
            return Err(DaemonError::Setting {
                key: "cascade.threshold",
                message: "a confidence lies between 0 and 1".to_string(),
            });
        }
        Ok(CascadeOptions {
            token: self.token_file.as_deref().map(read_secret).transpose()?,
            url: self.url,
            model: self.model,
            threshold: self.threshold,
        })
    }
}

impl Inference {
    fn options(self) -> Result<Option<ServeOptions>, DaemonError> {
        if self.socket.is_none() && self.http.is_none() {
            return Ok(None);
        }
        if self.http.is_some_and(|address| !address.ip().is_loopback()) {
            return Err(DaemonError::Setting {
                key: "inference.http",
                message:
                    "this API is for programs on this device: give an address on loopback, as 127.0.0.1:8600"
                        .to_string(),
            });
        }
        Ok(Some(ServeOptions {
            address: self.http,
            socket: self.socket,
            token: self.http_token_file.as_deref().map(read_secret).transpose()?,
            queue: self.queue,
            max_body: self.max_body_bytes,
            max_bodies: self.max_bodies_bytes,
            timeout: Duration::from_secs(self.timeout_seconds.max(1)),
            connections: self.connections.max(1),
            ..ServeOptions::default()
        }))
    }
}

/// The enrolment string in a file that others must not read.
///
/// # Errors
/// [`DaemonError::Setting`], [`DaemonError::Io`].
pub fn read_enrolment(path: &Path) -> Result<EnrolmentString, DaemonError> {
    let refuse = |message: String| DaemonError::Setting {
        key: "enrolment_file",
        message: format!("{}: {message}", path.display()),
    };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let meta = std::fs::metadata(path).map_err(|source| io(path, source))?;
        if meta.mode() & 0o007 != 0 {
            return Err(refuse(
                "everybody on this machine may read or write it: chmod o= it, and enrol with a fresh string"
                    .to_string(),
            ));
        }
    }
    let text = read_secret(path)?;
    text.parse().map_err(|error| refuse(format!("{error}")))
}

/// A secret from a file: the first line, without the white space around it.
///
/// # Errors
/// [`DaemonError::Setting`], [`DaemonError::Io`].
pub fn read_secret(path: &Path) -> Result<String, DaemonError> {
    // It may come from a pipe, of a password store for example; what never ends is cut off.
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET).read_to_string(&mut text))
        .map_err(|source| io(path, source))?;
    match text.lines().next().map(str::trim) {
        Some(secret) if secret.len() >= MIN_SECRET => Ok(secret.to_string()),
        _ => Err(DaemonError::Setting {
            key: "a secret's file",
            message: format!(
                "{}: there have to be at least {MIN_SECRET} characters on the first line",
                path.display()
            ),
        }),
    }
}

fn io(path: &Path, source: std::io::Error) -> DaemonError {
    DaemonError::Io {
        path: path.to_path_buf(),
        source,
    }
}
