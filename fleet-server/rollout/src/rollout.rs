//! A rollout: what is to replace what, by which policy, and how far it has come.

use crate::plan::HoldReason;
use crate::policy::{Policy, Ppm};
use crate::{Error, UnixSeconds};
use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId};
use serde::{Deserialize, Serialize};

/// What a bundle asks of a device.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// Lowest runtime version, (major, minor, patch).
    pub runtime: (u16, u16, u16),
    /// The version of the integer numerics that its golden vectors hold for; 0 where it has none.
    pub numerics: u16,
    /// Its bundle format version.
    pub bundle_format: u16,
    /// The operators it uses, `domain:OpType`.
    pub operators: Vec<String>,
    /// Peak memory of its resource certificate, bytes.
    pub memory: u64,
}

/// One version of the model, as far as planning goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Release {
    /// What people call it: `v2`.
    pub label: String,
    /// The model that it is a version of: `magika`. Devices that are of another model are left out. Empty: of any,
    /// so that nobody is left out for it.
    #[serde(default)]
    pub model: String,
    /// SHA-256 of its bundle.
    pub digest: Digest,
    /// What it asks of a device.
    #[serde(default)]
    pub requires: Requirements,
    /// Share of distinct inputs on which it may decide otherwise than its base: from its signed evaluation.
    #[serde(default)]
    pub allowed_disagreement: Ppm,
}

impl Release {
    /// A release that runs everywhere, whatever the device's model, and may not disagree at all.
    #[must_use]
    pub fn new(label: &str, digest: Digest) -> Self {
        Self {
            label: label.into(),
            model: String::new(),
            digest,
            requires: Requirements::default(),
            allowed_disagreement: Ppm::default(),
        }
    }
}

/// Why a rollout was stopped.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The self-test of a device refused the target.
    SelfTest {
        /// The first such device.
        device: DeviceId,
    },
    /// A device crashed again and again on the target.
    CrashLoop {
        /// The first such device.
        device: DeviceId,
    },
    /// Target and base disagree on more inputs than the release allows.
    Disagreement {
        /// Distinct inputs compared.
        inputs: u64,
        /// Inputs on which they differ.
        disagreements: u64,
        /// Differing inputs that the allowance expects of so many.
        allowed: u64,
        /// The hardware class whose devices gave the evidence; none where the whole fleet did.
        class: Option<HardwareId>,
    },
    /// Devices on the target fail more than those on the base.
    Health {
        /// The metric.
        metric: String,
        /// Devices on the target that failed.
        target: u64,
        /// Devices on the base that failed.
        control: u64,
    },
    /// An operator wanted it.
    Operator {
        /// In the operator's words.
        why: String,
    },
}

/// Where a rollout stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It moves as evidence allows.
    Running,
    /// An operator keeps it where it is. Evidence may still stop it.
    Paused {
        /// In the operator's words.
        why: String,
    },
    /// It assigns nobody any more; devices keep what they have.
    Stopped {
        /// Why.
        reason: StopReason,
    },
    /// Every device that had the target is assigned the base again.
    RolledBack {
        /// Why.
        reason: StopReason,
    },
    /// Everybody it was for runs the target.
    Completed,
}

impl Status {
    /// In a word, for errors and pages.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused { .. } => "paused",
            Self::Stopped { .. } => "stopped",
            Self::RolledBack { .. } => "rolled back",
            Self::Completed => "completed",
        }
    }

    /// Whether evidence still counts: running or paused.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self, Self::Running | Self::Paused { .. })
    }
}

/// The state of a rollout, but for its assignments. Changed by [`crate::apply`] alone.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Rollout {
    /// Its number.
    pub id: RolloutId,
    /// Counts applied plans, so that a plan made from an older state is refused.
    pub revision: u64,
    /// Random bytes that order the devices; secret until the start, of no use after.
    pub salt: [u8; 16],
    /// What is rolled out.
    pub target: Release,
    /// What it replaces, and what a rollback assigns.
    pub base: Release,
    /// By which rules. Fixed at the start.
    pub policy: Policy,
    /// Where it stands.
    pub status: Status,
    /// Index of the stage that devices are assigned for; one past the last is the upgrade of the control arm.
    pub stage: u16,
    /// When it was started.
    pub started_at: UnixSeconds,
    /// When it entered its stage.
    pub stage_at: UnixSeconds,
    /// Time of the last applied plan.
    pub updated_at: UnixSeconds,
    /// Why it does not move, as last decided; empty while it does.
    pub holding: Vec<HoldReason>,
}

impl Rollout {
    /// Whether evidence stopped it and the rollback that follows is still to come: the fleet was frozen when it stopped.
    /// Such a rollout is planned on, like a live one.
    #[must_use]
    pub fn owes_rollback(&self) -> bool {
        match &self.status {
            Status::Stopped { reason } => {
                self.policy.auto_rollback && !matches!(reason, StopReason::Operator { .. })
            }
            _ => false,
        }
    }

    /// A new rollout, running, with nobody assigned yet. `salt` is 16 random bytes.
    ///
    /// # Errors
    /// [`Error::Policy`] for nonsense in the policy, [`Error::SameRelease`], [`Error::Allowance`].
    pub fn start(
        id: RolloutId,
        salt: [u8; 16],
        target: Release,
        base: Release,
        policy: Policy,
        now: UnixSeconds,
    ) -> Result<Self, Error> {
        policy.check()?;
        if target.digest == base.digest {
            return Err(Error::SameRelease {
                target: target.label,
                base: base.label,
            });
        }
        let allowed = target.allowed_disagreement;
        if u64::from(allowed.0) + u64::from(policy.margin.0) > 900_000 {
            return Err(Error::Allowance {
                label: target.label,
                allowed,
                margin: policy.margin,
            });
        }
        Ok(Self {
            id,
            revision: 0,
            salt,
            target,
            base,
            policy,
            status: Status::Running,
            stage: 0,
            started_at: now,
            stage_at: now,
            updated_at: now,
            holding: Vec::new(),
        })
    }
}
