//! Processes of the story: the owner who signs, and the devices.
//!
//! Each is this same program, started with a file that says what to be. A device here differs from `sanderling agent`
//! in one thing: it accepts roots that say `demo`.

use anyhow::Context;
use sanderling_bundle::BundleView;
use sanderling_daemon::{CascadeOptions, Daemon, DaemonOptions, Pace, Sessions, runtime_info};
use sanderling_drivers::Options;
use sanderling_sign::{Expiries, ImageRepo, InitOptions, KeyFile, ReleaseSigners, init, os_random};
use sanderling_trust::{Release, Roots, UnixTime};
use sanderling_wire::{Digest, EnrolmentString, HardwareId};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a process of the story is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Role {
    Owner(Owner),
    Device(Device),
}

/// Makes keys and signs the bundles; lives for as long as that takes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) trust: PathBuf,
    pub(crate) bundles: Vec<PathBuf>,
}

/// One device.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) state: PathBuf,
    pub(crate) enrolment: String,
    pub(crate) factory: PathBuf,
    /// Empty: answers nothing and only delivers what waits.
    pub(crate) inputs: Vec<PathBuf>,
    pub(crate) answers: PathBuf,
    pub(crate) cascade: Option<String>,
    pub(crate) doorbell: bool,
}

/// Does what the file says.
///
/// # Errors
/// What the role's work says.
pub fn run_role(file: &Path) -> anyhow::Result<()> {
    let text = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    match serde_json::from_slice(&text).with_context(|| format!("{} says no role", file.display()))? {
        Role::Owner(owner) => owner.run(),
        Role::Device(device) => {
            sanderling_heap::give_large_blocks_back();
            device.run()
        }
    }
}

impl Owner {
    fn run(self) -> anyhow::Result<()> {
        let now = UnixTime(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
        let made = init(&self.trust, &InitOptions::demo(now), &mut os_random)?;
        let key = |role: &str| KeyFile::load(&made.offline.join(format!("{role}.key.json")));
        let (targets, snapshot) = (key("targets")?, key("snapshot")?);
        let mut repo = ImageRepo::open(&made.image)?;
        for path in &self.bundles {
            let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let manifest = BundleView::parse(&bytes)?.manifest()?;
            let release = Release {
                name: manifest.name.clone(),
                version: manifest.version.clone(),
                counter: manifest.release_counter,
                min_runtime: (
                    manifest.min_runtime.major,
                    manifest.min_runtime.minor,
                    manifest.min_runtime.patch,
                ),
                operators: Release::operators_digest(manifest.operators.iter().map(String::as_str)),
                allowed_disagreement_ppm: manifest.allowed_disagreement_ppm,
            };
            let name = format!("{}-{}.sdl", manifest.name, manifest.version);
            repo.add_target(&name, bytes.len() as u64, &Digest::of(&bytes), &release)?;
        }
        let expires = now.plus(86_400);
        let signers = ReleaseSigners {
            targets: &targets,
            snapshot: &snapshot,
        };
        repo.publish(
            signers,
            Expiries {
                targets: expires,
                snapshot: expires,
            },
        )?;
        Ok(())
    }
}

impl Device {
    fn run(self) -> anyhow::Result<()> {
        let mut agent = Options::new(&self.state, HardwareId::new("demo-device")?, runtime_info(0));
        agent.enrolment = Some(self.enrolment.parse::<EnrolmentString>()?);
        agent.roots = Roots::Demo;
        agent.doorbell = self.doorbell;
        agent.files.factory = Some(self.factory);
        // A minute is short: everything that waits on purpose waits less.
        agent.trial.min_seconds = 3;
        agent.trial.min_answers = 4;
        agent.trial.max_boots = 5;
        agent.network.chunk_len = 256 * 1024;
        agent.network.backoff_base_ms = 100;
        agent.network.backoff_max_ms = 1_000;
        agent.network.retry_refill_ms = 500;
        agent.network.message_timeout_s = 5;
        agent.network.chunk_timeout_s = 20;
        agent.network.max_check_in_s = 2;
        let cascade = self.cascade.map(|url| CascadeOptions {
            url,
            token: None,
            model: None,
            threshold: None,
        });
        let pace = Pace {
            window: Duration::from_secs(1),
            // With 64, two that differ by chance would hold the first stage for half a minute.
            remembered: 96,
            ..Pace::default()
        };
        let daemon = Daemon::start(DaemonOptions {
            agent,
            inputs: self.inputs,
            pace,
            cascade,
            answers: Some(self.answers),
            inference: None,
            sessions: Sessions::default(),
        })?;
        let stopper = daemon.stopper();
        // The pipe to the story ends with it: no device outlives a demo that was killed.
        let orphaned = stopper.clone();
        std::thread::Builder::new()
            .name("story".to_string())
            .spawn(move || {
                drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
                orphaned.stop();
            })?;
        // The first signal ends the device in good order; a second one finds nobody listening.
        ctrlc::set_handler(move || stopper.stop())?;
        Ok(daemon.wait()?)
    }
}
