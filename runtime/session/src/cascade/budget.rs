//! The budget for retries: a token bucket that first attempts fill.

/// How much retrying there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryBudget {
    /// Retries that each first attempt pays for; 0.1 allows one retry in ten questions.
    pub per_request: f64,
    /// Most retries saved up; the bucket begins full.
    pub capacity: f64,
}

impl Default for RetryBudget {
    /// One retry for five questions, ten saved up.
    fn default() -> Self {
        Self {
            per_request: 0.2,
            capacity: 10.0,
        }
    }
}

#[derive(Debug)]
pub(super) struct Bucket {
    config: RetryBudget,
    tokens: f64,
}

impl Bucket {
    pub(super) fn new(config: RetryBudget) -> Self {
        Self {
            config,
            tokens: config.capacity,
        }
    }

    /// A first attempt pays in.
    pub(super) fn deposit(&mut self) {
        self.tokens = (self.tokens + self.config.per_request).min(self.config.capacity);
    }

    /// Whether there is a retry left; takes it.
    pub(super) fn withdraw(&mut self) -> bool {
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}
