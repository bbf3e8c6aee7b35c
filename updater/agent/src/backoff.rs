//! When to try again: exponential back-off with full jitter, under a budget of retries.
//!
//! Full jitter (a wait drawn evenly between zero and a doubling bound) spreads a fleet that failed together. The
//! budget bounds retries over time, so that a server that answers every request with an error at once is not
//! stormed: when it is empty, a retry waits until one has come back.

use crate::config::NetworkPolicy;
use crate::io::Entropy;

/// Failures in a row and the retries left.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    failures: u32,
    retries: u32,
    refilled_ms: u64,
}

impl Backoff {
    pub(crate) fn new(policy: &NetworkPolicy, uptime_ms: u64) -> Self {
        Self {
            failures: 0,
            retries: policy.retry_budget,
            refilled_ms: uptime_ms,
        }
    }

    /// A success ends the row.
    pub(crate) fn success(&mut self) {
        self.failures = 0;
    }

    /// Whether the budget has a retry left.
    pub(crate) fn has_retries(&self) -> bool {
        self.retries > 0
    }

    /// Milliseconds to wait after a failure; `at_least` is what the server asked for.
    pub(crate) fn failure(
        &mut self,
        policy: &NetworkPolicy,
        entropy: &mut dyn Entropy,
        uptime_ms: u64,
        at_least: u64,
    ) -> u64 {
        let refill = policy.retry_refill_ms.max(1);
        let back = uptime_ms.saturating_sub(self.refilled_ms) / refill;
        self.refilled_ms = self.refilled_ms.saturating_add(back.saturating_mul(refill));
        let retries = u64::from(self.retries)
            .saturating_add(back)
            .min(policy.retry_budget.into());
        self.retries = u32::try_from(retries).unwrap_or(policy.retry_budget);

        let bound = policy
            .backoff_base_ms
            .saturating_mul(1 << self.failures.min(20))
            .min(policy.backoff_max_ms);
        self.failures = self.failures.saturating_add(1);
        let mut wait = entropy.number() % bound.saturating_add(1);
        if self.retries == 0 {
            wait = wait.saturating_add(refill);
        } else {
            self.retries -= 1;
        }
        wait.max(at_least.min(policy.backoff_max_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Most;
    impl Entropy for Most {
        fn fill(&mut self, bytes: &mut [u8]) {
            bytes.fill(0xff);
        }
    }

    #[test]
    fn doubles_up_to_its_bound_and_keeps_its_budget() {
        let policy = NetworkPolicy {
            backoff_base_ms: 100,
            backoff_max_ms: 1_000,
            retry_budget: 6,
            retry_refill_ms: 10_000,
            ..NetworkPolicy::default()
        };
        let mut backoff = Backoff::new(&policy, 0);
        let mut wait = |now, least| backoff.failure(&policy, &mut Most, now, least);
        // The largest draw of each round stays within its bound.
        for bound in [100, 200, 400, 800, 1_000, 1_000] {
            assert!(wait(0, 0) <= bound);
        }
        // The budget is spent: from here on one each ten seconds.
        assert!(wait(0, 0) >= 10_000);
        assert!(wait(10_000, 0) <= 1_000);
        assert!(wait(10_000, 0) >= 10_000);
        // The server's wish counts, up to the longest step.
        assert_eq!(wait(100_000, 5_000), 1_000);
    }
}
