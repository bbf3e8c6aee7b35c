//! Twelve devices, each a process with its own state folder.

use crate::proxy::{Faults, Proxy};
use crate::roles::{Device, Role};
use anyhow::Context;
use sanderling_client::Client;
use sanderling_client::api::NewEnrolment;
use sanderling_daemon::AnswerLine;
use sanderling_drivers::{StateView, inspect};
use sanderling_wire::{DeviceId, EnrolmentString};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Devices of the fleet.
pub(crate) const DEVICES: usize = 12;

/// What befalls a device; the rest of the fleet lives in peace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Killed in the middle of a download.
    KilledInDownload,
    /// Killed in the middle of an activation.
    KilledInActivation,
    /// A download is damaged on its way.
    Corrupted,
    /// Its network is away for a while.
    CutOff,
    /// Nothing, but it asks the cloud when it is not sure.
    Cascade,
    /// Nothing.
    Peace,
}

/// Which fate is whose, by number.
pub(crate) fn fate(number: usize) -> Fate {
    match number {
        0 => Fate::KilledInDownload,
        1 => Fate::KilledInActivation,
        2 => Fate::Corrupted,
        3 => Fate::CutOff,
        4..=6 => Fate::Cascade,
        _ => Fate::Peace,
    }
}

/// A device of the story.
pub(crate) struct Member {
    pub(crate) number: usize,
    pub(crate) role: Device,
    pub(crate) proxy: Option<Proxy>,
    exe: PathBuf,
    folder: PathBuf,
    child: Option<Child>,
}

/// What the fleet is made with.
pub(crate) struct Recruiting<'a> {
    pub(crate) exe: &'a Path,
    pub(crate) folder: &'a Path,
    pub(crate) server: SocketAddr,
    pub(crate) factory: &'a Path,
    pub(crate) inputs: &'a [PathBuf],
    pub(crate) cloud: &'a str,
}

/// Enrols and starts all devices.
pub(crate) fn recruit(with: &Recruiting<'_>, client: &Client) -> anyhow::Result<Vec<Member>> {
    (0..DEVICES)
        .map(|number| Member::enrol(number, with, client))
        .collect()
}

impl Member {
    fn enrol(number: usize, with: &Recruiting<'_>, client: &Client) -> anyhow::Result<Self> {
        let folder = with.folder.join(format!("device-{:02}", number + 1));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let label = format!("device {}", number + 1);
        let made = client.create_enrolment(&NewEnrolment {
            label,
            ttl_s: Some(600),
        })?;
        let mut enrolment: EnrolmentString = made.enrolment.parse()?;
        let fate = fate(number);
        let behind_proxy = matches!(fate, Fate::KilledInDownload | Fate::Corrupted | Fate::CutOff);
        let proxy = behind_proxy.then(|| Proxy::start(with.server)).transpose()?;
        if let Some(proxy) = &proxy {
            enrolment.server = format!("http://{}", proxy.address);
        }
        let role = Device {
            state: folder.join("state"),
            enrolment: enrolment.to_string(),
            factory: with.factory.to_path_buf(),
            inputs: with.inputs.to_vec(),
            answers: folder.join("answers.jsonl"),
            cascade: (fate == Fate::Cascade).then(|| with.cloud.to_string()),
            // The doorbell's line does not go through the proxy: a device without network hears nothing.
            doorbell: fate != Fate::CutOff,
        };
        let mut member = Self {
            number,
            role,
            proxy,
            exe: with.exe.to_path_buf(),
            folder,
            child: None,
        };
        member.start()?;
        Ok(member)
    }

    pub(crate) fn name(&self) -> String {
        format!("device {}", self.number + 1)
    }

    pub(crate) fn faults(&self) -> Option<&Arc<Faults>> {
        self.proxy.as_ref().map(|proxy| &proxy.faults)
    }

    /// Starts the process; its log goes beside its state.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let role = self.folder.join("role.json");
        std::fs::write(&role, serde_json::to_vec(&Role::Device(self.role.clone()))?)?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("log.txt"))?;
        let child = Command::new(&self.exe)
            .args(["-v", "demo", "--role"])
            .arg(&role)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name()))?;
        self.child = Some(child);
        Ok(())
    }

    /// SIGKILL: what a power cut looks like to a process.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill.
            drop(child.kill());
            drop(child.wait());
        }
    }

    /// SIGTERM, and waits for the end: telemetry goes to the disk.
    pub(crate) fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        match pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::TERM)) {
            Some(Ok(())) => drop(child.wait()),
            _ => {
                drop(child.kill());
                drop(child.wait());
            }
        }
    }

    /// The state folder as it is now, from outside. None while it is being made.
    pub(crate) fn look(&self) -> Option<StateView> {
        inspect(&self.role.state).ok()
    }

    pub(crate) fn device(&self) -> Option<DeviceId> {
        self.look()?.device
    }

    /// All answers so far. A line that is being written is passed over.
    pub(crate) fn answers(&self) -> Vec<AnswerLine> {
        let Ok(file) = File::open(&self.role.answers) else {
            return Vec::new();
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        lines
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}
