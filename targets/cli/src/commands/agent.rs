//! `sanderling agent`.

use crate::commands::on_stop;
use crate::out::{Out, count};
use clap::Args;
use sanderling_daemon::settings::{Cascade, Inference, Inputs, Telemetry, Update, default_hardware};
use sanderling_daemon::{Daemon, Sessions, Settings};
use sanderling_drivers::StateView;
use sanderling_wire::{EnrolmentString, HardwareId};
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Run a device: keep its model up to date, answer files, fall back by itself.
#[derive(Args)]
#[command(
    after_help = "The first start needs the enrolment string that `sanderling device enrol` printed; it pins the fleet's roots.\n\n\
    Example:\n  sanderling agent --state /var/lib/sanderling --enrol sdl1:… --inputs /srv/inbox --answers /srv/answers.jsonl"
)]
pub(crate) struct Agent {
    /// State folder; made if need be. One agent at a time uses it.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Enrolment string; may be left out once the folder belongs to a fleet.
    #[arg(long, value_name = "STRING")]
    enrol: Option<EnrolmentString>,
    /// The kind of hardware, as the fleet's owner names it.
    #[arg(long, default_value_t = default_hardware(), value_name = "KIND")]
    hardware: HardwareId,
    /// Bundle to start from where the folder holds none: the factory image.
    #[arg(long, value_name = "BUNDLE")]
    factory: Option<PathBuf>,
    /// Folder whose files are answered, over and over, those that come later too; may be repeated.
    #[arg(long, value_name = "DIR")]
    inputs: Vec<PathBuf>,
    /// Milliseconds between two inputs.
    #[arg(long, default_value_t = 500, value_name = "MS")]
    every: u64,
    /// Seconds of a window of telemetry.
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    window: u64,
    /// File that answers are appended to, one JSON document a line.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// Open Inference Protocol v2 server for answers the device is not sure of.
    #[arg(long, value_name = "URL")]
    cascade: Option<String>,
    /// Confidence below which it is asked; by default the bundle's.
    #[arg(long, requires = "cascade", value_name = "0..1")]
    cascade_threshold: Option<f32>,
    /// Name of the model there; by default the bundle's.
    #[arg(long, requires = "cascade", value_name = "NAME")]
    cascade_model: Option<String>,
    /// File with the token it wants.
    #[arg(long, requires = "cascade", value_name = "FILE")]
    cascade_token_file: Option<PathBuf>,
    /// Bytes of images that may be downloaded a day.
    #[arg(long, value_name = "BYTES")]
    daily_budget: Option<u64>,
    /// Seconds that a new image is on trial at least.
    #[arg(long, value_name = "SECONDS")]
    trial_seconds: Option<u32>,
    /// Do not listen for the doorbell; poll only.
    #[arg(long)]
    no_doorbell: bool,
    /// Unix socket at which programs of this device ask its model, by the Open Inference Protocol v2.
    #[arg(long, value_name = "FILE")]
    socket: Option<PathBuf>,
    /// Address on loopback at which they ask.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Serialize)]
struct Started {
    device: String,
    state: PathBuf,
}

impl Agent {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        sanderling_heap::give_large_blocks_back();
        let state = self.state.clone();
        let enrolment = self.enrol.clone();
        let options = self.settings().options(enrolment, Sessions::default())?;
        let daemon = Daemon::start(options)?;
        let started = Started {
            device: daemon.device().to_string(),
            state,
        };
        out.print(&started, |s| {
            format!(
                "device {} with its state in {} (Ctrl-C ends)",
                s.device,
                s.state.display()
            )
        })?;
        let stopper = daemon.stopper();
        on_stop(move || stopper.stop())?;
        Ok(daemon.wait()?)
    }

    fn settings(self) -> Settings {
        let (threshold, model, token_file) = (
            self.cascade_threshold,
            self.cascade_model,
            self.cascade_token_file,
        );
        Settings {
            state: self.state,
            hardware: self.hardware,
            factory: self.factory,
            inputs: Inputs {
                folders: self.inputs,
                every_ms: self.every,
                answers: self.answers,
            },
            telemetry: Telemetry {
                window_seconds: self.window,
            },
            update: Update {
                daily_budget_bytes: self.daily_budget,
                trial_seconds: self.trial_seconds,
                doorbell: !self.no_doorbell,
            },
            cascade: self.cascade.map(|url| Cascade {
                url,
                threshold,
                model,
                token_file,
            }),
            inference: Inference {
                socket: self.socket,
                http: self.listen,
                ..Inference::default()
            },
            ..Settings::default()
        }
    }
}

/// `sanderling device inspect`.
pub(crate) fn inspect(state: &Path, out: &Out) -> anyhow::Result<()> {
    out.print(&sanderling_drivers::inspect(state)?, text)
}

fn text(view: &StateView) -> String {
    let mut text = format!("{}\n", view.folder.display());
    text += &format!(
        "agent      {}\n",
        if view.running { "running" } else { "not running" }
    );
    if let (Some(device), Some(server)) = (view.device, &view.server) {
        text += &format!("device     {device} of {server}\n");
    }
    match &view.serving {
        Some(at) => {
            text += &format!(
                "answers    from {} in slot {:?}{}\n",
                at.image.digest.short(),
                at.place,
                if view.trial.is_some() { ", on trial" } else { "" }
            )
        }
        None => text += "answers    nothing: no intact image; the agent will fetch one\n",
    }
    if let Some(standby) = view.standby {
        text += &format!("standby    {}\n", standby.short());
    }
    if let Some(outbox) = view.outbox {
        text += &format!("telemetry  {} to send\n", count(outbox.waiting, "record"));
    }
    for damage in &view.damage {
        text += &format!("DAMAGED    {damage}\n");
    }
    text
}
