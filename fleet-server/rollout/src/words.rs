//! Decisions and readings in words, for the ledger, the timeline and the web page.

use crate::assignments::Exclusion;
use crate::gates::rules_out_above;
use crate::plan::{Decision, HoldReason, Plan};
use crate::policy::{SILENCE, Stage};
use crate::rollout::StopReason;
use sanderling_wire::Arm;

impl Plan {
    /// What a decision of this plan means, in a sentence.
    #[must_use]
    pub fn sentence(&self, decision: &Decision) -> String {
        let Self { target, base, .. } = self;
        match decision {
            Decision::Assign {
                arm: Arm::Control,
                class,
                devices,
                ..
            } => {
                let verb = if devices.len() == 1 {
                    "enters and keeps"
                } else {
                    "enter and keep"
                };
                format!(
                    "{} of {} {verb} {base} for comparison",
                    count(devices.len()),
                    self.class(*class)
                )
            }
            Decision::Assign {
                arm: Arm::Target,
                stage,
                class,
                devices,
            } => {
                let verb = if devices.len() == 1 { "gets" } else { "get" };
                let (stage, devices, class) =
                    (self.stage_name(*stage), count(devices.len()), self.class(*class));
                format!("{stage}: {devices} of {class} {verb} {target}")
            }
            Decision::Exclude { reason, devices } => {
                format!("{} left out: {}", count(devices.len()), reason.words(target))
            }
            Decision::Readmit { devices } => format!("{} can take part now", count(devices.len())),
            Decision::Silent { devices } => {
                let verb = if devices.len() == 1 { "has" } else { "have" };
                format!(
                    "{} {verb} gone silent; counted once, in the arm of the time",
                    count(devices.len())
                )
            }
            Decision::AdvanceStage { to } => format!("{} begins: {}", self.stage_name(*to), self.agreement()),
            Decision::Hold { reasons } => {
                let reasons: Vec<String> = reasons.iter().map(|reason| self.hold_reason(reason)).collect();
                format!("{target} holds: {}", reasons.join("; "))
            }
            Decision::Pause { why } => format!("{target} paused: {why}"),
            Decision::Resume => format!("{target} goes on"),
            Decision::Stop { reason } => format!("{target} stopped: {}", self.stop_reason(reason)),
            Decision::Rollback { reason, devices } => {
                let verb = if devices.len() == 1 { "goes" } else { "go" };
                let (devices, reason) = (count(devices.len()), self.stop_reason(reason));
                format!("{devices} {verb} back to {base}: {reason}")
            }
            Decision::Complete => {
                let on_target = self.assessment.on_target;
                let verb = if on_target == 1 { "has" } else { "have" };
                format!("{target} is complete: {} {verb} it", count(on_target))
            }
        }
    }

    /// Why a rollout was stopped, in words: `41 of 50 answers differ from v2, 2 allowed`.
    #[must_use]
    pub fn stop_reason(&self, reason: &StopReason) -> String {
        let Self { target, base, .. } = self;
        match reason {
            StopReason::SelfTest { device } => {
                format!("the self-test of device {} refused it", device.short())
            }
            StopReason::CrashLoop { device } => {
                format!("device {} crashes again and again on it", device.short())
            }
            StopReason::Disagreement {
                inputs,
                disagreements,
                allowed,
                class,
            } => {
                let place = class
                    .as_ref()
                    .map_or(String::new(), |class| format!(" on {class}"));
                format!("{disagreements} of {inputs} answers differ from {base}{place}, {allowed} allowed")
            }
            StopReason::Health {
                metric,
                target: failed,
                control,
            } if metric == SILENCE => {
                let failed = count(usize::try_from(*failed).unwrap_or(usize::MAX));
                format!("{failed} went silent on {target}, {control} on {base}: beyond chance")
            }
            StopReason::Health {
                metric,
                target: failed,
                control,
            } => {
                let failed = count(usize::try_from(*failed).unwrap_or(usize::MAX));
                format!("{failed} failed by {metric} on {target}, {control} on {base}: beyond chance")
            }
            StopReason::Operator { why } => format!("by its operator ({why})"),
        }
    }

    /// Why the rollout does not move, in words, with the figures of this plan.
    #[must_use]
    pub fn hold_reason(&self, reason: &HoldReason) -> String {
        let (stage, agreement) = (&self.assessment.stage, &self.assessment.agreement);
        match reason {
            HoldReason::FleetFrozen { why } => format!("the fleet is frozen ({why})"),
            HoldReason::NobodyEligible => format!("no device can run {}", self.target),
            HoldReason::Exposure => format!(
                "{} of {} {} run {} for {} s, {} needed",
                stage.exposed,
                count(stage.assigned),
                if stage.assigned == 1 { "has" } else { "have" },
                self.target,
                self.dwell_s,
                stage.needed
            ),
            HoldReason::Inputs => {
                format!(
                    "{} compared so far, {} needed",
                    inputs(agreement.fleet.inputs),
                    agreement.needed.0
                )
            }
            HoldReason::ClassInputs { class } => {
                let of_class = agreement.classes.iter().find(|c| c.class == *class);
                let compared = of_class.map_or(0, |c| c.counts.inputs);
                format!(
                    "{} compared on {class} so far, {} needed",
                    inputs(compared),
                    agreement.needed.1
                )
            }
            HoldReason::AgreementOpen => format!(
                "up to {} of answers may differ, {} must be ruled out",
                percent(agreement.upper_bound),
                percent(agreement.limit)
            ),
            HoldReason::Health { metric } => {
                format!("{metric} leans against {}, not yet beyond chance", self.target)
            }
        }
    }

    /// What the stage can rule out, in words: `smoke stage: one device; rules out only failure rates above 95 %`. After a
    /// rollback: what it showed.
    #[must_use]
    pub fn inference_bound(&self) -> String {
        let (stage, devices) = (self.assessment.stage.stage, self.assessment.on_target);
        let smoke = stage == 0 && devices == 1;
        let name = if smoke {
            "smoke stage".into()
        } else {
            self.stage_name(stage)
        };
        let devices_in_words = if devices == 1 {
            "one device".into()
        } else {
            count(devices)
        };
        match devices {
            0 if self.assessment.sent_back > 0 => self.shown(&name),
            0 => format!("{name}: no device has {}; rules out nothing", self.target),
            _ => {
                let bound = percent(rules_out_above(devices, 0.05));
                format!("{name}: {devices_in_words}; rules out only failure rates above {bound}")
            }
        }
    }

    /// What a stage showed whose devices were sent back.
    fn shown(&self, name: &str) -> String {
        let Self { target, base, .. } = self;
        let (had, paired) = (self.assessment.sent_back, self.assessment.agreement.fleet);
        let verb = if had == 1 { "was" } else { "were" };
        let answers = match paired.inputs {
            0 => "no answer was compared until then".to_owned(),
            inputs => format!(
                "until then {} of {inputs} answers differed from {base}",
                paired.disagreements
            ),
        };
        format!(
            "{name}: {} had {target} and {verb} sent back; {answers}",
            count(had)
        )
    }

    /// A stage in words: `stage 2 of 3 (25 %)`, `the control arm's upgrade`.
    #[must_use]
    pub fn stage_name(&self, stage: u16) -> String {
        let size = match self.stages.get(usize::from(stage)) {
            Some(Stage::Count(n)) => count(*n as usize),
            Some(Stage::Share(share)) => share.to_string(),
            None => return "the control arm's upgrade".into(),
        };
        format!("stage {} of {} ({size})", stage + 1, self.stages.len())
    }

    /// Paired agreement in words.
    fn agreement(&self) -> String {
        let agreement = &self.assessment.agreement;
        format!(
            "{} of {} answers differ from {}: at most {} do, {} are tolerated",
            agreement.fleet.disagreements,
            agreement.fleet.inputs,
            self.base,
            percent(agreement.upper_bound),
            percent(agreement.limit)
        )
    }

    fn class(&self, class: u16) -> &str {
        self.classes
            .get(usize::from(class))
            .map_or("an unknown class", |class| class.as_str())
    }
}

impl Exclusion {
    /// The reason in words, with `target` as the version that the device does not get:
    /// `the runtime lacks the operator :Gelu`.
    #[must_use]
    pub fn words(&self, target: &str) -> String {
        let version = |(major, minor, patch): (u16, u16, u16)| format!("{major}.{minor}.{patch}");
        match self {
            Exclusion::Frozen => "frozen by an operator".into(),
            Exclusion::OtherModel { runs } => format!("runs {runs}, another model"),
            Exclusion::RunsTarget => format!("already on {target} by another way"),
            Exclusion::Runtime { needs, has } => {
                format!(
                    "runtime {} is older than {}, which {target} needs",
                    version(*has),
                    version(*needs)
                )
            }
            Exclusion::Numerics { needs, has } => {
                format!("integer numerics {has}, {target} is tested for {needs}")
            }
            Exclusion::BundleFormat { needs, has } => {
                format!("reads bundles up to format {has}, {target} has {needs}")
            }
            Exclusion::Memory { needs, has } => {
                format!("{target} takes {needs} bytes of memory, {has} are allowed")
            }
            Exclusion::Operators { missing } => {
                let noun = if missing.len() == 1 {
                    "operator"
                } else {
                    "operators"
                };
                format!("the runtime lacks the {noun} {}", missing.join(", "))
            }
        }
    }
}

pub(crate) fn count(devices: usize) -> String {
    if devices == 1 {
        "1 device".into()
    } else {
        format!("{devices} devices")
    }
}

fn inputs(n: u64) -> String {
    if n == 1 {
        "1 input".into()
    } else {
        format!("{n} inputs")
    }
}

/// A share for people: three significant digits below ten per cent, whole per cents above.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let decimals = match percent {
        p if p >= 10.0 => 0,
        p if p >= 1.0 => 1,
        p if p >= 0.01 => 2,
        _ => 4,
    };
    format!("{percent:.decimals$} %")
}
