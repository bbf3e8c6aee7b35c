//! A plan in the making: what a strategy sees, and what it may do.

use crate::assess::assess;
use crate::cohort::{Cohort, Standing};
use crate::order::{self, Entrant};
use crate::plan::{Assessment, Decision, HoldReason, Plan, StageReading};
use crate::planner::Input;
use crate::policy::Policy;
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId};
use std::collections::{BTreeMap, BTreeSet};

/// A plan in the making: the view a strategy has, and what it may do.
pub struct Draft<'a> {
    pub(crate) input: Input<'a>,
    pub(crate) cohort: Cohort,
    pub(crate) assessment: Assessment,
    /// The hold on record, as far as the decisions so far leave it standing.
    pub(crate) recorded_hold: Vec<HoldReason>,
    decisions: Vec<Decision>,
    stage: u16,
    holding: Vec<HoldReason>,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(input: &Input<'a>) -> Self {
        // A rollout's time never goes back, whatever the server's clock does.
        let input = Input {
            now: input.now.max(input.rollout.updated_at),
            ..*input
        };
        let cohort = Cohort::of(&input);
        let assessment = assess(&input, &cohort);
        Self {
            input,
            cohort,
            assessment,
            recorded_hold: input.rollout.holding.clone(),
            decisions: Vec::new(),
            stage: input.rollout.stage,
            holding: Vec::new(),
        }
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

    /// Devices that are assigned the target now, gone from the inventory or not. Those that a later rollout gave its
    /// target, even the same as this one's, or that were told to run something else since are no longer this one's to move.
    pub(crate) fn devices_on_target(&self) -> Vec<DeviceId> {
        let (inventory, target) = (self.input.inventory, self.input.rollout.target.digest);
        let moved_on = |device: DeviceId| {
            let told = inventory.get(device).and_then(|device| inventory.told(device));
            told.is_some_and(|told| told != target)
        };
        let assignments = self.input.assignments;
        let ours = |device| !assignments.is_taken(device) && !moved_on(device);
        let rows = assignments.rows().iter();
        rows.filter(|row| row.has_target() && ours(row.device))
            .map(|row| row.device)
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
            evidence: Digest::of(&sanderling_wire::encode(self.input.evidence)),
        }
    }
}
