//! The planner: from state and evidence to a plan.
//!
//! What is common to all strategies is here, in the order of its weight: what stops a rollout, what keeps
//! it where it is, who is left out, who enters. Who is next, and when, is the strategy's part, which works on
//! a [`Draft`].

use crate::assignments::Assignments;
use crate::cohort::{Cohort, Standing};
use crate::command::Freeze;
use crate::evidence::{DeviceEvent, Evidence};
use crate::gates::{agreement, health};
use crate::inventory::{Device, Inventory};
use crate::order::{self, Entrant};
use crate::plan::{Assessment, Decision, HoldReason, Plan, StageReading};
use crate::policy::{Policy, SILENCE};
use crate::rollout::{Rollout, Status, StopReason};
use crate::{Error, UnixSeconds, strategy};
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId};
use std::collections::{BTreeMap, BTreeSet};

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
    input.evidence.check(clock(input))?;
    let mut draft = Draft::new(input);
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

/// A plan in the making: the view a strategy has, and what it may do.
pub struct Draft<'a> {
    input: Input<'a>,
    cohort: Cohort,
    assessment: Assessment,
    decisions: Vec<Decision>,
    stage: u16,
    holding: Vec<HoldReason>,
    recorded_hold: Vec<HoldReason>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        let input = Input {
            now: clock(input),
            ..*input
        };
        let cohort = Cohort::of(&input);
        let mut draft = Self {
            input,
            cohort,
            assessment: Assessment::default(),
            decisions: Vec::new(),
            stage: input.rollout.stage,
            holding: Vec::new(),
            recorded_hold: input.rollout.holding.clone(),
        };
        draft.assess();
        draft
    }

    /// The rollout's policy.
    #[must_use]
    pub fn policy(&self) -> &'a Policy {
        &self.input.rollout.policy
    }

    /// The stage, as far as this plan has come.
    #[must_use]
    pub fn stage(&self) -> u16 {
        self.stage
    }

    /// Devices that can take part, those on the target included.
    #[must_use]
    pub fn population(&self) -> usize {
        self.cohort.members.len()
    }

    /// Gives the target to the next devices, until `total` have it. Returns how many were added.
    pub fn assign_up_to(&mut self, total: usize) -> usize {
        let missing = total.saturating_sub(self.assessment.on_target);
        if missing == 0 {
            return 0;
        }
        let inventory = self.input.inventory;
        let entrants: Vec<Entrant> = (0_u32..)
            .zip(&self.cohort.members)
            .map(|(handle, m)| Entrant {
                device: inventory.devices()[m.device as usize].id,
                class: m.class,
                handle,
            })
            .collect();
        let mut chosen: BTreeMap<u16, Vec<DeviceId>> = BTreeMap::new();
        let mut added = 0;
        for handle in order::sequence(&self.input.rollout.salt, &self.cohort.classes, &entrants) {
            let member = &mut self.cohort.members[handle as usize];
            if added < missing && member.standing == Standing::Candidate {
                member.standing = Standing::Target;
                chosen
                    .entry(member.class)
                    .or_default()
                    .push(entrants[handle as usize].device);
                added += 1;
            }
        }
        for (class, devices) in chosen {
            let (arm, stage) = (Arm::Target, self.stage);
            self.decisions.push(Decision::Assign {
                arm,
                stage,
                class,
                devices,
            });
        }
        self.assessment.on_target += added;
        self.assessment.on_base -= added;
        self.assessment.stage.assigned += added;
        self.assessment.stage.needed = self.policy().min_exposed.of(self.assessment.stage.assigned);
        added
    }

    /// What keeps the stage from being passed; empty where it is passed.
    #[must_use]
    pub fn open_questions(&self) -> Vec<HoldReason> {
        let Assessment { stage, health, .. } = &self.assessment;
        let mut open = Vec::new();
        if stage.exposed < stage.needed {
            open.push(HoldReason::Exposure);
        }
        open.extend(self.open_about_agreement());
        let leaning = health.iter().filter(|reading| reading.leans());
        open.extend(leaning.map(|reading| HoldReason::Health {
            metric: reading.metric.clone(),
        }));
        open
    }

    /// Too few inputs, or else too few in some classes, or else a bound that is too high.
    fn open_about_agreement(&self) -> Vec<HoldReason> {
        let agreement = &self.assessment.agreement;
        let (of_fleet, of_class) = agreement.needed;
        if agreement.fleet.inputs < of_fleet {
            return vec![HoldReason::Inputs];
        }
        let inputs = |class: &HardwareId| {
            agreement
                .classes
                .iter()
                .find(|c| c.class == *class)
                .map_or(0, |c| c.counts.inputs)
        };
        let on_target = self
            .cohort
            .members
            .iter()
            .filter(|m| m.standing == Standing::Target);
        let classes: BTreeSet<u16> = on_target.map(|m| m.class).collect();
        let scarce: Vec<HoldReason> = classes
            .into_iter()
            .filter_map(|class| self.cohort.classes.get(usize::from(class)))
            .filter(|class| inputs(class) < of_class)
            .map(|class| HoldReason::ClassInputs { class: class.clone() })
            .collect();
        if scarce.is_empty() && !agreement.promotes() {
            return vec![HoldReason::AgreementOpen];
        }
        scarce
    }

    /// Begins the next stage.
    pub fn advance(&mut self) {
        self.stage += 1;
        self.assessment.stage = StageReading {
            stage: self.stage,
            ..StageReading::default()
        };
        self.recorded_hold.clear();
        self.decisions.push(Decision::AdvanceStage { to: self.stage });
    }

    /// Ends the rollout well.
    pub fn complete(&mut self) {
        self.decisions.push(Decision::Complete);
    }

    /// Stays where it is. A decision only if the reasons are new.
    pub fn hold(&mut self, reasons: Vec<HoldReason>) {
        if reasons != self.recorded_hold {
            self.decisions.push(Decision::Hold {
                reasons: reasons.clone(),
            });
        }
        self.holding = reasons;
    }

    pub(crate) fn push(&mut self, decision: Decision) {
        self.decisions.push(decision);
    }

    /// Devices that are assigned the target now, gone from the inventory or not.
    pub(crate) fn devices_on_target(&self) -> Vec<DeviceId> {
        self.input
            .assignments
            .rows()
            .iter()
            .filter(|r| r.has_target())
            .map(|r| r.device)
            .collect()
    }

    pub(crate) fn into_plan(self) -> Plan {
        let rollout = self.input.rollout;
        Plan {
            rollout: rollout.id,
            revision: rollout.revision,
            at: self.input.now,
            target: rollout.target.label.clone(),
            base: rollout.base.label.clone(),
            stages: rollout.policy.stages.clone(),
            dwell_s: rollout.policy.dwell_s,
            classes: self.cohort.classes,
            decisions: self.decisions,
            holding: self.holding,
            assessment: self.assessment,
            evidence: digest(self.input.evidence),
        }
    }

    fn count_silence(&mut self) {
        let rows = self.input.assignments.rows();
        let devices: Vec<_> = self
            .cohort
            .newly_silent
            .iter()
            .map(|&at| rows[at].device)
            .collect();
        if !devices.is_empty() {
            self.decisions.push(Decision::Silent { devices });
        }
    }

    /// Stops, and rolls back where the policy says so and the fleet may move. Returns whether it stopped.
    fn stop_on_evidence(&mut self) -> bool {
        let Some(reason) = self.verdict() else {
            return false;
        };
        self.decisions.push(Decision::Stop {
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
        self.decisions.push(Decision::Rollback {
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
            Error::Policy(crate::PolicyFault::UnknownStrategy {
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
            self.decisions.push(Decision::Exclude { reason, devices });
        }
        let devices = std::mem::take(&mut self.cohort.readmitted);
        if !devices.is_empty() {
            self.decisions.push(Decision::Readmit { devices });
        }
        let mut fresh: BTreeMap<u16, Vec<DeviceId>> = BTreeMap::new();
        for member in self.cohort.members.iter().filter(|m| m.row().is_none()) {
            let device = &self.input.inventory.devices()[member.device as usize];
            fresh.entry(member.class).or_default().push(device.id);
        }
        for (class, devices) in fresh {
            let (arm, stage) = (Arm::Control, self.stage);
            self.decisions.push(Decision::Assign {
                arm,
                stage,
                class,
                devices,
            });
        }
    }

    /// Reads the gates and counts the devices.
    fn assess(&mut self) {
        let input = self.input;
        let policy = self.policy();
        let limits = agreement::Limits {
            allowed: input.rollout.target.allowed_disagreement,
            margin: policy.margin,
            alpha: policy.alpha_of(policy.agreement_share),
            risk: policy.promotion_risk.fraction(),
            needed: (policy.min_inputs, policy.min_inputs_per_class),
        };
        let rows = input.assignments.rows();
        let recorded = rows.iter().filter(|r| r.silent_at.is_some()).count();
        let on_target = self
            .cohort
            .members
            .iter()
            .filter(|m| m.standing == Standing::Target)
            .count();
        self.assessment = Assessment {
            population: self.cohort.members.len(),
            on_target,
            on_base: self.cohort.members.len() - on_target,
            excluded: self.cohort.excluded,
            sent_back: rows.iter().filter(|r| r.reverted_at.is_some()).count(),
            silent: recorded + self.cohort.newly_silent.len(),
            stage: self.read_stage(),
            agreement: agreement::read(&input.evidence.paired, input.assignments.classes(), limits),
            health: self.read_health(),
        };
    }

    fn read_stage(&self) -> StageReading {
        let input = &self.input;
        let mut reading = StageReading {
            stage: self.stage,
            ..StageReading::default()
        };
        for member in self
            .cohort
            .members
            .iter()
            .filter(|m| m.standing == Standing::Target)
        {
            let Some(row) = member.row().map(|at| &input.assignments.rows()[at]) else {
                continue;
            };
            if row.stage != self.stage {
                continue;
            }
            reading.assigned += 1;
            let device: &Device = &input.inventory.devices()[member.device as usize];
            if input.inventory.running(device) == Some(input.rollout.target.digest) {
                reading.running += 1;
                let since = device.running_since.max(row.target_at.unwrap_or(0));
                let dwelt = since.saturating_add(self.policy().dwell_s);
                reading.exposed += usize::from(device.last_seen >= dwelt);
            }
        }
        reading.needed = self.policy().min_exposed.of(reading.assigned);
        reading
    }

    fn read_health(&self) -> Vec<health::HealthReading> {
        let Input {
            assignments,
            evidence,
            now,
            ..
        } = self.input;
        let policy = self.policy();
        let grid = &policy.hazard_ratios;
        let table = health::RiskTable::new(assignments);
        let mut readings = Vec::new();
        for metric in &policy.metrics {
            let listed = evidence.health.iter().find(|m| m.metric == metric.name);
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
            silent.extend(self.cohort.newly_silent.iter().map(|&at| (at, now)));
            silent.sort_unstable_by_key(|&(at, when)| (when, at));
            let run = table.read(assignments, silent.into_iter(), grid);
            readings.push(health::reading(SILENCE, &run, policy.alpha_of(silence.share)));
        }
        readings
    }
}

/// Now, or the time of the last applied plan where the server's clock has gone back since.
fn clock(input: &Input<'_>) -> UnixSeconds {
    input.now.max(input.rollout.updated_at)
}

fn digest(evidence: &Evidence) -> Digest {
    Digest::of(&sanderling_wire::encode(evidence))
}
