//! The planner: from state and evidence to a plan.
//!
//! What is common to all strategies is here, in the order of its weight: what stops a rollout, what keeps
//! it where it is, who is left out, who enters. Who is next, and when, is the strategy's part, which works on
//! a [`Draft`].

use crate::assignments::Assignments;
use crate::command::Freeze;
use crate::draft::Draft;
use crate::evidence::{DeviceEvent, Evidence};
use crate::inventory::Inventory;
use crate::plan::{Decision, HoldReason, Plan};
use crate::rollout::{Rollout, Status, StopReason};
use crate::{Error, PolicyFault, UnixSeconds, strategy};
use sanderling_wire::{Arm, DeviceId};
use std::collections::BTreeMap;

/// Everything a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What was decided so far, and the policy.
    pub rollout: &'a Rollout,
    /// Who got what.
    pub assignments: &'a Assignments,
    /// The fleet.
    pub inventory: &'a Inventory,
    /// What was counted since the rollout began.
    pub evidence: &'a Evidence,
    /// The fleet's emergency brake, while it is on.
    pub freeze: Option<&'a Freeze>,
    /// The server's clock. Where it is behind [`Rollout::updated_at`], that counts: a rollout's time never goes back.
    pub now: UnixSeconds,
}

/// What is to happen now.
///
/// The same input gives the same plan, whatever the order of the inventory. With the plan applied, planning
/// again with the same evidence at the same time gives a plan without decisions.
///
/// # Errors
/// [`Error::Evidence`] when evidence contradicts itself, [`Error::Policy`] when the rollout names an unknown strategy.
pub fn plan(input: &Input<'_>) -> Result<Plan, Error> {
    let mut draft = Draft::new(input);
    input.evidence.check(draft.input.now)?;
    match &input.rollout.status {
        Status::Completed | Status::RolledBack { .. } => {}
        Status::Stopped { reason } => draft.finish_stop(reason),
        Status::Paused { .. } => {
            draft.count_silence();
            draft.stop_on_evidence();
        }
        Status::Running => {
            draft.count_silence();
            if !draft.stop_on_evidence() {
                draft.go_on()?;
            }
        }
    }
    Ok(draft.into_plan())
}

/// How a rollout stands: the figures of a plan, and no decisions. For people to look at where [`plan`] refuses; evidence
/// that contradicts itself is left aside.
#[must_use]
pub fn standing(input: &Input<'_>) -> Plan {
    let none = Evidence::default();
    Draft::new(&trusting(input, &none)).into_plan()
}

/// The input, with `none` in place of evidence that contradicts itself.
pub(crate) fn trusting<'a>(input: &Input<'a>, none: &'a Evidence) -> Input<'a> {
    let sound = input.evidence.check(UnixSeconds::MAX).is_ok();
    Input {
        evidence: if sound { input.evidence } else { none },
        ..*input
    }
}

impl Draft<'_> {
    fn count_silence(&mut self) {
        let rows = self.input.assignments.rows();
        let devices: Vec<_> = self
            .cohort
            .newly_silent
            .iter()
            .map(|&at| rows[at].device)
            .collect();
        if !devices.is_empty() {
            self.push(Decision::Silent { devices });
        }
    }

    /// Stops, and rolls back where the policy says so and the fleet may move. Returns whether it stopped.
    fn stop_on_evidence(&mut self) -> bool {
        let Some(reason) = self.verdict() else {
            return false;
        };
        self.push(Decision::Stop {
            reason: reason.clone(),
        });
        self.recorded_hold.clear();
        self.finish_stop(&reason);
        true
    }

    /// A stop by evidence is finished by a rollback; an operator's stop leaves devices as they are.
    fn finish_stop(&mut self, reason: &StopReason) {
        if !self.policy().auto_rollback || matches!(reason, StopReason::Operator { .. }) {
            return;
        }
        if let Some(freeze) = self.input.freeze {
            self.hold(vec![HoldReason::FleetFrozen {
                why: freeze.why.clone(),
            }]);
            return;
        }
        let devices = self.devices_on_target();
        self.push(Decision::Rollback {
            reason: reason.clone(),
            devices,
        });
    }

    /// What stops the rollout, the hardest first.
    fn verdict(&self) -> Option<StopReason> {
        let assignments = self.input.assignments;
        let first = |events: &[DeviceEvent]| {
            let concerned = |event: &&DeviceEvent| {
                assignments
                    .get(event.device)
                    .is_some_and(|r| r.target_at.is_some_and(|at| at <= event.at))
            };
            events.iter().find(concerned).map(|event| event.device)
        };
        if let Some(device) = first(&self.input.evidence.self_test_failures) {
            return Some(StopReason::SelfTest { device });
        }
        if let Some(device) = first(&self.input.evidence.crash_loops) {
            return Some(StopReason::CrashLoop { device });
        }
        let agreement = &self.assessment.agreement;
        if agreement.stops() {
            let of_class = |class: &_| {
                agreement
                    .classes
                    .iter()
                    .find(|c| c.class == *class)
                    .map(|c| c.counts)
            };
            let counts = agreement
                .class
                .as_ref()
                .and_then(of_class)
                .unwrap_or(agreement.fleet);
            return Some(StopReason::Disagreement {
                inputs: counts.inputs,
                disagreements: counts.disagreements,
                allowed: (agreement.allowed.fraction() * counts.inputs as f64).round() as u64,
                class: agreement.class.clone(),
            });
        }
        let health = self.assessment.health.iter().find(|reading| reading.stops())?;
        let metric = health.metric.clone();
        Some(StopReason::Health {
            metric,
            target: health.target,
            control: health.control,
        })
    }

    /// A running rollout that nothing stops: people in, people out, then the strategy.
    fn go_on(&mut self) -> Result<(), Error> {
        let name = &self.policy().strategy;
        let strategy = strategy::find(name).ok_or_else(|| {
            let known = strategy::names();
            Error::Policy(PolicyFault::UnknownStrategy {
                name: name.clone(),
                known,
            })
        })?;
        if let Some(freeze) = self.input.freeze {
            self.hold(vec![HoldReason::FleetFrozen {
                why: freeze.why.clone(),
            }]);
            return Ok(());
        }
        self.enrol();
        if self.population() == 0 {
            self.hold(vec![HoldReason::NobodyEligible]);
            return Ok(());
        }
        strategy.decide(self);
        Ok(())
    }

    /// Leaves out who cannot take part, and lets everybody else enter in the control arm.
    fn enrol(&mut self) {
        for (reason, devices) in std::mem::take(&mut self.cohort.newly_excluded) {
            self.push(Decision::Exclude { reason, devices });
        }
        let devices = std::mem::take(&mut self.cohort.readmitted);
        if !devices.is_empty() {
            self.push(Decision::Readmit { devices });
        }
        let mut fresh: BTreeMap<u16, Vec<DeviceId>> = BTreeMap::new();
        for member in self.cohort.members.iter().filter(|m| m.row().is_none()) {
            let device = &self.input.inventory.devices()[member.device as usize];
            fresh.entry(member.class).or_default().push(device.id);
        }
        for (class, devices) in fresh {
            let (arm, stage) = (Arm::Control, self.stage());
            self.push(Decision::Assign {
                arm,
                stage,
                class,
                devices,
            });
        }
    }
}
