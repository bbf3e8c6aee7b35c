//! What an operator may set about a rollout.
//!
//! A policy is fixed when the rollout starts: error rates that are chosen after looking at the data mean nothing.
//! Probabilities and shares are whole parts per million ([`Ppm`]), so that a policy reads back as it was
//! written and two policies compare exactly.

use crate::error::PolicyFault;
use crate::strategy;
use sanderling_wire::HardwareId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// Most stages a rollout may have.
const MAX_STAGES: usize = 32;
/// Most health metrics a rollout may watch.
const MAX_METRICS: usize = 64;
/// Most points of the hazard-ratio grid.
const MAX_RATIOS: usize = 64;

/// The built-in health metric: a device that has not been heard of for [`Silence::after_s`].
pub const SILENCE: &str = "silence";

/// A share or probability in parts per million, 0 to 1 000 000.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ppm(pub u32);

impl Ppm {
    /// Everything.
    pub const ONE: Self = Self(1_000_000);

    /// So many hundredths.
    #[must_use]
    pub const fn percent(percent: u32) -> Self {
        Self(percent.saturating_mul(10_000))
    }

    /// As a fraction of one.
    #[must_use]
    pub fn fraction(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// This share of `whole`, rounded up.
    #[must_use]
    pub fn of(self, whole: usize) -> usize {
        let millionths = (whole as u128) * u128::from(self.0);
        usize::try_from(millionths.div_ceil(1_000_000)).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for Ppm {
    /// As a percentage: `25 %`, `0.1 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(self.0) / 1e4)
    }
}

/// How many devices run the target at a stage. Written `3` (devices) or `25%` (of those that can run it).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stage {
    /// So many devices.
    Count(u32),
    /// This share of the devices that can run the target, rounded up.
    Share(Ppm),
}

impl Stage {
    /// Devices of `population` that this stage covers.
    #[must_use]
    pub fn size(self, population: usize) -> usize {
        match self {
            Self::Count(n) => (n as usize).min(population),
            Self::Share(share) => share.of(population).min(population),
        }
    }

    /// Whether the stage covers every device.
    #[must_use]
    pub fn is_everything(self) -> bool {
        self == Self::Share(Ppm::ONE)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(n) => write!(f, "{n}"),
            Self::Share(share) => write!(f, "{}%", f64::from(share.0) / 1e4),
        }
    }
}

impl FromStr for Stage {
    type Err = PolicyFault;

    fn from_str(text: &str) -> Result<Self, PolicyFault> {
        let fault = || PolicyFault::StageSyntax {
            text: text.chars().take(40).collect(),
        };
        let text = text.trim();
        let Some(percent) = text.strip_suffix('%') else {
            return text.parse().map(Self::Count).map_err(|_| fault());
        };
        let percent: f64 = percent.trim().parse().map_err(|_| fault())?;
        let ppm = percent * 1e4;
        if !(0.0..=f64::from(u32::MAX)).contains(&ppm) || (ppm - ppm.round()).abs() > 1e-6 {
            return Err(fault());
        }
        Ok(Self::Share(Ppm(ppm.round() as u32)))
    }
}

impl TryFrom<String> for Stage {
    type Error = PolicyFault;

    fn try_from(text: String) -> Result<Self, PolicyFault> {
        text.parse()
    }
}

impl From<Stage> for String {
    fn from(stage: Stage) -> Self {
        stage.to_string()
    }
}

/// A health metric whose first failures per device the server reports (see [`crate::MetricEvidence`]).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthMetric {
    /// The metric's name, as evidence names it.
    pub name: String,
    /// Its share of [`Policy::alpha`].
    pub share: Ppm,
}

/// The clock of silence: a device of either arm, not heard of for so long since the rollout began, has failed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Silence {
    /// Seconds without a word that count as a failure.
    pub after_s: u64,
    /// The metric's share of [`Policy::alpha`].
    pub share: Ppm,
    /// Hardware classes whose silence means nothing (browser tabs).
    #[serde(default)]
    pub exempt: Vec<HardwareId>,
}

/// One alternative of the health test: the target's devices fail `ratio` times as often.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HazardRatio {
    /// ρ > 1.
    pub ratio: f64,
    /// Prior weight, > 0; weights are normalised.
    pub weight: f64,
}

/// What an operator may set about a rollout. Fields that a JSON request leaves out keep their default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Name of a row of [`strategy::STRATEGIES`].
    pub strategy: String,
    /// Stages, rising: counts first, then shares.
    pub stages: Vec<Stage>,
    /// Seconds a device must have run the target, and be heard of after, to count as exposed.
    pub dwell_s: u64,
    /// Share of a stage's own devices that must be exposed before the next stage.
    pub min_exposed: Ppm,
    /// Share of the devices that keep the base to the end, for comparison, and are upgraded last.
    pub control: Ppm,
    /// Distinct paired inputs needed before the first promotion.
    pub min_inputs: u64,
    /// Distinct paired inputs needed in each hardware class that has devices on the target.
    pub min_inputs_per_class: u64,
    /// Promotion asks that the upper confidence bound of disagreement be at most the release's allowance plus this.
    pub margin: Ppm,
    /// Probability that a release as good as allowed is ever stopped by statistics, over the whole rollout.
    pub alpha: Ppm,
    /// Share of `alpha` that paired agreement spends.
    pub agreement_share: Ppm,
    /// Health metrics and their shares of `alpha`.
    pub metrics: Vec<HealthMetric>,
    /// The clock of silence; none where silence means nothing.
    pub silence: Option<Silence>,
    /// Probability that a release over `allowance + margin` is ever promoted by the agreement bound.
    pub promotion_risk: Ppm,
    /// Grid of alternatives of the health test.
    pub hazard_ratios: Vec<HazardRatio>,
    /// Whether a stop by evidence also sends the devices back to the base.
    pub auto_rollback: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let ratio = |ratio| HazardRatio { ratio, weight: 1.0 };
        let metric = |name: &str, percent| HealthMetric {
            name: name.into(),
            share: Ppm::percent(percent),
        };
        Self {
            strategy: "canary".into(),
            stages: vec![
                Stage::Count(1),
                Stage::Share(Ppm::percent(25)),
                Stage::Share(Ppm::ONE),
            ],
            dwell_s: 3600,
            min_exposed: Ppm::percent(80),
            control: Ppm::percent(10),
            min_inputs: 50,
            min_inputs_per_class: 10,
            margin: Ppm::percent(5),
            alpha: Ppm::percent(5),
            agreement_share: Ppm::percent(50),
            metrics: vec![
                metric("errors", 15),
                metric("latency", 10),
                metric("fallback", 15),
            ],
            silence: Some(Silence {
                after_s: 86_400,
                share: Ppm::percent(10),
                exempt: Vec::new(),
            }),
            promotion_risk: Ppm::percent(5),
            hazard_ratios: vec![ratio(1.5), ratio(2.0), ratio(4.0), ratio(8.0), ratio(16.0)],
            auto_rollback: true,
        }
    }
}

impl Policy {
    /// Checks that the policy means something.
    ///
    /// # Errors
    /// The first [`PolicyFault`] found, which names the field and what it should be.
    pub fn check(&self) -> Result<(), PolicyFault> {
        if strategy::find(&self.strategy).is_none() {
            let known = strategy::STRATEGIES
                .iter()
                .map(|s| s.name())
                .collect::<Vec<_>>()
                .join(", ");
            return Err(PolicyFault::UnknownStrategy {
                name: self.strategy.clone(),
                known,
            });
        }
        check_stages(&self.stages)?;
        self.check_shares()?;
        self.check_metrics()?;
        check_ratios(&self.hazard_ratios)
    }

    /// α of one metric or of [`Policy::agreement_share`]: its share of the total.
    #[must_use]
    pub fn alpha_of(&self, share: Ppm) -> f64 {
        self.alpha.fraction() * share.fraction()
    }

    fn check_shares(&self) -> Result<(), PolicyFault> {
        let inside = |field: &'static str, value: Ppm, low: u32, high: u32| match value.0 {
            v if (low..=high).contains(&v) => Ok(()),
            _ => Err(PolicyFault::Range {
                field,
                value,
                low: Ppm(low),
                high: Ppm(high),
            }),
        };
        inside("min_exposed", self.min_exposed, 1, 1_000_000)?;
        inside("control", self.control, 0, 500_000)?;
        inside("margin", self.margin, 1, 900_000)?;
        inside("alpha", self.alpha, 1, 500_000)?;
        inside("promotion_risk", self.promotion_risk, 1, 500_000)?;
        inside("agreement_share", self.agreement_share, 1, 1_000_000)?;
        if self.min_inputs == 0 {
            return Err(PolicyFault::NoInputs);
        }
        Ok(())
    }

    fn check_metrics(&self) -> Result<(), PolicyFault> {
        if self.metrics.len() > MAX_METRICS {
            return Err(PolicyFault::TooMany {
                field: "metrics",
                limit: MAX_METRICS,
                found: self.metrics.len(),
            });
        }
        let mut names = BTreeSet::from([SILENCE]);
        let mut spent = u64::from(self.agreement_share.0);
        for metric in &self.metrics {
            if metric.name.is_empty() || !names.insert(&metric.name) {
                return Err(PolicyFault::MetricName {
                    name: metric.name.clone(),
                });
            }
            if metric.share.0 == 0 {
                return Err(PolicyFault::NoShare {
                    name: metric.name.clone(),
                });
            }
            spent += u64::from(metric.share.0);
        }
        if let Some(silence) = &self.silence {
            if silence.after_s == 0 || silence.share.0 == 0 {
                return Err(PolicyFault::NoShare { name: SILENCE.into() });
            }
            spent += u64::from(silence.share.0);
        }
        if spent > u64::from(Ppm::ONE.0) {
            return Err(PolicyFault::Overspent {
                spent: Ppm(u32::try_from(spent).unwrap_or(u32::MAX)),
            });
        }
        Ok(())
    }
}

fn check_stages(stages: &[Stage]) -> Result<(), PolicyFault> {
    if stages.is_empty() {
        return Err(PolicyFault::NoStages);
    }
    if stages.len() > MAX_STAGES {
        return Err(PolicyFault::TooMany {
            field: "stages",
            limit: MAX_STAGES,
            found: stages.len(),
        });
    }
    for &stage in stages {
        let fits = match stage {
            Stage::Count(n) => n > 0,
            Stage::Share(share) => share.0 > 0 && share <= Ppm::ONE,
        };
        if !fits {
            return Err(PolicyFault::StageRange { stage });
        }
    }
    for pair in stages.windows(2) {
        let rises = match (pair[0], pair[1]) {
            (Stage::Count(a), Stage::Count(b)) => a < b,
            (Stage::Share(a), Stage::Share(b)) => a < b,
            (Stage::Count(_), Stage::Share(_)) => true,
            (Stage::Share(_), Stage::Count(_)) => false,
        };
        if !rises {
            return Err(PolicyFault::StageOrder {
                before: pair[0],
                after: pair[1],
            });
        }
    }
    Ok(())
}

fn check_ratios(grid: &[HazardRatio]) -> Result<(), PolicyFault> {
    if grid.is_empty() || grid.len() > MAX_RATIOS {
        return Err(PolicyFault::TooMany {
            field: "hazard_ratios",
            limit: MAX_RATIOS,
            found: grid.len(),
        });
    }
    let sound = |r: &HazardRatio| {
        r.ratio > 1.0 && r.ratio <= 1e6 && r.weight > 0.0 && r.weight.is_finite() && r.weight <= 1e12
    };
    match grid.iter().find(|r| !sound(r)) {
        Some(bad) => Err(PolicyFault::HazardRatio {
            ratio: bad.ratio,
            weight: bad.weight,
        }),
        None => Ok(()),
    }
}
