//! The statistics that stop a rollout and let it move.
//!
//! Both gates are *e-processes*: a number that starts at 1 and that, if the target is as good as allowed, is not
//! expected to grow, however often and whenever one looks (Ville's inequality: it ever reaches 1/α with
//! probability at most α). The planner may therefore look at every tick, stop the moment the evidence is in, and never
//! resets anything when a stage begins. [`agreement`] compares answers, [`health`] compares devices.
//!
//! Stopping and promoting are two questions. Stopping asks for evidence *against* the target, promotion for evidence
//! *for* it; what shows neither holds.
//!
//! All values are natural logarithms; [`LN_MAX`] stands for certainty, so that readings stay finite in JSON.

pub mod agreement;
pub mod health;

pub use agreement::{AgreementReading, ClassReading};
pub use health::HealthReading;

/// The largest logarithm told. e^1000 to 1 is certainty.
pub const LN_MAX: f64 = 1e3;

/// ln Σ exp(terms), without overflow; −∞ for none.
fn ln_sum_exp(terms: impl Iterator<Item = f64> + Clone) -> f64 {
    let top = terms.clone().fold(f64::NEG_INFINITY, f64::max);
    if top.is_infinite() {
        return top;
    }
    top + terms.map(|t| (t - top).exp()).sum::<f64>().ln()
}

fn told(ln_e: f64) -> f64 {
    ln_e.clamp(-LN_MAX, LN_MAX)
}

/// The share of devices that a stage can rule out as failing: with `devices` exposed and none failed, a share above
/// 1 − risk^(1/devices) has probability below `risk` (the one-sided Clopper–Pearson bound for no failures).
#[must_use]
pub fn rules_out_above(devices: usize, risk: f64) -> f64 {
    if devices == 0 {
        return 1.0;
    }
    1.0 - risk.powf(1.0 / devices as f64)
}

#[cfg(test)]
mod tests;
