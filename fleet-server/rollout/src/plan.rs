//! A plan: what is to happen now, and why.
//!
//! Immutable data. The executor carries the decisions out in their order, writes them into the ledger together with
//! [`Plan::evidence`], and folds them into the state by [`apply`]; it decides nothing.

use crate::assignments::{Assignments, Exclusion};
use crate::gates::{AgreementReading, HealthReading};
use crate::policy::Stage;
use crate::rollout::{Rollout, Status, StopReason};
use crate::{Error, UnixSeconds};
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId, RolloutId};
use serde::{Deserialize, Serialize};

/// One thing that is to happen. [`Plan::sentence`] says it in words.
///
/// Devices of one decision share everything but their id, so that a plan for a million devices has few decisions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Decision {
    /// Devices enter an arm: [`Arm::Control`] when they enter the rollout, [`Arm::Target`] when they get the target.
    Assign {
        /// The arm.
        arm: Arm,
        /// The stage it happens in.
        stage: u16,
        /// Their hardware class, index into [`Plan::classes`].
        class: u16,
        /// The devices, first come first.
        devices: Vec<DeviceId>,
    },
    /// Devices are left out.
    Exclude {
        /// Why.
        reason: Exclusion,
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Devices that were left out may take part.
    Readmit {
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// Devices are found silent, once and for all.
    Silent {
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// The gates are passed: the next stage begins.
    AdvanceStage {
        /// The stage that begins.
        to: u16,
    },
    /// The rollout does not move, for these reasons. Told once for as long as the reasons stay the same.
    Hold {
        /// The reasons.
        reasons: Vec<HoldReason>,
    },
    /// An operator keeps the rollout where it is.
    Pause {
        /// In the operator's words.
        why: String,
    },
    /// An operator lets it go on.
    Resume,
    /// Nobody is assigned any more.
    Stop {
        /// Why.
        reason: StopReason,
    },
    /// Every device that has the target is assigned the base.
    Rollback {
        /// Why.
        reason: StopReason,
        /// The devices.
        devices: Vec<DeviceId>,
    },
    /// The rollout has reached everybody it was for.
    Complete,
}

/// Why a rollout does not move. The figures are in the plan's [`Assessment`].
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HoldReason {
    /// The whole fleet is frozen.
    FleetFrozen {
        /// In the operator's words.
        why: String,
    },
    /// No device can run the target.
    NobodyEligible,
    /// Too few of the stage's devices have run the target for the dwell time and been heard of since.
    Exposure,
    /// Too few distinct paired inputs.
    Inputs,
    /// Too few distinct paired inputs in a class whose devices run the target.
    ClassInputs {
        /// The class.
        class: HardwareId,
    },
    /// The inputs so far leave it open whether the target disagrees more than is allowed.
    AgreementOpen,
    /// A health metric leans against the target, not enough to stop it.
    Health {
        /// The metric.
        metric: String,
    },
}

/// Where a stage stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct StageReading {
    /// The stage.
    pub stage: u16,
    /// Devices assigned the target in this stage.
    pub assigned: usize,
    /// Of these, devices that run it.
    pub running: usize,
    /// Of these, devices that have run it for the dwell time and been heard of since.
    pub exposed: usize,
    /// Exposed devices needed to go on.
    pub needed: usize,
}

/// Everything the decisions rest on, in figures. The web page draws this.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Assessment {
    /// Devices that can take part, those on the target included.
    pub population: usize,
    /// Devices that are assigned the target, in any stage.
    pub on_target: usize,
    /// Devices that keep the base for comparison.
    pub on_base: usize,
    /// Devices that had the target and were sent back to the base.
    pub sent_back: usize,
    /// Devices left out.
    pub excluded: usize,
    /// Devices found silent so far.
    pub silent: usize,
    /// The stage.
    pub stage: StageReading,
    /// Paired agreement.
    pub agreement: AgreementReading,
    /// Health, a reading per metric, silence last.
    pub health: Vec<HealthReading>,
}

/// What is to happen now, and why.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The rollout.
    pub rollout: RolloutId,
    /// Revision of the state it was made from; [`apply`] takes no other.
    pub revision: u64,
    /// When it was made.
    pub at: UnixSeconds,
    /// Label of the target.
    pub target: String,
    /// Label of the base.
    pub base: String,
    /// The policy's stages.
    pub stages: Vec<Stage>,
    /// The dwell time, seconds.
    pub dwell_s: u64,
    /// Hardware classes of the rollout; those the state does not know yet come last.
    pub classes: Vec<HardwareId>,
    /// What is to happen, in order. Empty where there is nothing new.
    pub decisions: Vec<Decision>,
    /// Why the rollout does not move, also where that is nothing new.
    pub holding: Vec<HoldReason>,
    /// The figures.
    pub assessment: Assessment,
    /// SHA-256 of the evidence the plan was made from (its postcard form), for the ledger.
    pub evidence: Digest,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.decisions.is_empty()
    }

    /// The decisions in words, in their order.
    pub fn sentences(&self) -> impl Iterator<Item = String> + '_ {
        self.decisions.iter().map(|decision| self.sentence(decision))
    }
}

/// Folds a plan into the state it was made from. All or nothing.
///
/// # Errors
/// [`Error::WrongRollout`] and [`Error::StalePlan`] when the state is another than the plan's; nothing is changed then.
pub fn apply(rollout: &mut Rollout, assignments: &mut Assignments, plan: &Plan) -> Result<(), Error> {
    if plan.rollout != rollout.id {
        return Err(Error::WrongRollout {
            plan: plan.rollout,
            state: rollout.id,
        });
    }
    if plan.revision != rollout.revision {
        let (plan, state) = (plan.revision, rollout.revision);
        return Err(Error::StalePlan {
            rollout: rollout.id,
            plan,
            state,
        });
    }
    if plan.is_empty() {
        return Ok(());
    }
    rollout.revision += 1;
    rollout.updated_at = plan.at;
    assignments.add_classes(
        plan.classes
            .get(assignments.classes().len()..)
            .unwrap_or_default(),
    );
    for decision in &plan.decisions {
        fold(rollout, assignments, decision, plan.at);
    }
    Ok(())
}

fn fold(rollout: &mut Rollout, assignments: &mut Assignments, decision: &Decision, at: UnixSeconds) {
    match decision {
        Decision::Assign {
            arm: Arm::Control,
            class,
            devices,
            ..
        } => {
            assignments.enrol(devices, *class, at);
        }
        Decision::Assign {
            arm: Arm::Target,
            stage,
            devices,
            ..
        } => assignments.edit(devices, |row| {
            if row.target_at.is_none() {
                (row.target_at, row.stage) = (Some(at), *stage);
            }
        }),
        Decision::Exclude { reason, devices } => assignments.exclude(reason, devices),
        Decision::Readmit { devices } => assignments.readmit(devices),
        Decision::Silent { devices } => assignments.edit(devices, |row| {
            row.silent_at.get_or_insert(at);
        }),
        Decision::AdvanceStage { to } => {
            (rollout.stage, rollout.stage_at) = (*to, at);
            rollout.holding.clear();
        }
        Decision::Hold { reasons } => rollout.holding.clone_from(reasons),
        Decision::Pause { why } => settle(rollout, Status::Paused { why: why.clone() }),
        Decision::Resume => settle(rollout, Status::Running),
        Decision::Stop { reason } => settle(
            rollout,
            Status::Stopped {
                reason: reason.clone(),
            },
        ),
        Decision::Rollback { reason, devices } => {
            assignments.edit(devices, |row| {
                row.reverted_at.get_or_insert(at);
            });
            settle(
                rollout,
                Status::RolledBack {
                    reason: reason.clone(),
                },
            );
        }
        Decision::Complete => settle(rollout, Status::Completed),
    }
}

fn settle(rollout: &mut Rollout, status: Status) {
    rollout.status = status;
    rollout.holding.clear();
}
