//! `sanderling rollout`.

use crate::commands::files;
use crate::commands::operator::{ServerArgs, ago, with_command};
use crate::commands::sign::release_of;
use crate::out::{Out, bytes};
use clap::{Args, Subcommand};
use sanderling_client::api::{LedgerView, NewRollout, RolloutView, VersionView, check_head, check_ledger};
use sanderling_client::{Client, Publish, RolloutCommand};
use sanderling_rollout::{Policy, Ppm, Stage};
use sanderling_wire::Digest;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// Longest time between two looks at a rollout.
const LOOK: Duration = Duration::from_secs(5);

/// Publish versions and roll them out.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sanderling rollout publish --bundle magika-2.sdl --repo trust/image\n  \
    sanderling rollout start magika@2 --base magika@1 --stages 1,25%,100%\n  sanderling rollout watch 1\n  sanderling rollout rollback 1 --why 'wrong labels'"
)]
pub(crate) struct Rollout {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Upload a signed bundle and its metadata.
    Publish {
        /// The bundle.
        #[arg(long, value_name = "FILE")]
        bundle: PathBuf,
        /// Folder of the image repository, with what `sanderling sign` wrote.
        #[arg(long, value_name = "DIR")]
        repo: PathBuf,
        /// The bundle's name there; by default made of its own name and version.
        #[arg(long)]
        name: Option<String>,
        /// The version it was made from: digest, name@version or name:alias.
        #[arg(long)]
        parent: Option<String>,
        /// Alias to point at it, such as champion; may be repeated.
        #[arg(long)]
        alias: Vec<String>,
    },
    /// List published versions.
    Versions,
    /// Point an alias at a version.
    Alias {
        /// The model's name.
        model: String,
        /// The alias, such as champion.
        alias: String,
        /// Digest, name@version or name:alias.
        version: String,
    },
    /// Start rolling a version out.
    Start(Start),
    /// List rollouts.
    List,
    /// Show a rollout with its evidence.
    Show {
        /// Its number.
        id: u64,
    },
    /// Follow a rollout until it ends: what is decided, and why it waits.
    ///
    /// With --json, JSON Lines: one object a line, as it happens. {"rollout": …} at the start and at the end, {"entry": …}
    /// for each entry of the ledger, {"waiting": […]} whenever the reasons to wait change; an empty list is none.
    Watch {
        /// Its number.
        id: u64,
    },
    /// Let a rollout stand still.
    Pause(Told),
    /// Let a paused rollout go on.
    Resume(Told),
    /// End a rollout; devices keep what they have.
    Abort(Told),
    /// End a rollout; devices that have the new version go back.
    Rollback(Told),
    /// Stop every rollout of the fleet.
    Freeze {
        /// Why; it goes into the ledger.
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
    },
    /// Let rollouts move again.
    Unfreeze {
        /// Why; it goes into the ledger.
        #[arg(long, default_value = "", value_name = "TEXT")]
        why: String,
    },
    /// Print the ledger, and check its chain of hashes where it is printed whole.
    ///
    /// The chain finds entries that were changed in the middle. It has no key: note the last line's hash elsewhere, and hand it
    /// to --head later, to find a ledger that was written anew or cut.
    Ledger {
        /// Only entries after this one.
        #[arg(long, default_value_t = 0, value_name = "N")]
        after: u64,
        /// Hash of an entry, noted before: the ledger must have it, and all before it be as it was then.
        #[arg(long, value_name = "HASH", conflicts_with = "after")]
        head: Option<Digest>,
    },
}

#[derive(Args)]
struct Told {
    /// The rollout's number.
    id: u64,
    /// Why; it goes into the ledger.
    #[arg(long, default_value = "", value_name = "TEXT")]
    why: String,
}

#[derive(Args)]
struct Start {
    /// What to roll out: digest, name@version or name:alias.
    target: String,
    /// What it replaces and a rollback goes back to; the model's champion where left out.
    #[arg(long)]
    base: Option<String>,
    /// Stages: numbers of devices or shares of the fleet, rising.
    #[arg(long, value_delimiter = ',', default_value = "1,25%,100%")]
    stages: Vec<Stage>,
    /// Seconds that each device runs the new version before it counts, at most a year [default: 3600].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(..=365 * 86_400))]
    dwell: Option<u64>,
    /// Distinct inputs that both versions must have answered before the first promotion [default: 50].
    #[arg(long, value_name = "N")]
    min_inputs: Option<u64>,
    /// Per cent by which the share of differing answers may exceed what the release's signed evaluation allows, at
    /// the upper end of what the evidence leaves open [default: 5].
    #[arg(long, value_name = "PERCENT")]
    margin: Option<f64>,
}

impl Start {
    fn request(self) -> anyhow::Result<NewRollout> {
        let mut policy = Policy {
            stages: self.stages,
            ..Policy::default()
        };
        if let Some(seconds) = self.dwell {
            policy.dwell_s = seconds;
        }
        if let Some(inputs) = self.min_inputs {
            policy.min_inputs = inputs;
        }
        if let Some(percent) = self.margin {
            anyhow::ensure!(
                (0.0..100.0).contains(&percent),
                "--margin is a share from 0 to 100 per cent, not {percent}"
            );
            // Checked to lie in 0..100: the product fits.
            policy.margin = Ppm((percent * 10_000.0).round() as u32);
        }
        Ok(NewRollout {
            target: self.target,
            base: self.base,
            policy,
        })
    }
}

impl Rollout {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        self.act(out).map_err(with_command)
    }

    fn act(self, out: &Out) -> anyhow::Result<()> {
        let client = self.server.client()?;
        match self.action {
            Action::Publish {
                bundle,
                repo,
                name,
                parent,
                alias,
            } => {
                let data = files::read(&bundle, files::MAX_BUNDLE)?;
                let (default_name, _) = release_of(&bundle, &data)?;
                let target = name.unwrap_or(default_name);
                let publish = Publish {
                    bundle: &bundle,
                    repo: &repo,
                    target: &target,
                    parent: parent.as_deref(),
                    aliases: &alias,
                };
                out.print(&client.publish(&publish)?, |version| {
                    format!("published {}", version_line(version))
                })
            }
            Action::Versions => out.print(&client.versions()?, |list| lines(list.iter().map(version_line))),
            Action::Alias {
                model,
                alias,
                version,
            } => out.print(&client.set_alias(&model, &alias, &version)?, |v| {
                format!("{alias} is {}", version_line(v))
            }),
            Action::Start(start) => out.print(&client.start_rollout(&start.request()?)?, rollout_text),
            Action::List => out.print(&client.rollouts()?, |list| lines(list.iter().map(rollout_line))),
            Action::Show { id } => out.print(&client.rollout(id)?, rollout_text),
            Action::Watch { id } => watch(&client, id, out),
            Action::Pause(told) => tell(&client, RolloutCommand::Pause, &told, out),
            Action::Resume(told) => tell(&client, RolloutCommand::Resume, &told, out),
            Action::Abort(told) => tell(&client, RolloutCommand::Abort, &told, out),
            Action::Rollback(told) => tell(&client, RolloutCommand::Rollback, &told, out),
            Action::Freeze { why } => out.print(&client.freeze(&why)?, |_| "the fleet is frozen".to_string()),
            Action::Unfreeze { why } => {
                out.print(&client.unfreeze(&why)?, |_| "rollouts may move again".to_string())
            }
            Action::Ledger { after, head } => {
                let entries = ledger(&client, after)?;
                out.print(&entries, |list| ledger_text(list))?;
                check(&entries, after, head)
            }
        }
    }
}

fn tell(client: &Client, command: RolloutCommand, told: &Told, out: &Out) -> anyhow::Result<()> {
    out.print(&client.command(told.id, command, &told.why)?, rollout_text)
}

/// The whole ledger after an entry.
fn ledger(client: &Client, mut after: u64) -> anyhow::Result<Vec<LedgerView>> {
    let mut entries = Vec::new();
    // Bounded by the ledger: each page ends at a greater sequence number, the last is empty.
    loop {
        let page = client.ledger(after, Duration::ZERO)?;
        if page.entries.is_empty() {
            break;
        }
        after = page.next;
        entries.extend(page.entries);
    }
    Ok(entries)
}

/// Checks a ledger that begins at its beginning: a later start has nothing to hold its first entry against.
fn check(entries: &[LedgerView], after: u64, head: Option<Digest>) -> anyhow::Result<()> {
    if after == 0 {
        check_ledger(entries)?;
    }
    if let Some(noted) = head {
        check_head(entries, noted)?;
    }
    Ok(())
}

/// The entries, and the head to note.
fn ledger_text(entries: &[LedgerView]) -> String {
    let mut text = lines(entries.iter().map(ledger_line));
    if let Some(head) = entries.last() {
        text += &format!("\n head  {}", head.hash);
    }
    text
}

/// A line of `watch --json`.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Rollout(&'a RolloutView),
    Entry(&'a LedgerView),
    Waiting(&'a [String]),
}

/// Why a rollout waits, told when it changes.
#[derive(Default)]
struct Waiting {
    told: Vec<String>,
}

impl Waiting {
    /// The reasons to wait, if they are others than those told last.
    fn news(&mut self, rollout: &RolloutView) -> Option<&[String]> {
        let paused = rollout.reason.iter().filter(|_| rollout.status == "paused");
        let now: Vec<String> = paused.chain(&rollout.holding).cloned().collect();
        if now == self.told {
            return None;
        }
        self.told = now;
        Some(&self.told)
    }
}

fn waiting_line(reasons: &[String]) -> String {
    if reasons.is_empty() {
        "       waits for nothing".to_string()
    } else {
        format!("       waits: {}", reasons.join("; "))
    }
}

/// Prints each ledger entry of a rollout as it comes, and why it waits, until the rollout has ended.
fn watch(client: &Client, id: u64, out: &Out) -> anyhow::Result<()> {
    let (mut after, mut waiting) = (0, Waiting::default());
    let rollout = client.rollout(id)?;
    out.line(&Line::Rollout(&rollout), || rollout_line(&rollout))?;
    loop {
        // Reasons change without an entry: they are looked at every few seconds.
        let page = client.ledger(after, LOOK)?;
        after = page.next;
        for entry in page
            .entries
            .iter()
            .filter(|entry| entry.rollout.is_some_and(|rollout| rollout.0 == id))
        {
            out.line(&Line::Entry(entry), || ledger_line(entry))?;
        }
        let rollout = client.rollout(id)?;
        if !matches!(rollout.status.as_str(), "running" | "paused" | "stopping") {
            return out.line(&Line::Rollout(&rollout), || rollout_text(&rollout));
        }
        if let Some(reasons) = waiting.news(&rollout) {
            out.line(&Line::Waiting(reasons), || waiting_line(reasons))?;
        }
    }
}

fn lines(list: impl Iterator<Item = String>) -> String {
    let text: Vec<String> = list.collect();
    if text.is_empty() {
        "none".to_string()
    } else {
        text.join("\n")
    }
}

fn version_line(version: &VersionView) -> String {
    let aliases = if version.aliases.is_empty() {
        String::new()
    } else {
        format!("  ({})", version.aliases.join(", "))
    };
    format!(
        "{}@{}  {}  {}  published {}{aliases}",
        version.name,
        version.version,
        version.digest.short(),
        bytes(version.length),
        ago(version.published_at)
    )
}

fn rollout_line(rollout: &RolloutView) -> String {
    format!(
        "{:>4}  {:<12} {} {} → {}  stage {} of {}  started {} by {}",
        rollout.id,
        rollout.status,
        rollout.model,
        rollout.base_label,
        rollout.target_label,
        usize::from(rollout.stage).min(rollout.stages.len().saturating_sub(1)) + 1,
        rollout.stages.len(),
        ago(rollout.started_at),
        rollout.created_by
    )
}

fn rollout_text(rollout: &RolloutView) -> String {
    let mut text = rollout_line(rollout) + "\n";
    let reason = rollout.reason.iter();
    for sentence in reason
        .chain(&rollout.holding)
        .chain(Some(&rollout.inference))
        .filter(|s| !s.is_empty())
    {
        text += &format!("      {sentence}\n");
    }
    text
}

fn ledger_line(entry: &LedgerView) -> String {
    let sentences = entry.body.get("sentences").and_then(|list| list.as_array());
    let words: Vec<&str> = sentences
        .into_iter()
        .flatten()
        .filter_map(|sentence| sentence.as_str())
        .collect();
    let what = if words.is_empty() {
        entry.kind.clone()
    } else {
        words.join("; ")
    };
    format!("{:>5}  {}  {what}", entry.seq, ago(entry.at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_they_are() {
        let line = serde_json::to_string(&Line::Waiting(&["0 inputs compared".to_string()])).unwrap();
        assert_eq!(line, r#"{"waiting":["0 inputs compared"]}"#);
        assert_eq!(waiting_line(&[]), "       waits for nothing");
        assert_eq!(waiting_line(&["a".into(), "b".into()]), "       waits: a; b");
    }

    #[test]
    fn reasons_to_wait_are_told_when_they_change() {
        let rollout = |status: &str, reason: Option<&str>, holding: &[&str]| {
            let digest = "0".repeat(64);
            let view = serde_json::json!({
                "id": 1, "model": "m", "status": status, "reason": reason, "target": digest, "target_label": "2",
                "base": digest, "base_label": "1", "stages": [], "stage": 0, "started_at": 0, "created_by": "ann",
                "holding": holding, "inference": "",
                "assessment": sanderling_rollout::Assessment::default(), "policy": Policy::default(),
            });
            serde_json::from_value::<RolloutView>(view).unwrap()
        };
        let mut waiting = Waiting::default();
        let mut news = |view: RolloutView| waiting.news(&view).map(<[String]>::to_vec);
        assert_eq!(news(rollout("running", None, &[])), None);
        let none_yet = ["0 inputs compared so far, 50 needed"];
        assert_eq!(
            news(rollout("running", None, &none_yet)),
            Some(none_yet.map(str::to_string).to_vec())
        );
        assert_eq!(news(rollout("running", None, &none_yet)), None);
        let paused = news(rollout(
            "paused",
            Some("paused by its operator (lunch)"),
            &none_yet,
        ))
        .unwrap();
        assert_eq!(paused.len(), 2);
        assert_eq!(
            news(rollout("running", Some("not a reason to wait"), &[])),
            Some(vec![])
        );
    }
}
