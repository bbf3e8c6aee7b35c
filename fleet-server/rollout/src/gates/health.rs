//! Device health: do devices on the target fail sooner than those on the base?
//!
//! The unit is a device, by its first failure only: a device that fails a thousand times is one device. At each
//! failure, look at the devices of the same hardware class that were at risk just before it. If the target is no worse,
//! the one that fails is on the target with probability at most π, the target's share among them. If the target's
//! devices fail ρ times as often, that probability is ρπ / (1 − π + ρπ). Their ratio, ρ^x / (1 − π + ρπ) with x = 1 for a
//! failure on the target and 0 for one on the base, is multiplied over all failures, and averaged over a grid of ρ > 1:
//! the safe logrank test (Grünwald, Ly, Pérez-Ortiz, ter Schure, arXiv 2011.06931), one-sided, stratified by class.
//!
//! One process runs for the whole rollout. Stages only change π from one failure to the next, and that is in the
//! formula, so that growing the rollout neither resets nor biases it. Time is from entering the rollout, in both arms
//! (intent to treat): a device counts with the arm it was assigned, whether or not it has installed anything.

use super::{ln_sum_exp, told};
use crate::UnixSeconds;
use crate::assignments::{Assignment, Assignments};
use crate::policy::HazardRatio;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one metric says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HealthReading {
    /// The metric.
    pub metric: String,
    /// Devices that failed while on the target.
    pub target: u64,
    /// Devices that failed while on the base.
    pub control: u64,
    /// ln of the e-value.
    pub ln_e: f64,
    /// Stops at this: ln(1/α) for the metric's share of α.
    pub ln_stop: f64,
}

impl HealthReading {
    /// Whether the target is stopped.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.ln_e >= self.ln_stop
    }

    /// Whether promotion waits: half way to a stop, on the scale of evidence.
    #[must_use]
    pub fn leans(&self) -> bool {
        self.ln_e >= self.ln_stop / 2.0
    }
}

/// The process itself: E = Σⱼ wⱼ Πᵢ ρⱼ^xᵢ / (1 − πᵢ + ρⱼ πᵢ).
#[derive(Clone, Debug)]
pub struct SafeLogrank {
    /// (ρ, ln of weight × product so far).
    terms: Vec<(f64, f64)>,
}

impl SafeLogrank {
    /// Starts at E = 1. Weights are normalised.
    #[must_use]
    pub fn new(grid: &[HazardRatio]) -> Self {
        let total: f64 = grid.iter().map(|r| r.weight).sum();
        Self {
            terms: grid.iter().map(|r| (r.ratio, (r.weight / total).ln())).collect(),
        }
    }

    /// Counts one failure: on the target or not, with so many devices of either arm at risk just before it,
    /// the failing one included.
    pub fn failure(&mut self, on_target: bool, target_at_risk: u64, control_at_risk: u64) {
        let all = target_at_risk + control_at_risk;
        if all == 0 {
            return;
        }
        let share = target_at_risk as f64 / all as f64;
        for (ratio, ln) in &mut self.terms {
            let gain = if on_target { ratio.ln() } else { 0.0 };
            *ln += gain - (1.0 - share + *ratio * share).ln();
        }
    }

    /// ln E.
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        ln_sum_exp(self.terms.iter().map(|(_, ln)| *ln))
    }
}

/// The moment from which entering or being moved counts. A plan made in a second rests on the failures committed in
/// it, so these came first, with the device where it was: carrying the plan out must not change what it has counted.
fn after_events(moved: UnixSeconds) -> UnixSeconds {
    moved.saturating_add(1)
}

/// Devices that come to be at risk, or cease to, at one moment.
#[derive(Clone, Copy, Default)]
struct Change {
    target: i64,
    control: i64,
}

/// When devices entered which arm, for each class: rebuilt from the assignments once per plan.
///
/// Assignments are made in few batches, so the moments are few however large the fleet is.
pub(crate) struct RiskTable {
    classes: Vec<BTreeMap<UnixSeconds, Change>>,
}

impl RiskTable {
    pub(crate) fn new(assignments: &Assignments) -> Self {
        let mut table = Self {
            classes: vec![BTreeMap::new(); assignments.classes().len()],
        };
        for row in assignments.rows() {
            table.shift(row, 1, None);
        }
        table
    }

    /// Adds (`sign` 1) or takes back (−1) a row's changes, all of them or those later than `after`.
    fn shift(&mut self, row: &Assignment, sign: i64, after: Option<UnixSeconds>) {
        let moments = &mut self.classes[usize::from(row.class)];
        let mut change = |at: Option<UnixSeconds>, target: i64, control: i64| {
            if let Some(at) = at.filter(|&at| after.is_none_or(|after| at > after)) {
                let change = moments.entry(at).or_default();
                change.target += sign * target;
                change.control += sign * control;
            }
        };
        change(Some(after_events(row.enrolled_at)), 0, 1);
        change(row.target_at.map(after_events), 1, -1);
        change(row.reverted_at.map(after_events), -1, 0);
    }

    /// Runs the process over first failures, given as positions of rows and times, in order of time. Failures of
    /// devices that are not at risk then (not yet entered, sent back, failed before) are passed over.
    pub(crate) fn read(
        &self,
        assignments: &Assignments,
        failures: impl Iterator<Item = (usize, UnixSeconds)>,
        grid: &[HazardRatio],
    ) -> (SafeLogrank, u64, u64) {
        let mut future = Self {
            classes: self.classes.clone(),
        };
        let mut now = vec![Change::default(); self.classes.len()];
        let mut failed = vec![false; assignments.rows().len()];
        let mut process = SafeLogrank::new(grid);
        let (mut target, mut control) = (0, 0);
        for (position, at) in failures {
            let row = &assignments.rows()[position];
            let past = |moved: Option<UnixSeconds>| moved.is_some_and(|moved| after_events(moved) <= at);
            if failed[position] || !past(Some(row.enrolled_at)) || past(row.reverted_at) {
                continue;
            }
            failed[position] = true;
            let class = usize::from(row.class);
            let risk = &mut now[class];
            while let Some(moment) = future.classes[class].first_entry().filter(|m| *m.key() <= at) {
                let change = moment.remove();
                risk.target += change.target;
                risk.control += change.control;
            }
            let on_target = past(row.target_at);
            let count = |devices: i64| u64::try_from(devices).unwrap_or(0);
            process.failure(on_target, count(risk.target), count(risk.control));
            let (side, devices) = if on_target {
                (&mut target, &mut risk.target)
            } else {
                (&mut control, &mut risk.control)
            };
            *side += 1;
            *devices -= 1;
            future.shift(row, -1, Some(at));
        }
        (process, target, control)
    }
}

/// A metric's reading from its process.
pub(crate) fn reading(metric: &str, run: &(SafeLogrank, u64, u64), alpha: f64) -> HealthReading {
    HealthReading {
        metric: metric.into(),
        target: run.1,
        control: run.2,
        ln_e: told(run.0.ln_e()),
        ln_stop: -alpha.ln(),
    }
}
