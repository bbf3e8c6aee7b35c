//! What operators may do, through the same door as evidence: a plan, a ledger entry, [`crate::apply`].

use crate::draft::Draft;
use crate::evidence::Evidence;
use crate::plan::{Decision, Plan};
use crate::planner::{Input, trusting};
use crate::rollout::{Status, StopReason};
use crate::{Error, UnixSeconds};
use serde::{Deserialize, Serialize};

/// What an operator wants of one rollout.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Keep it where it is. Evidence may still stop it.
    Pause {
        /// For the ledger.
        why: String,
    },
    /// Let a paused one go on.
    Resume,
    /// Assign nobody any more; devices keep what they have.
    Abort {
        /// For the ledger.
        why: String,
    },
    /// Assign the base to every device that has the target; a running, a stopped or a completed rollout alike. Devices
    /// that a later rollout moved, and did not send back, stay as they are.
    Rollback {
        /// For the ledger.
        why: String,
    },
}

impl Command {
    /// As a participle: "it cannot be …".
    fn participle(&self) -> &'static str {
        match self {
            Self::Pause { .. } => "paused",
            Self::Resume => "resumed",
            Self::Abort { .. } => "aborted",
            Self::Rollback { .. } => "rolled back",
        }
    }
}

/// The plan that does what an operator wants.
///
/// # Errors
/// [`Error::Status`] when the rollout's status does not allow it, [`Error::Frozen`] when it would move devices of
/// a frozen fleet. Evidence that contradicts itself is left aside: it must not keep anybody from stopping a rollout.
pub fn command(input: &Input<'_>, command: Command) -> Result<Plan, Error> {
    let none = Evidence::default();
    let input = &trusting(input, &none);
    let status = &input.rollout.status;
    let allowed = match &command {
        Command::Pause { .. } => *status == Status::Running,
        Command::Resume => matches!(status, Status::Paused { .. }),
        Command::Abort { .. } => status.is_live(),
        Command::Rollback { .. } => !matches!(status, Status::RolledBack { .. }),
    };
    if !allowed {
        let (status, command) = (status.word(), command.participle());
        return Err(Error::Status {
            rollout: input.rollout.id,
            status,
            command,
        });
    }
    let mut draft = Draft::new(input);
    match command {
        Command::Pause { why } => draft.push(Decision::Pause { why }),
        Command::Resume => draft.push(Decision::Resume),
        Command::Abort { why } => draft.push(Decision::Stop {
            reason: StopReason::Operator { why },
        }),
        Command::Rollback { why } => {
            if let Some(freeze) = input.freeze {
                return Err(Error::Frozen {
                    why: freeze.why.clone(),
                });
            }
            let devices = draft.devices_on_target();
            draft.push(Decision::Rollback {
                reason: StopReason::Operator { why },
                devices,
            });
        }
    }
    Ok(draft.into_plan())
}

/// The fleet's emergency brake: while it is on, no rollout assigns anything, a rollback neither. Evidence goes on
/// being counted, and a rollout that it stops is rolled back when the brake is off. The server stores it and hands it
/// to every plan as [`Input::freeze`]; to thaw is to forget it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freeze {
    /// In the operator's words.
    pub why: String,
    /// Since when.
    pub at: UnixSeconds,
}

/// Pulls the brake.
///
/// # Errors
/// [`Error::FrozenAlready`].
pub fn freeze_all(current: Option<&Freeze>, why: &str, now: UnixSeconds) -> Result<Freeze, Error> {
    match current {
        Some(freeze) => Err(Error::FrozenAlready {
            why: freeze.why.clone(),
        }),
        None => Ok(Freeze {
            why: why.into(),
            at: now,
        }),
    }
}
