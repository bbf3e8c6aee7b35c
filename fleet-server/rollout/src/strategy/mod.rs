//! Strategies: who is next, and when.
//!
//! A strategy sees a [`Draft`] of the plan, in which everything that is common (stops, freezes, exclusions,
//! entering) is settled already. To add one: a file here, a row below, a scenario in `tests/scenarios`.

mod canary;

use crate::draft::Draft;

/// A way of spreading a target over a fleet.
pub trait Strategy: Sync {
    /// What policies call it.
    fn name(&self) -> &'static str;

    /// What it does, in a line for `--help` and the web page.
    fn about(&self) -> &'static str;

    /// Adds to the draft what is to happen now. Called while the rollout runs, with a device at least.
    fn decide(&self, draft: &mut Draft<'_>);
}

/// Every strategy there is.
pub static STRATEGIES: &[&dyn Strategy] = &[&canary::Canary];

/// The strategy of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static dyn Strategy> {
    STRATEGIES.iter().find(|s| s.name() == name).copied()
}

/// Their names, for people.
pub(crate) fn names() -> String {
    STRATEGIES.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
}
