//! Everything a plan rests on, in figures: the gates read, the devices counted.

use crate::UnixSeconds;
use crate::cohort::{Cohort, Standing};
use crate::gates::{HealthReading, agreement, health};
use crate::plan::{Assessment, StageReading};
use crate::planner::Input;
use crate::policy::SILENCE;

/// Reads the gates and counts the devices.
pub(crate) fn assess(input: &Input<'_>, cohort: &Cohort) -> Assessment {
    let policy = &input.rollout.policy;
    let limits = agreement::Limits {
        allowed: input.rollout.target.allowed_disagreement,
        margin: policy.margin,
        alpha: policy.alpha_of(policy.agreement_share),
        risk: policy.promotion_risk.fraction(),
        needed: (policy.min_inputs, policy.min_inputs_per_class),
    };
    let rows = input.assignments.rows();
    let recorded = rows.iter().filter(|r| r.silent_at.is_some()).count();
    let population = cohort.members.len();
    let on_target = cohort
        .members
        .iter()
        .filter(|m| m.standing == Standing::Target)
        .count();
    Assessment {
        population,
        on_target,
        on_base: population - on_target,
        excluded: cohort.excluded,
        sent_back: rows.iter().filter(|r| r.reverted_at.is_some()).count(),
        silent: recorded + cohort.newly_silent.len(),
        stage: read_stage(input, cohort),
        agreement: agreement::read(&input.evidence.paired, input.assignments.classes(), limits),
        health: read_health(input, cohort),
    }
}

/// Counts the devices of the current stage.
fn read_stage(input: &Input<'_>, cohort: &Cohort) -> StageReading {
    let (rollout, policy) = (input.rollout, &input.rollout.policy);
    let mut reading = StageReading {
        stage: rollout.stage,
        ..StageReading::default()
    };
    for member in cohort.members.iter().filter(|m| m.standing == Standing::Target) {
        let row = member.row().map(|at| &input.assignments.rows()[at]);
        let Some(row) = row.filter(|row| row.stage == rollout.stage) else {
            continue;
        };
        reading.assigned += 1;
        let device = &input.inventory.devices()[member.device as usize];
        if input.inventory.running(device) == Some(rollout.target.digest) {
            reading.running += 1;
            let since = device.running_since.max(row.target_at.unwrap_or(0));
            let dwelt = since.saturating_add(policy.dwell_s);
            reading.exposed += usize::from(device.last_seen >= dwelt);
        }
    }
    reading.needed = policy.min_exposed.of(reading.assigned);
    reading
}

/// Runs the health process of every metric, silence last.
fn read_health(input: &Input<'_>, cohort: &Cohort) -> Vec<HealthReading> {
    let (assignments, policy) = (input.assignments, &input.rollout.policy);
    let grid = &policy.hazard_ratios;
    let table = health::RiskTable::new(assignments);
    let mut readings = Vec::new();
    for metric in &policy.metrics {
        let listed = input.evidence.health.iter().find(|m| m.metric == metric.name);
        let failures = listed.map_or(&[][..], |m| &m.failures);
        let placed = failures
            .iter()
            .filter_map(|f| Some((assignments.position(f.device)?, f.at)));
        let run = table.read(assignments, placed, grid);
        readings.push(health::reading(&metric.name, &run, policy.alpha_of(metric.share)));
    }
    if let Some(silence) = &policy.silence {
        let rows = (0..).zip(assignments.rows());
        let mut silent: Vec<(usize, UnixSeconds)> =
            rows.filter_map(|(at, r)| Some((at, r.silent_at?))).collect();
        silent.extend(cohort.newly_silent.iter().map(|&at| (at, input.now)));
        silent.sort_unstable_by_key(|&(at, when)| (when, at));
        let run = table.read(assignments, silent.into_iter(), grid);
        readings.push(health::reading(SILENCE, &run, policy.alpha_of(silence.share)));
    }
    readings
}
