//! `sanderling device`.

use crate::commands::operator::{ServerArgs, ago};
use crate::out::Out;
use clap::{Args, Subcommand};
use sanderling_client::api::{DeviceView, EventView, NewEnrolment};
use sanderling_wire::DeviceId;
use std::path::PathBuf;
use std::time::Duration;

/// Enrol, list and look into devices.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sanderling device enrol --label 'front door'     prints the enrolment string for one device\n  \
    sanderling device list\n  sanderling device inspect /var/lib/sanderling     on the device itself, whether its agent runs or not"
)]
pub(crate) struct Device {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an enrolment string for one device.
    Enrol {
        /// What to call it in lists.
        #[arg(long, default_value = "", value_name = "TEXT")]
        label: String,
        /// Seconds until it is refused unused.
        #[arg(long, value_name = "SECONDS")]
        ttl: Option<u64>,
    },
    /// List devices.
    List,
    /// Show a device.
    Show {
        /// Its id.
        id: DeviceId,
    },
    /// Show what a device reported.
    Events {
        /// Its id.
        id: DeviceId,
    },
    /// Take a device out of service for good.
    Decommission {
        /// Its id.
        id: DeviceId,
        /// Why; it goes into the ledger.
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
    },
    /// Read an agent's state folder on this machine.
    Inspect {
        /// The folder.
        state: PathBuf,
    },
}

impl Device {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        match &self.action {
            Action::Enrol { label, ttl } => {
                let enrolment = NewEnrolment {
                    label: label.clone(),
                    ttl_s: *ttl,
                };
                out.print(&self.server.client()?.create_enrolment(&enrolment)?, |made| {
                    made.enrolment.clone()
                })
            }
            Action::List => out.print(&self.server.client()?.devices()?, |list| {
                let rows: Vec<String> = list.iter().map(line).collect();
                if rows.is_empty() {
                    "none; `sanderling device enrol` makes an enrolment string".to_string()
                } else {
                    rows.join("\n")
                }
            }),
            Action::Show { id } => out.print(&self.server.client()?.device(*id)?, text),
            Action::Events { id } => {
                let events = self.server.client()?.events(0, Some(*id), Duration::ZERO)?.events;
                out.print(&events, |list| {
                    list.iter().map(event_line).collect::<Vec<_>>().join("\n")
                })
            }
            Action::Decommission { id, why } => out
                .print(&self.server.client()?.decommission(*id, why)?, |d| {
                    format!("{} is out of service", d.id)
                }),
            Action::Inspect { state } => crate::commands::agent::inspect(state, out),
        }
    }
}

fn line(device: &DeviceView) -> String {
    let image = device
        .active_name
        .clone()
        .or(device.active.map(|digest| digest.short()))
        .unwrap_or("nothing".to_string());
    let seen = device
        .last_seen
        .map_or("never seen".to_string(), |at| format!("seen {}", ago(at)));
    let phase = if device.decommissioned_at.is_some() {
        "decommissioned"
    } else {
        device.phase.as_deref().unwrap_or("new")
    };
    format!(
        "{}  {:<14} {:<12} answers from {image:<16} {seen}",
        device.id, device.hardware, phase
    )
}

fn text(device: &DeviceView) -> String {
    let mut text = line(device) + "\n";
    if let (Some(rollout), Some(arm)) = (device.rollout, device.arm) {
        text += &format!("rollout {rollout}, {arm:?} arm\n");
    }
    if let Some(why) = &device.left_out {
        text += &format!("{why}\n");
    }
    for (image, totals) in &device.serving {
        text += &format!(
            "answers from {image}: {}\n",
            serde_json::to_string(totals).unwrap_or_default()
        );
    }
    text
}

fn event_line(event: &EventView) -> String {
    let kind = serde_json::to_value(event.kind)
        .ok()
        .and_then(|v| v.as_str().map(str::to_string))
        .unwrap_or_default();
    let image = event
        .image
        .map_or(String::new(), |digest| format!(" {}", digest.short()));
    format!("{:<14} {kind}{image}  {}", ago(event.at), event.detail)
}
