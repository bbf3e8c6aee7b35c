//! The state machine.

use super::breaker::{Breaker, BreakerConfig, BreakerState};
use super::budget::{Bucket, RetryBudget};
use super::cache::{Cache, CacheConfig, Key};
use std::fmt;
use std::time::Duration;

/// When and how to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CascadeConfig {
    /// Local answers with a lower confidence are passed on.
    pub threshold: f32,
    /// Time for all attempts of one question together.
    pub deadline: Duration,
    /// Time for one attempt.
    pub attempt_timeout: Duration,
    /// Attempts of one question, the first included; at least 1.
    pub max_attempts: u32,
    /// Bound of the wait before the first retry; doubles with each further one.
    pub backoff_base: Duration,
    /// Largest bound.
    pub backoff_cap: Duration,
    /// How much retrying there may be over all questions.
    pub retry_budget: RetryBudget,
    /// When to stop asking.
    pub breaker: BreakerConfig,
    /// What is remembered.
    pub cache: CacheConfig,
}

impl Default for CascadeConfig {
    /// Below 0.5; two seconds, 800 ms an attempt, three attempts, 50 ms doubling up to a second.
    fn default() -> Self {
        Self {
            threshold: 0.5,
            deadline: Duration::from_secs(2),
            attempt_timeout: Duration::from_millis(800),
            max_attempts: 3,
            backoff_base: Duration::from_millis(50),
            backoff_cap: Duration::from_secs(1),
            retry_budget: RetryBudget::default(),
            breaker: BreakerConfig::default(),
            cache: CacheConfig::default(),
        }
    }
}

/// Why an endpoint gave no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloudError {
    /// It could not be reached.
    Unreachable(String),
    /// It did not answer in time.
    Timeout,
    /// It asks for fewer questions (HTTP 429, 503).
    Overloaded {
        /// How long it wants to be left alone, where it says.
        retry_after: Option<Duration>,
    },
    /// It failed (HTTP 5xx, an answer that cannot be read).
    Server(String),
    /// It refuses this question (HTTP 4xx): asking again will not help, and others may be answered.
    Rejected(String),
}

impl fmt::Display for CloudError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the endpoint cannot be reached: {why}"),
            Self::Timeout => f.write_str("the endpoint did not answer in time"),
            Self::Overloaded {
                retry_after: Some(time),
            } => {
                write!(f, "the endpoint is overloaded, for {} ms", time.as_millis())
            }
            Self::Overloaded { retry_after: None } => f.write_str("the endpoint is overloaded"),
            Self::Server(why) => write!(f, "the endpoint failed: {why}"),
            Self::Rejected(why) => write!(f, "the endpoint refuses the question: {why}"),
        }
    }
}

impl std::error::Error for CloudError {}

/// Who gave an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Source {
    /// The model on the device.
    Device,
    /// The endpoint.
    Cloud,
    /// The endpoint, earlier.
    Cache,
}

/// Why an answer is not the one that the confidence called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Degraded {
    /// The breaker is open: too many attempts failed lately.
    BreakerOpen,
    /// The deadline has passed, or would before another attempt.
    Deadline,
    /// Every attempt failed.
    Attempts,
    /// Other questions used up the retries.
    Budget,
    /// The endpoint refuses the question.
    Rejected,
}

/// The end of a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict<T> {
    /// The answer.
    pub answer: T,
    /// Who gave it.
    pub source: Source,
    /// Set where it is a fallback.
    pub degraded: Option<Degraded>,
}

/// What to do next.
#[derive(Debug)]
pub enum Step<T> {
    /// Nothing: this is the answer.
    Done(Verdict<T>),
    /// Ask the endpoint, wait for at most `timeout`, then call [`Cascade::reply`].
    Send {
        /// The question.
        ticket: Ticket<T>,
        /// Time for this attempt.
        timeout: Duration,
    },
    /// Call [`Cascade::resume`] at `until`.
    Wait {
        /// The question.
        ticket: Ticket<T>,
        /// The moment, on the caller's clock.
        until: Duration,
    },
}

/// An open question. Dropping it forgets the question.
#[derive(Debug)]
pub struct Ticket<T> {
    key: Key,
    local: T,
    started: Duration,
    attempts: u32,
}

/// What was counted since the cascade was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct CascadeCounters {
    /// Answers that were sure enough.
    pub confident: u64,
    /// Questions to the endpoint, whatever came of them.
    pub asked: u64,
    /// Questions that the cache answered.
    pub cached: u64,
    /// Second and further attempts.
    pub retries: u64,
    /// Answers by the endpoint.
    pub cloud: u64,
    /// Fallbacks.
    pub degraded: u64,
    /// Times the breaker opened.
    pub breaker_opened: u64,
}

/// Decides which local answers are good enough, and how the others are asked for.
///
/// Times are durations since any fixed moment of the caller's monotonic clock.
#[derive(Debug)]
pub struct Cascade<T> {
    config: CascadeConfig,
    breaker: Breaker,
    bucket: Bucket,
    cache: Cache<T>,
    counters: CascadeCounters,
}

impl<T: Clone> Cascade<T> {
    /// A cascade that has seen nothing yet.
    #[must_use]
    pub fn new(config: CascadeConfig) -> Self {
        Self {
            breaker: Breaker::new(config.breaker, config.attempt_timeout.saturating_mul(2)),
            bucket: Bucket::new(config.retry_budget),
            cache: Cache::new(config.cache),
            counters: CascadeCounters::default(),
            config,
        }
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> CascadeCounters {
        CascadeCounters {
            breaker_opened: self.breaker.opened,
            ..self.counters
        }
    }

    /// What the breaker does at the moment.
    #[must_use]
    pub fn breaker(&self, now: Duration) -> BreakerState {
        self.breaker.state(now)
    }

    /// The threshold in force.
    #[must_use]
    pub fn threshold(&self) -> f32 {
        self.config.threshold
    }

    /// Forgets the answers of the endpoint: they mean something else from now on.
    pub fn forget_answers(&mut self) {
        self.cache = Cache::new(self.config.cache);
    }

    /// Sets another threshold: thresholds are configuration that rollouts change.
    pub fn set_threshold(&mut self, threshold: f32) {
        self.config.threshold = threshold;
    }

    /// Whether a local answer of this confidence is passed on. NaN is.
    #[must_use]
    pub fn is_unsure(&self, confidence: f32) -> bool {
        confidence.is_nan() || confidence < self.config.threshold
    }

    /// Takes a local answer to the input of this key.
    pub fn begin(&mut self, now: Duration, key: Key, local: T, confidence: f32) -> Step<T> {
        if !self.is_unsure(confidence) {
            self.counters.confident += 1;
            return Step::Done(Verdict {
                answer: local,
                source: Source::Device,
                degraded: None,
            });
        }
        if let Some(answer) = self.cache.fresh(&key, now) {
            self.counters.cached += 1;
            return Step::Done(Verdict {
                answer,
                source: Source::Cache,
                degraded: None,
            });
        }
        self.counters.asked += 1;
        self.bucket.deposit();
        self.attempt(
            now,
            Ticket {
                key,
                local,
                started: now,
                attempts: 0,
            },
        )
    }

    /// Goes on with a question whose wait is over.
    pub fn resume(&mut self, now: Duration, ticket: Ticket<T>) -> Step<T> {
        self.attempt(now, ticket)
    }

    fn attempt(&mut self, now: Duration, mut ticket: Ticket<T>) -> Step<T> {
        let left = self.left(now, &ticket);
        if left.is_zero() {
            return self.fall_back(now, ticket, Degraded::Deadline);
        }
        if !self.breaker.admit(now) {
            return self.fall_back(now, ticket, Degraded::BreakerOpen);
        }
        self.counters.retries += u64::from(ticket.attempts > 0);
        ticket.attempts += 1;
        Step::Send {
            ticket,
            timeout: left.min(self.config.attempt_timeout),
        }
    }

    /// What is left of a question's deadline.
    fn left(&self, now: Duration, ticket: &Ticket<T>) -> Duration {
        self.config
            .deadline
            .saturating_sub(now.saturating_sub(ticket.started))
    }

    /// Takes the result of an attempt. `random` is uniform in 0..1.
    pub fn reply(
        &mut self,
        now: Duration,
        ticket: Ticket<T>,
        result: Result<T, CloudError>,
        random: f64,
    ) -> Step<T> {
        let error = match result {
            Ok(answer) => {
                self.breaker.record(now, false);
                self.counters.cloud += 1;
                self.cache.store(ticket.key, now, answer.clone());
                return Step::Done(Verdict {
                    answer,
                    source: Source::Cloud,
                    degraded: None,
                });
            }
            Err(error) => error,
        };
        let rejected = matches!(error, CloudError::Rejected(_));
        // An endpoint that refuses a question is alive.
        self.breaker.record(now, !rejected);
        if rejected {
            return self.fall_back(now, ticket, Degraded::Rejected);
        }
        if ticket.attempts >= self.config.max_attempts.max(1) {
            return self.fall_back(now, ticket, Degraded::Attempts);
        }
        let asked = match error {
            CloudError::Overloaded { retry_after } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        let wait = self.backoff(ticket.attempts, random).max(asked);
        if wait >= self.left(now, &ticket) {
            return self.fall_back(now, ticket, Degraded::Deadline);
        }
        if self.breaker.state(now) == BreakerState::Open {
            return self.fall_back(now, ticket, Degraded::BreakerOpen);
        }
        if !self.bucket.withdraw() {
            return self.fall_back(now, ticket, Degraded::Budget);
        }
        Step::Wait {
            ticket,
            until: now + wait,
        }
    }

    /// A random part of min(cap, base · 2^(failed attempts − 1)).
    fn backoff(&self, attempts: u32, random: f64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let bound = self
            .config
            .backoff_base
            .saturating_mul(1 << doublings)
            .min(self.config.backoff_cap);
        bound.mul_f64(if random.is_nan() {
            1.0
        } else {
            random.clamp(0.0, 1.0)
        })
    }

    fn fall_back(&mut self, now: Duration, ticket: Ticket<T>, why: Degraded) -> Step<T> {
        self.counters.degraded += 1;
        let (answer, source) = match self.cache.stale(&ticket.key, now) {
            Some(answer) => (answer, Source::Cache),
            None => (ticket.local, Source::Device),
        };
        Step::Done(Verdict {
            answer,
            source,
            degraded: Some(why),
        })
    }
}
