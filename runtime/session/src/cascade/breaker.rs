//! The circuit breaker: closed while the endpoint answers, open while it does not, half-open to find out.

use std::time::Duration;

/// When to stop asking, and when to try again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerConfig {
    /// Attempts that are looked at; at most 64.
    pub window: u32,
    /// Attempts that must have been made before the breaker opens.
    pub min_attempts: u32,
    /// Share of failures among them that opens it, 0 to 1.
    pub failure_share: f64,
    /// How long it stays open before it probes.
    pub open_for: Duration,
    /// Probes at one time, and successful probes in a row that close it.
    pub probes: u32,
}

impl Default for BreakerConfig {
    /// Half of the last 20 attempts, at least 5; ten seconds; one probe.
    fn default() -> Self {
        Self {
            window: 20,
            min_attempts: 5,
            failure_share: 0.5,
            open_for: Duration::from_secs(10),
            probes: 1,
        }
    }
}

/// What the breaker does at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum BreakerState {
    /// Lets attempts through.
    Closed,
    /// Lets none through.
    Open,
    /// Lets probes through.
    HalfOpen,
}

#[derive(Debug)]
enum Inner {
    /// The last outcomes, newest in the low bit, a failure is 1.
    Closed {
        outcomes: u64,
        count: u32,
    },
    Open {
        since: Duration,
    },
    /// When each probe that is out was sent, and how many came back well.
    HalfOpen {
        sent: Vec<Duration>,
        good: u32,
    },
}

#[derive(Debug)]
pub(super) struct Breaker {
    config: BreakerConfig,
    inner: Inner,
    /// How long a probe may be out before its slot is free again: its caller may have gone away.
    probe_timeout: Duration,
    pub(super) opened: u64,
}

impl Breaker {
    pub(super) fn new(config: BreakerConfig, probe_timeout: Duration) -> Self {
        let config = BreakerConfig {
            window: config.window.clamp(1, 64),
            min_attempts: config.min_attempts.clamp(1, config.window.clamp(1, 64)),
            probes: config.probes.max(1),
            ..config
        };
        Self {
            config,
            inner: Inner::Closed {
                outcomes: 0,
                count: 0,
            },
            probe_timeout,
            opened: 0,
        }
    }

    pub(super) fn state(&self, now: Duration) -> BreakerState {
        match &self.inner {
            Inner::Closed { .. } => BreakerState::Closed,
            Inner::Open { since } if now.saturating_sub(*since) < self.config.open_for => BreakerState::Open,
            Inner::Open { .. } | Inner::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// Whether an attempt may be made; counts it as a probe where it is one.
    pub(super) fn admit(&mut self, now: Duration) -> bool {
        if let Inner::Open { since } = self.inner {
            if now.saturating_sub(since) < self.config.open_for {
                return false;
            }
            self.inner = Inner::HalfOpen {
                sent: Vec::new(),
                good: 0,
            };
        }
        if let Inner::HalfOpen { sent, .. } = &mut self.inner {
            sent.retain(|&at| now.saturating_sub(at) < self.probe_timeout);
            if sent.len() >= self.config.probes as usize {
                return false;
            }
            sent.push(now);
        }
        true
    }

    /// An attempt that was admitted is over.
    pub(super) fn record(&mut self, now: Duration, failed: bool) {
        let config = self.config;
        let open = match &mut self.inner {
            Inner::Closed { outcomes, count } => {
                let mask = u64::MAX >> (64 - config.window);
                *outcomes = (*outcomes << 1 | u64::from(failed)) & mask;
                *count = (*count + 1).min(config.window);
                let share = f64::from(outcomes.count_ones()) / f64::from(*count);
                *count >= config.min_attempts && failed && share >= config.failure_share
            }
            // An attempt from before the breaker opened says nothing new.
            Inner::Open { .. } => false,
            Inner::HalfOpen { sent, good } => {
                sent.pop();
                *good += u32::from(!failed);
                if *good >= config.probes {
                    self.inner = Inner::Closed {
                        outcomes: 0,
                        count: 0,
                    };
                    return;
                }
                failed
            }
        };
        if open {
            self.opened += 1;
            self.inner = Inner::Open { since: now };
        }
    }
}
