//! Timelines: the ledger in words, a line for each thing that happened.

use super::Refusal;
use super::text::{ago, iso};
use crate::app::App;
use sanderling_store::ledger::Entry;
use sanderling_wire::RolloutId;

/// A moment: for people and for machines.
pub(super) struct When {
    pub(super) words: String,
    pub(super) iso: String,
}

impl When {
    pub(super) fn new(time: u64, now: u64) -> Self {
        Self {
            words: ago(time, now),
            iso: iso(time),
        }
    }
}

/// A line of a timeline.
pub(super) struct Line {
    pub(super) when: When,
    pub(super) text: String,
    /// Where it leads.
    pub(super) link: Option<String>,
}

/// The newest ledger entries in words, newest first: all of a rollout, or so many of all. A rollout's entries name its model
/// where `several` models share the timeline.
pub(super) async fn lines(
    app: &App,
    rollout: Option<RolloutId>,
    count: u64,
    several: bool,
) -> Result<Vec<Line>, Refusal> {
    let entries = match rollout {
        Some(id) => app.store.ledger(Some(id), 0, 1000).await?,
        None => {
            let head = app.store.heads().borrow().ledger;
            app.store.ledger(None, head.saturating_sub(count), 1000).await?
        }
    };
    let now = app.now();
    let mut lines: Vec<Line> = Vec::new();
    for entry in &entries {
        lines.extend(sentences(entry, several).into_iter().map(|text| Line {
            when: When::new(entry.at, now),
            text,
            link: entry.rollout.map(|id| format!("/rollouts/{id}")),
        }));
    }
    lines.reverse();
    Ok(lines)
}

/// An entry in words.
fn sentences(entry: &Entry, several: bool) -> Vec<String> {
    let body: serde_json::Value = serde_json::from_str(&entry.body).unwrap_or_default();
    let text = |field: &str| body[field].as_str().unwrap_or_default().to_owned();
    let listed = || {
        let list = body["sentences"].as_array().cloned().unwrap_or_default();
        list.into_iter()
            .filter_map(|sentence| sentence.as_str().map(str::to_owned))
    };
    let line = match entry.kind.as_str() {
        "rollout.planned" | "newcomers.recalled" if several && !text("name").is_empty() => {
            return listed()
                .map(|sentence| format!("{}: {sentence}", text("name")))
                .collect();
        }
        "rollout.planned" | "newcomers.recalled" | "newcomers.assigned" => return listed().collect(),
        "rollout.created" => format!(
            "{} starts rolling out {} {} over {}",
            text("operator"),
            text("name"),
            text("target_version"),
            text("base_version")
        ),
        "version.published" => format!(
            "{} publishes {} {}",
            text("operator"),
            text("name"),
            text("version")
        ),
        "fleet.frozen" => format!("{} freezes the fleet: {}", text("operator"), text("why")),
        "fleet.thawed" => format!("{} thaws the fleet", text("operator")),
        "device.decommissioned" => {
            let device: String = text("device").chars().take(8).collect();
            format!(
                "{} decommissions device {device}: {}",
                text("operator"),
                text("why")
            )
        }
        "alias.set" => format!(
            "{} sets the alias {}:{}",
            text("operator"),
            text("name"),
            text("alias")
        ),
        kind => kind.to_owned(),
    };
    vec![line]
}
