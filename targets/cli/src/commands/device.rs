//! `sanderling device`.

use crate::commands::operator::{ServerArgs, ago, with_command};
use crate::out::{Out, count};
use anyhow::bail;
use clap::{Args, Subcommand};
use sanderling_client::Client;
use sanderling_client::api::{DeviceView, EventView, NewEnrolment};
use sanderling_wire::DeviceId;
use std::path::PathBuf;
use std::time::Duration;

/// Digits of an id that stand for it, at least.
const MIN_DIGITS: usize = 4;
/// Devices that are listed where a word means several.
const CANDIDATES: usize = 10;

/// Enrol, list and look into devices.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sanderling device enrol --label 'front door'     prints the enrolment string for one device\n  \
    sanderling device list\n  sanderling device show 3fa9\n  sanderling device events 'front door'\n  \
    sanderling device inspect /var/lib/sanderling     on the device itself, whether its agent runs or not"
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
        /// Its id, the first digits of it (4 or more), or its label.
        device: String,
    },
    /// Show what a device reported.
    Events {
        /// Its id, the first digits of it (4 or more), or its label.
        device: String,
    },
    /// Take a device out of service for good.
    Decommission {
        /// Its id, the first digits of it (4 or more), or its label.
        device: String,
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
        self.act(out).map_err(with_command)
    }

    fn act(self, out: &Out) -> anyhow::Result<()> {
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
            Action::Show { device } => {
                let client = self.server.client()?;
                out.print(&client.device(find(&client, device)?)?, text)
            }
            Action::Events { device } => {
                let client = self.server.client()?;
                let id = find(&client, device)?;
                let events = client.events(0, Some(id), Duration::ZERO)?.events;
                out.print(&events, |list| {
                    list.iter().map(event_line).collect::<Vec<_>>().join("\n")
                })
            }
            Action::Decommission { device, why } => {
                let client = self.server.client()?;
                let id = find(&client, device)?;
                out.print(&client.decommission(id, why)?, |d| {
                    format!("{}{} is out of service for good", d.id, labelled(&d.label))
                })
            }
            Action::Inspect { state } => crate::commands::agent::inspect(state, out),
        }
    }
}

/// The device that a word means.
fn find(client: &Client, word: &str) -> anyhow::Result<DeviceId> {
    match word.parse() {
        Ok(id) => Ok(id),
        Err(_) => choose(&client.devices()?, word),
    }
}

/// The one device whose id begins with a word, or whose label it is. Those in service go before those that are not.
fn choose(devices: &[DeviceView], word: &str) -> anyhow::Result<DeviceId> {
    let digits = word.to_ascii_lowercase();
    let is_prefix = digits.len() >= MIN_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let meant = |device: &&DeviceView| {
        (is_prefix && device.id.to_string().starts_with(&digits))
            || (!device.label.is_empty() && device.label == word)
    };
    let all: Vec<&DeviceView> = devices.iter().filter(meant).collect();
    let in_service = || all.iter().filter(|device| device.decommissioned_at.is_none());
    if let [one] = all[..] {
        return Ok(one.id);
    }
    if let (Some(one), 1) = (in_service().next(), in_service().count()) {
        return Ok(one.id);
    }
    if all.is_empty() {
        bail!(
            "no device has the id or the label '{word}'; give its id, {MIN_DIGITS} or more of the id's first digits, or \
             its label, as `sanderling device list` shows them"
        );
    }
    let mut rows: Vec<String> = all.iter().take(CANDIDATES).map(|device| line(device)).collect();
    if all.len() > CANDIDATES {
        rows.push(format!("and {} more", all.len() - CANDIDATES));
    }
    bail!(
        "'{word}' may be any of {}; give more of the id:\n  {}",
        count(all.len() as u64, "device"),
        rows.join("\n  ")
    )
}

fn labelled(label: &str) -> String {
    if label.is_empty() {
        String::new()
    } else {
        format!(" ({label})")
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
        "{}  {:<14} {:<14} {:<12} answers from {image:<16} {seen}",
        device.id, device.label, device.hardware, phase
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn device(id: &str, label: &str, decommissioned_at: Option<u64>) -> DeviceView {
        serde_json::from_value(json!({
            "id": format!("{id:0<32}"), "label": label, "hardware": "pi4", "enrolled_at": 1,
            "decommissioned_at": decommissioned_at, "frozen": false, "confirmed": false, "director_version": 0,
            "dropped_records": 0, "serving": {},
        }))
        .unwrap()
    }

    #[test]
    fn a_device_goes_by_its_first_digits_or_its_label() {
        let devices = [
            device("abcd1", "front door", None),
            device("abcd2", "back door", None),
            device("beef1", "back door", Some(7)),
            device("beef2", "", None),
            device("cafe1", "beef", None),
            device("dead1", "gate", Some(7)),
            device("dead2", "gate", Some(8)),
        ];
        let found = |word: &str| {
            choose(&devices, word)
                .map(|id| id.to_string())
                .unwrap_or_default()
        };
        for (word, id) in [
            ("abcd1", "abcd1"),
            ("ABCD2", "abcd2"),
            ("front door", "abcd1"),
            // The one that is in service.
            ("back door", "abcd2"),
            ("beef1", "beef1"),
            ("dead1", "dead1"),
        ] {
            assert_eq!(found(word), format!("{id:0<32}"), "{word}");
        }
        for (word, said) in [
            ("abcd", "abcd2"),
            ("beef", "cafe1"),
            ("gate", "dead2"),
            ("abc", "4 or more"),
            ("front", "device list"),
            ("", "device list"),
        ] {
            let error = choose(&devices, word).unwrap_err().to_string();
            assert!(error.contains(said), "{word}: {error}");
        }
    }
}
