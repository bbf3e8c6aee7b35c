//! Stored things as operators see them.

use crate::api::{DeviceView, RolloutView, VersionView};
use crate::app::App;
use crate::executor::{self, Loaded};
use crate::problem::Problem;
use sanderling_rollout::{Assessment, Freeze, Inventory, Plan, Policy, Rollout, Status, plan, standing};
use sanderling_store::{Alias, DeviceRecord, RolloutRow, ServingTotals, Version};
use sanderling_wire::{DeviceId, Digest};
use std::collections::HashMap;

/// Versions and aliases, to name images by.
pub(crate) struct Names {
    pub(crate) versions: Vec<Version>,
    pub(crate) aliases: Vec<Alias>,
    by_digest: HashMap<Digest, String>,
}

impl Names {
    pub(crate) async fn read(app: &App) -> Result<Self, Problem> {
        let (versions, aliases) = (app.store.versions(1000).await?, app.store.aliases().await?);
        let named = |version: &Version| (version.digest, format!("{} {}", version.name, version.version));
        let by_digest = versions.iter().map(named).collect();
        Ok(Self {
            versions,
            aliases,
            by_digest,
        })
    }

    /// `magika v2`, where registered.
    pub(crate) fn of(&self, digest: Digest) -> Option<String> {
        self.by_digest.get(&digest).cloned()
    }

    /// `magika v2`, or the head of the digest.
    pub(crate) fn or_digest(&self, digest: Digest) -> String {
        self.of(digest).unwrap_or_else(|| digest.short())
    }

    /// Whether there are versions of more than one model.
    pub(crate) fn several_models(&self) -> bool {
        self.versions.windows(2).any(|pair| pair[0].name != pair[1].name)
    }

    pub(crate) fn aliases_of(&self, digest: Digest) -> Vec<String> {
        let of = self.aliases.iter().filter(|alias| alias.digest == digest);
        of.map(|alias| alias.alias.clone()).collect()
    }
}

/// A phase's name in the API: `SelfTest` is `self_test`.
pub(crate) fn phase_word(name: &str) -> String {
    let mut word = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.extend(c.to_lowercase());
    }
    word
}

/// A device for the API.
pub(crate) fn device_view(
    record: DeviceRecord,
    names: &Names,
    serving: Vec<(Digest, ServingTotals)>,
) -> DeviceView {
    let DeviceRecord {
        device,
        desired,
        state,
    } = record;
    let report = state.as_ref().map(|state| &state.report);
    let active = report.and_then(|report| report.active);
    let id: DeviceId = device.id;
    DeviceView {
        id,
        label: device.label,
        hardware: device.hardware,
        enrolled_at: device.enrolled_at,
        decommissioned_at: device.decommissioned_at,
        frozen: device.frozen,
        last_seen: state.as_ref().map(|state| state.last_seen),
        phase: report.map(|report| phase_word(&format!("{:?}", report.phase))),
        active: active.map(|active| active.digest),
        active_name: active.and_then(|active| names.of(active.digest)),
        confirmed: active.is_some_and(|active| active.confirmed),
        standby: report.and_then(|report| report.standby),
        desired: desired.map(|desired| desired.digest),
        rollout: desired.and_then(|desired| desired.rollout),
        arm: desired.and_then(|desired| desired.arm),
        left_out: None,
        director_version: state.as_ref().map_or(0, |state| state.director_version),
        incarnation: state.as_ref().map(|state| state.incarnation.to_string()),
        dropped_records: report.map_or(0, |report| report.dropped_records),
        serving: serving
            .into_iter()
            .map(|(digest, totals)| (digest.to_string(), totals))
            .collect(),
    }
}

/// A version for the API.
pub(crate) fn version_view(version: &Version, names: &Names) -> VersionView {
    VersionView {
        digest: version.digest,
        name: version.name.clone(),
        version: version.version.clone(),
        length: version.length,
        parent: version.parent,
        aliases: names.aliases_of(version.digest),
        metadata: serde_json::from_str(&version.metadata).unwrap_or_default(),
        published_at: version.published_at,
        published_by: version.published_by.clone(),
    }
}

/// Where a rollout stands, in a plan's words.
fn reason(made: &Plan, status: &Status) -> Option<String> {
    match status {
        Status::Paused { why } => Some(format!("paused by its operator ({why})")),
        Status::Stopped { reason } | Status::RolledBack { reason } => Some(format!(
            "{} {}: {}",
            made.target,
            status.word(),
            made.stop_reason(reason)
        )),
        _ => None,
    }
}

/// A rollout for the API: read, and looked at by the planner without carrying anything out. One that cannot be planned
/// is shown as it stands, with what keeps it.
pub(crate) fn rollout_view(loaded: &Loaded, inventory: &Inventory, freeze: Option<&Freeze>) -> RolloutView {
    let (made, holding) = executor::input(loaded, inventory, freeze, |input| match plan(input) {
        Ok(made) => {
            let reasons = made.holding.iter().map(|reason| made.hold_reason(reason));
            let reasons = reasons.collect();
            (made, reasons)
        }
        Err(error) => (standing(input), vec![format!("it cannot be planned: {error}")]),
    });
    let Rollout {
        id,
        target,
        base,
        policy,
        status,
        stage,
        started_at,
        ..
    } = &loaded.rollout;
    let stages = (0..policy.stages.len())
        .map(|stage| made.stage_name(stage as u16))
        .collect();
    RolloutView {
        id: *id,
        model: target.model.clone(),
        status: status.word().to_owned(),
        reason: reason(&made, status),
        target: target.digest,
        target_label: target.label.clone(),
        base: base.digest,
        base_label: base.label.clone(),
        stages,
        stage: *stage,
        started_at: *started_at,
        created_by: loaded.created_by.clone(),
        holding,
        inference: made.inference_bound(),
        assessment: made.assessment,
        policy: policy.clone(),
    }
}

/// A rollout of which no more than its row can be read.
pub(crate) fn unreadable_view(row: &RolloutRow, problem: &Problem) -> RolloutView {
    RolloutView {
        id: row.id,
        model: String::new(),
        status: row.status.clone(),
        reason: None,
        target: row.target,
        target_label: row.target.short(),
        base: row.base,
        base_label: row.base.short(),
        stages: Vec::new(),
        stage: 0,
        started_at: row.created_at,
        created_by: row.created_by.clone(),
        holding: vec![format!(
            "it cannot be read: {}; the server's log says why",
            problem.detail()
        )],
        inference: String::new(),
        assessment: Assessment::default(),
        policy: Policy::default(),
    }
}
