//! What can be wrong, told to whom it concerns.

use crate::policy::{Ppm, Stage};
use sanderling_wire::{DeviceId, RolloutId};

/// Why nothing could be planned, commanded or applied.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operator's policy means nothing.
    #[error("this policy cannot be used: {0}")]
    Policy(#[from] PolicyFault),
    /// Target and base are the same bytes.
    #[error("{target} and {base} are the same bundle, there is nothing to roll out")]
    SameRelease {
        /// Label of the target.
        target: String,
        /// Label of the base.
        base: String,
    },
    /// The release allows more disagreement than can be tested.
    #[error(
        "{label} allows {allowed} disagreement and the policy adds a margin of {margin}: together they must stay \
         within 90 %; lower the margin or give the release a tighter signed evaluation"
    )]
    Allowance {
        /// Label of the target.
        label: String,
        /// Its allowance.
        allowed: Ppm,
        /// The policy's margin.
        margin: Ppm,
    },
    /// The command does not fit the rollout's status.
    #[error("rollout {rollout} is {status}: it cannot be {command}")]
    Status {
        /// The rollout.
        rollout: RolloutId,
        /// Its status, in a word.
        status: &'static str,
        /// What was asked, as a participle.
        command: &'static str,
    },
    /// The fleet is frozen and the command would move devices.
    #[error("the fleet is frozen ({why}): thaw it before a rollout may move devices")]
    Frozen {
        /// The reason the fleet was frozen for.
        why: String,
    },
    /// The fleet is frozen already.
    #[error("the fleet is frozen already ({why})")]
    FrozenAlready {
        /// The reason given then.
        why: String,
    },
    /// The plan was made from another state than the one it is applied to.
    #[error("the plan was made for revision {plan} of rollout {rollout}, which is at {state}: plan again")]
    StalePlan {
        /// The rollout.
        rollout: RolloutId,
        /// Revision the plan was made for.
        plan: u64,
        /// Revision of the state.
        state: u64,
    },
    /// The plan belongs to another rollout.
    #[error("the plan is for rollout {plan}, the state is rollout {state}'s")]
    WrongRollout {
        /// The plan's rollout.
        plan: RolloutId,
        /// The state's rollout.
        state: RolloutId,
    },
    /// The inventory names a device twice.
    #[error("device {device} is in the inventory twice")]
    DuplicateDevice {
        /// The device.
        device: DeviceId,
    },
    /// Stored data breaks its own rules; it was edited or written by other software.
    #[error("stored {what} is damaged: {detail}")]
    Damaged {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// The evidence breaks its contract.
    #[error("evidence cannot be used: {0}")]
    Evidence(#[from] EvidenceFault),
}

/// What is wrong with a [`crate::Policy`], and what it should be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyFault {
    /// A stage that is neither a count nor a percentage.
    #[error(
        "stage {text:?} is neither a number of devices (`3`) nor a percentage with up to 4 decimals (`25%`)"
    )]
    StageSyntax {
        /// What was written.
        text: String,
    },
    /// No stages.
    #[error("there are no stages; give at least one, such as `1,25%,100%`")]
    NoStages,
    /// A stage of no device or more than all.
    #[error("stage {stage} must be at least 1 device, or more than 0% and at most 100%")]
    StageRange {
        /// The stage.
        stage: Stage,
    },
    /// Stages that do not rise.
    #[error(
        "stage {after} does not rise above {before}; counts come first, then percentages, each above the last"
    )]
    StageOrder {
        /// A stage.
        before: Stage,
        /// The one after it.
        after: Stage,
    },
    /// Too many of something (or none where one is needed).
    #[error("{field} has {found} entries, 1 to {limit} are allowed")]
    TooMany {
        /// The field.
        field: &'static str,
        /// The limit.
        limit: usize,
        /// Entries found.
        found: usize,
    },
    /// A share outside its range.
    #[error("{field} is {value}, it must lie between {low} and {high}")]
    Range {
        /// The field.
        field: &'static str,
        /// Its value.
        value: Ppm,
        /// Lowest sensible value.
        low: Ppm,
        /// Highest sensible value.
        high: Ppm,
    },
    /// Promotion without evidence.
    #[error("min_inputs is 0: promotion needs evidence, so at least one paired input")]
    NoInputs,
    /// A metric without a name, named twice, or named like the built-in one.
    #[error("health metric {name:?} needs a name of its own (`silence` is built in: set it under `silence`)")]
    MetricName {
        /// The name.
        name: String,
    },
    /// A metric that may spend nothing can stop nothing.
    #[error(
        "metric {name:?} has no share of alpha (or no time), so that it could never stop anything: drop it or give it one"
    )]
    NoShare {
        /// The name.
        name: String,
    },
    /// Shares of alpha over one.
    #[error("the shares of alpha add up to {spent}, at most 100 % may be spent")]
    Overspent {
        /// Their sum.
        spent: Ppm,
    },
    /// A grid point that is no alternative.
    #[error("hazard ratio {ratio} (weight {weight}) must be above 1, with a positive, finite weight")]
    HazardRatio {
        /// ρ.
        ratio: f64,
        /// Its weight.
        weight: f64,
    },
    /// A strategy nobody knows.
    #[error("there is no strategy {name:?}; known: {known}")]
    UnknownStrategy {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// How evidence breaks its contract: a fault of the software that counts it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceFault {
    /// More disagreements than inputs.
    #[error("{disagreements} disagreements in {inputs} paired inputs ({place})")]
    Counts {
        /// Inputs counted.
        inputs: u64,
        /// Disagreements counted.
        disagreements: u64,
        /// Fleet, or the class.
        place: String,
    },
    /// First failures that are not in order of time.
    #[error(
        "first failures of {metric:?} are not in the order in which they were committed (at position {position})"
    )]
    Order {
        /// The metric.
        metric: String,
        /// The first entry that is out of order.
        position: usize,
    },
    /// A class or metric listed twice.
    #[error("{name:?} is listed twice")]
    Twice {
        /// The class or metric.
        name: String,
    },
    /// Something committed after now.
    #[error("{what} is dated {at}, after now ({now})")]
    Future {
        /// What it is.
        what: String,
        /// Its time.
        at: u64,
        /// The planner's now.
        now: u64,
    },
}
