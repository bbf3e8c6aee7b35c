//! Paired agreement: do target and base decide alike on the same input, on the same device?
//!
//! Each distinct input is a coin that shows "differs" with some probability p, whatever came before.
//! *Stopping* tests p ≤ p₀, the release's allowance: against a fixed alternative p₁ > p₀ the likelihood ratio
//! (p₁/p₀)^d · ((1−p₁)/(1−p₀))^(n−d) of d differing among n inputs is an e-process (a Bernoulli SPRT without a lower
//! limit), and so is its mean over a grid of alternatives. It depends on n and d alone, so that the server stores two
//! counts. The fleet's process and one per hardware class share the α by being averaged with weights fixed beforehand:
//! damage on one class of many is seen though the fleet's share hides it.
//!
//! *Promotion* turns the test around: the upper confidence bound is the lowest p whose hypothesis "at least p" is
//! refuted at `promotion_risk`. Inverting an e-process gives a confidence *sequence* (Waudby-Smith and Ramdas,
//! arXiv 2010.09686): it holds at all times at once. A Clopper–Pearson bound holds at one time fixed beforehand,
//! and a planner that looks until it likes what it sees breaks it (docs/rollout-gates.md has the figures).

use super::{ln_sum_exp, told};
use crate::evidence::{Counts, PairedEvidence};
use crate::policy::Ppm;
use sanderling_wire::HardwareId;
use serde::{Deserialize, Serialize};

/// Odds of the farthest alternative: 19 to 1, p₁ = 95 %.
const FARTHEST_ODDS: f64 = 19.0;
/// Alternatives of the promotion test, as fractions of the share to be refuted.
const BELOW: [f64; 5] = [1.0 / 16.0, 1.0 / 8.0, 1.0 / 4.0, 1.0 / 2.0, 3.0 / 4.0];
/// Halvings of the search for the upper bound: to 2⁻⁴⁰.
const BISECTIONS: usize = 40;

/// What paired agreement says.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct AgreementReading {
    /// Distinct inputs of the fleet, and those that differ.
    pub fleet: Counts,
    /// Distinct inputs needed before the first promotion, of the fleet and of each class on the target.
    pub needed: (u64, u64),
    /// The share allowed to differ.
    pub allowed: Ppm,
    /// ln of the e-value against the allowance, fleet and classes together.
    pub ln_e: f64,
    /// Stops at this: ln(1/α).
    pub ln_stop: f64,
    /// Upper confidence bound of the fleet's share, valid at any time.
    pub upper_bound: f64,
    /// Promotion asks for a bound of at most this: allowance plus margin.
    pub limit: f64,
    /// The classes that count, in the rollout's order.
    pub classes: Vec<ClassReading>,
    /// The class that carries the evidence, where the fleet's own count would not do.
    pub class: Option<HardwareId>,
}

/// One hardware class's part.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ClassReading {
    /// The class.
    pub class: HardwareId,
    /// Distinct inputs of the class, and those that differ.
    pub counts: Counts,
    /// ln of its own e-value, before weighting.
    pub ln_e: f64,
}

impl AgreementReading {
    /// Whether the target is stopped.
    #[must_use]
    pub fn stops(&self) -> bool {
        self.ln_e >= self.ln_stop
    }

    /// Whether the bound is low enough to promote.
    #[must_use]
    pub fn promotes(&self) -> bool {
        self.upper_bound <= self.limit
    }
}

/// The limits that a reading is held against.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// p₀: the share allowed to differ.
    pub allowed: Ppm,
    /// What promotion tolerates above it.
    pub margin: Ppm,
    /// Probability of ever stopping a release within its allowance.
    pub alpha: f64,
    /// Probability of ever bounding a release wrongly.
    pub risk: f64,
    /// Distinct inputs needed before the first promotion, of the fleet and of each class on the target.
    pub needed: (u64, u64),
}

/// Reads the evidence. `classes` is the rollout's list, in the order in which classes entered it: the k-th
/// (from 1) weighs 1/(k(k+1)), so that classes may join at any time and the weights never exceed one.
#[must_use]
pub fn read(evidence: &PairedEvidence, classes: &[HardwareId], limits: Limits) -> AgreementReading {
    let p0 = limits.allowed.fraction();
    let fleet = ln_e_above(evidence.fleet, p0);
    let mut readings = Vec::new();
    let mut weighted = vec![(0.5_f64.ln() + fleet, None)];
    let mut unspent = 1.0;
    for (k, class) in classes.iter().enumerate() {
        let Some((_, counts)) = evidence.classes.iter().find(|(c, _)| c == class) else {
            continue;
        };
        let weight = 1.0 / ((k + 1) as f64 * (k + 2) as f64);
        unspent -= weight;
        let ln_e = ln_e_above(*counts, p0);
        readings.push(ClassReading {
            class: class.clone(),
            counts: *counts,
            ln_e: told(ln_e),
        });
        weighted.push(((0.5 * weight).ln() + ln_e, Some(class)));
    }
    // Classes without evidence stand at their stake, e = 1.
    weighted.push(((0.5 * unspent).ln(), None));
    let ln_e = told(ln_sum_exp(weighted.iter().map(|(term, _)| *term)));
    let loudest = weighted[1..]
        .iter()
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .and_then(|(_, class)| *class);
    let ln_stop = -limits.alpha.ln();
    AgreementReading {
        fleet: evidence.fleet,
        needed: limits.needed,
        allowed: limits.allowed,
        ln_e,
        ln_stop,
        upper_bound: upper_bound(evidence.fleet, limits.risk),
        limit: limits.allowed.fraction() + limits.margin.fraction(),
        class: loudest.filter(|_| readings.len() > 1 && fleet < ln_stop).cloned(),
        classes: readings,
    }
}

/// ln of the e-value against "at most `p0` differ". One alternative per doubling of the odds, up to 95 %.
/// With p₀ = 0 a single difference is proof: +∞.
#[must_use]
pub fn ln_e_above(counts: Counts, p0: f64) -> f64 {
    let (n, d) = (counts.inputs as f64, counts.disagreements as f64);
    if n == 0.0 {
        return 0.0;
    }
    if p0 <= 0.0 {
        return if d > 0.0 { f64::INFINITY } else { 0.0 };
    }
    let odds = p0 / (1.0 - p0);
    let points = (FARTHEST_ODDS / odds).log2().ceil().max(1.0);
    let step = (FARTHEST_ODDS / odds).max(2.0).powf(1.0 / points);
    let ratio = |j: usize| {
        let odds = odds * step.powi(j as i32);
        let p1 = odds / (1.0 + odds);
        d * (p1 / p0).ln() + (n - d) * ((1.0 - p1) / (1.0 - p0)).ln()
    };
    ln_sum_exp((1..=points as usize).map(ratio)) - points.ln()
}

/// ln of the e-value against "at least `p` differ", 0 < p < 1. Rises with p.
#[must_use]
pub fn ln_e_below(counts: Counts, p: f64) -> f64 {
    let (n, d) = (counts.inputs as f64, counts.disagreements as f64);
    let ratio = |c: f64| d * c.ln() + (n - d) * ((1.0 - c * p) / (1.0 - p)).ln();
    ln_sum_exp(BELOW.into_iter().map(ratio)) - (BELOW.len() as f64).ln()
}

/// The lowest share that the counts refute at `risk`: an upper confidence bound, valid at all times at once.
/// 1 where they refute nothing.
#[must_use]
pub fn upper_bound(counts: Counts, risk: f64) -> f64 {
    if counts.disagreements >= counts.inputs {
        return 1.0;
    }
    let (mut open, mut refuted) = (0.0, 1.0);
    for _ in 0..BISECTIONS {
        let middle = f64::midpoint(open, refuted);
        if ln_e_below(counts, middle) >= -risk.ln() {
            refuted = middle
        } else {
            open = middle
        }
    }
    refuted
}
