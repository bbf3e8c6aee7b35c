//! Newcomers: devices that no rollout reached are told to run their model's champion, and called back with it.
//!
//! Who they are is the planner's decision ([`sanderling_rollout::newcomers`]); here is what it needs to know, and what follows.
//! A look for them costs a few small queries where there is nobody: the fleet as a whole is never read for it.

use crate::app::App;
use crate::executor::{self, State};
use crate::operator::rollouts::parse_release;
use crate::problem::Problem;
use crate::title::CHAMPION;
use sanderling_rollout::{Arm, Assignments, Champion, Freeze, Release, Rollout, Welcome, newcomers};
use sanderling_store::{Change, Desired, DeviceRecord, FleetRow, Mode, RolloutRow, ledger::NewEntry};
use sanderling_wire::{DeviceId, Digest};
use serde_json::json;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// When to look for newcomers: at a look at the rollouts, but not at each.
pub(crate) struct Search {
    every: Duration,
    last: Option<Instant>,
    /// Whether a look has gone by without one.
    owed: bool,
    /// Champions that cannot be read, so that each is told once.
    unreadable: HashSet<Digest>,
}

impl Search {
    pub(crate) fn every(every: Duration) -> Self {
        Self {
            every,
            last: None,
            owed: false,
            unreadable: HashSet::new(),
        }
    }

    /// Whether it is time; if so, it is taken as done.
    pub(crate) fn is_due(&mut self) -> bool {
        self.owed = self.last.is_some_and(|last| last.elapsed() < self.every);
        if !self.owed {
            self.last = Some(Instant::now());
        }
        !self.owed
    }

    /// How long to wait for the next look: `longest`, but no longer than a search is owed.
    pub(crate) fn wait(&self, longest: Duration) -> Duration {
        match self.last {
            Some(last) if self.owed => longest.min(self.every.saturating_sub(last.elapsed())),
            _ => longest,
        }
    }
}

/// Tells newcomers what to run. Called with no other operation under way.
pub(crate) async fn welcome(
    app: &App,
    live: &[RolloutRow],
    freeze: Option<&Freeze>,
    search: &mut Search,
) -> Result<(), Problem> {
    let champions = champions(app, live, &mut search.unreadable).await?;
    if !champions.iter().any(Champion::welcomes) {
        return Ok(());
    }
    let rows = app.store.newcomers(CHAMPION).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let inventory = executor::inventory_of(app, rows).await?;
    let now = app.now();
    for welcome in newcomers(&inventory, &champions, freeze) {
        app.store.commit(changes(&welcome, now)).await?;
        app.doorbell.ring(&welcome.devices);
    }
    Ok(())
}

/// Why a device in service is told nothing new, in words; none where nothing keeps it.
pub(crate) async fn left_out(app: &App, device: &DeviceRecord) -> Result<Option<String>, Problem> {
    let id = device.device.id;
    if device.device.decommissioned_at.is_some() {
        return Ok(None);
    }
    let live = app.store.live_rollouts().await?;
    for row in &live {
        let state: State = serde_json::from_str(&row.state)
            .map_err(|error| Problem::internal("reading a rollout", &error))?;
        let group = state.excluded.iter().find(|group| group.devices.contains(&id));
        if let Some(group) = group {
            let why = group.reason.words(&state.rollout.target.label);
            return Ok(Some(format!("it is left out of rollout {}: {why}", row.id)));
        }
    }
    let Some(state) = device.state.as_ref().filter(|_| device.desired.is_none()) else {
        return Ok(None);
    };
    let runtime = &state.report.runtime;
    let row = FleetRow {
        device: id,
        hardware: device.device.hardware.clone(),
        frozen: device.device.frozen,
        runtime: Digest::of(&sanderling_wire::encode(runtime)),
        active: state.report.active.map(|active| active.digest),
        active_since: 0,
        last_seen: state.last_seen,
        told: None,
    };
    let inventory = executor::inventory_of(app, vec![row]).await?;
    let champions = champions(app, &live, &mut HashSet::new()).await?;
    Ok(sanderling_rollout::left_out(&inventory, &champions, id))
}

/// The champion of each model that has one. One that cannot be read keeps no other model's newcomers; it is told once.
async fn champions(
    app: &App,
    live: &[RolloutRow],
    unreadable: &mut HashSet<Digest>,
) -> Result<Vec<Champion>, Problem> {
    let mut contested = HashSet::new();
    for row in live {
        let target = app.store.version(row.target).await?;
        contested.extend(target.map(|version| version.name));
    }
    let mut champions = Vec::new();
    for alias in app.store.aliases().await? {
        if alias.alias != CHAMPION {
            continue;
        }
        let Some(version) = app.store.version(alias.digest).await? else {
            continue;
        };
        match parse_release(&version) {
            Ok(release) => champions.push(Champion {
                release,
                proven: app.store.is_proven(alias.digest).await?,
                contested: contested.contains(&version.name),
            }),
            Err(error) => {
                if unreadable.insert(alias.digest) {
                    let (model, version) = (version.name, version.version);
                    tracing::error!(%error, model, version, "a champion cannot be read: its newcomers are told nothing");
                }
            }
        }
    }
    Ok(champions)
}

/// A welcome as changes: the devices are in no rollout, and so in no arm of one.
fn changes(welcome: &Welcome<'_>, now: u64) -> Vec<Change> {
    let Release {
        label, model, digest, ..
    } = welcome.champion;
    let desired = Desired {
        digest: *digest,
        rollout: None,
        arm: None,
        mode: Mode::Activate,
        since: now,
    };
    let body = json!({ "name": model, "target": label, "digest": digest, "devices": welcome.devices,
        "sentences": [welcome.sentence()] });
    vec![
        Change::Desire {
            devices: welcome.devices.clone(),
            desired: Some(desired),
        },
        Change::Ledger(NewEntry {
            rollout: None,
            at: now,
            kind: "newcomers.assigned".into(),
            body: body.to_string(),
        }),
    ]
}

/// Who was told to run a rollout's target without being in it: newcomers. Not those of `moved`, who go back already, nor
/// those whom a later rollout has taken over.
pub(crate) async fn latecomers(
    app: &App,
    rollout: &Rollout,
    assignments: &Assignments,
    moved: &[DeviceId],
) -> Result<Vec<DeviceId>, Problem> {
    let moved: HashSet<&DeviceId> = moved.iter().collect();
    let mut devices = app.store.told(rollout.target.digest).await?;
    devices.retain(|device| !moved.contains(device) && !assignments.is_taken(*device));
    Ok(devices)
}

/// A completed rollout is rolled back: its latecomers go back as well.
pub(crate) fn recall(rollout: &Rollout, devices: &[DeviceId], now: u64) -> Vec<Change> {
    if devices.is_empty() {
        return Vec::new();
    }
    let desired = Desired {
        digest: rollout.base.digest,
        rollout: Some(rollout.id),
        arm: Some(Arm::Control),
        mode: Mode::Restore,
        since: now,
    };
    let who = match devices.len() {
        1 => "1 device that came to it later goes".to_owned(),
        n => format!("{n} devices that came to it later go"),
    };
    let sentence = format!(
        "{who} back from {} to {}",
        rollout.target.label, rollout.base.label
    );
    let body = json!({ "name": rollout.target.model, "target": rollout.base.label, "digest": rollout.base.digest,
        "devices": devices, "sentences": [sentence] });
    vec![
        Change::Desire {
            devices: devices.to_vec(),
            desired: Some(desired),
        },
        Change::Ledger(NewEntry {
            rollout: Some(rollout.id),
            at: now,
            kind: "newcomers.recalled".into(),
            body: body.to_string(),
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_that_is_owed_is_waited_for() {
        let (hour, ten) = (Duration::from_secs(3600), Duration::from_secs(10));
        let mut search = Search::every(hour);
        assert!(search.is_due());
        assert_eq!(search.wait(ten), ten);
        assert!(!search.is_due());
        assert_eq!(search.wait(ten), ten);
        assert!(search.wait(2 * hour) <= hour);
        let mut search = Search::every(Duration::ZERO);
        assert!(search.is_due() && search.is_due());
    }
}
