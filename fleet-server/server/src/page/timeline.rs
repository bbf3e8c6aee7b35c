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
    let texts = |field: &str| -> Vec<String> {
        let list = body[field].as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let line = match entry.kind.as_str() {
        "rollout.planned" | "newcomers.recalled" if several && !text("name").is_empty() => {
            return texts("sentences")
                .iter()
                .map(|sentence| format!("{}: {sentence}", text("name")))
                .collect();
        }
        "rollout.planned" | "newcomers.recalled" | "newcomers.assigned" => return texts("sentences"),
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
        "alias.set" => {
            // Entries of the first servers name the version by its digest alone.
            let version = match text("version") {
                version if version.is_empty() => text("digest").chars().take(8).collect(),
                version => version,
            };
            format!(
                "{} makes {version} the {} of {}",
                text("operator"),
                text("alias"),
                text("name")
            )
        }
        "alias.removed" => format!(
            "{} takes the alias {} from {}",
            text("operator"),
            text("alias"),
            text("name")
        ),
        "metadata.updated" => format!(
            "{} renews metadata of the {} repository: {}",
            text("operator"),
            text("repository"),
            texts("files").join(", ")
        ),
        // Of a later server: its name is all that is known of it.
        kind => kind.replace(['.', '_'], " "),
    };
    vec![line]
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_store::ledger::{GENESIS, NewEntry, chain};
    use serde_json::json;

    #[test]
    fn every_kind_of_entry_has_words() {
        let check = |kind: &str, body: serde_json::Value, words: &str| {
            let new = NewEntry {
                rollout: None,
                at: 0,
                kind: kind.to_owned(),
                body: body.to_string(),
            };
            assert_eq!(sentences(&chain(new, 1, GENESIS, GENESIS), false), [words]);
        };
        let alias = json!({ "operator": "ann", "name": "magika", "alias": "champion", "version": "v2", "digest": "ab" });
        check("alias.set", alias, "ann makes v2 the champion of magika");
        let old =
            json!({ "operator": "ann", "name": "magika", "alias": "champion", "digest": "0123456789ab" });
        check("alias.set", old, "ann makes 01234567 the champion of magika");
        let gone = json!({ "operator": "ann", "name": "magika", "alias": "champion" });
        check("alias.removed", gone, "ann takes the alias champion from magika");
        let renewed =
            json!({ "operator": "ann", "repository": "image", "files": ["2.root.json", "3.root.json"] });
        let words = "ann renews metadata of the image repository: 2.root.json, 3.root.json";
        check("metadata.updated", renewed, words);
        check("something.of_later", json!({}), "something of later");
    }
}
