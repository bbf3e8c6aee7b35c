//! The watch over a new image: counts since the agent's start, and what follows from them.

use crate::config::TrialPolicy;
use alloc::format;
use alloc::string::String;
use sanderling_wire::ServingWindow;

/// What the counts say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// Nothing yet.
    Wait,
    /// The image stands.
    Confirm,
    /// The device leaves the image.
    FallBack(String),
}

/// Counts since the image was loaded. Errors are counted apart from answers: what was asked is their sum.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch {
    since_ms: u64,
    answers: u64,
    errors: u64,
    pairs: u64,
}

impl Watch {
    pub(crate) fn begin(uptime_ms: u64) -> Self {
        Self {
            since_ms: uptime_ms,
            ..Self::default()
        }
    }

    pub(crate) fn pairs(&self) -> u64 {
        self.pairs
    }

    pub(crate) fn add_pairs(&mut self, pairs: usize) {
        self.pairs = self.pairs.saturating_add(pairs as u64);
    }

    /// Counts a window; leaving on latency is decided at once.
    pub(crate) fn add(&mut self, window: &ServingWindow, policy: &TrialPolicy) -> Verdict {
        self.answers = self.answers.saturating_add(window.answers);
        self.errors = self.errors.saturating_add(window.errors);
        match (policy.max_p95_us, window.latency_us.quantile(0.95)) {
            (Some(most), Some(p95)) if p95 > most && window.latency_us.count() >= 20 => Verdict::FallBack(
                format!("95 % of the answers take up to {p95:.0} µs, {most:.0} are allowed"),
            ),
            _ => self.errors_verdict(policy),
        }
    }

    fn errors_verdict(&self, policy: &TrialPolicy) -> Verdict {
        let asked = self.answers.saturating_add(self.errors);
        let share = self.errors as f64 / asked.max(1) as f64;
        if self.errors >= policy.min_errors && share > policy.max_error_share {
            let errors = self.errors;
            Verdict::FallBack(format!("{errors} of {asked} inputs ended in an error"))
        } else {
            Verdict::Wait
        }
    }

    /// Whether starts before this one stop counting as crashes.
    pub(crate) fn is_healthy(&self, policy: &TrialPolicy) -> bool {
        self.answers >= policy.healthy_answers
    }

    /// Whether the image stands; `compared` says whether an old one runs beside it.
    pub(crate) fn verdict(&self, policy: &TrialPolicy, uptime_ms: u64, compared: bool) -> Verdict {
        let long = uptime_ms.saturating_sub(self.since_ms) >= u64::from(policy.min_seconds) * 1_000;
        let enough = self.answers >= policy.min_answers && (!compared || self.pairs >= policy.min_pairs);
        if long && enough {
            Verdict::Confirm
        } else {
            self.errors_verdict(policy)
        }
    }

    /// When the watch should be looked at again though nothing happens.
    pub(crate) fn due_ms(&self, policy: &TrialPolicy) -> u64 {
        self.since_ms
            .saturating_add(u64::from(policy.min_seconds) * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sanderling_wire::{Digest, Sketch};

    fn watched(answers: u64, errors: u64, policy: &TrialPolicy) -> (Verdict, bool) {
        let mut watch = Watch::begin(0);
        let verdict = watch.add(
            &ServingWindow {
                image: Digest([0; 32]),
                seconds: 1,
                answers,
                errors,
                rejected_inputs: 0,
                flagged_inputs: 0,
                cascaded: 0,
                degraded: 0,
                latency_us: Sketch::new(),
                confidence: [0; 10],
                classes: alloc::vec::Vec::new(),
            },
            policy,
        );
        (verdict, watch.is_healthy(policy))
    }

    #[test]
    fn errors_are_apart_from_answers() {
        let policy = TrialPolicy {
            min_errors: 3,
            max_error_share: 0.5,
            healthy_answers: 3,
            ..TrialPolicy::default()
        };
        assert_eq!(
            watched(3, 3, &policy),
            (Verdict::Wait, true),
            "half of six, and three good answers"
        );
        let (verdict, healthy) = watched(2, 3, &policy);
        assert!(matches!(&verdict, Verdict::FallBack(why) if why.contains("3 of 5")));
        assert!(!healthy);
        assert!(matches!(watched(0, 3, &policy).0, Verdict::FallBack(_)));
    }
}
