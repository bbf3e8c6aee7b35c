//! When the device's answer is not sure enough: ask a bigger model, without waiting for ever.
//!
//! # Mental model
//!
//! [`Cascade`] is a state machine without I/O, clock or randomness of its own. [`Cascade::begin`] says what to do
//! with a local answer; if that is [`Step::Send`], the caller asks the endpoint and hands the result, with the
//! [`Ticket`], to [`Cascade::reply`]; if that says [`Step::Wait`], the caller waits and calls [`Cascade::resume`].
//! Every way ends in [`Step::Done`]. A ticket carries all that belongs to one question, so any number may be open.
//!
//! What keeps a slow or broken endpoint from hurting, from the inside out:
//! - every attempt has a timeout, and all attempts of a question together a deadline;
//! - retries wait a random time below an exponentially growing bound ("full jitter", Brooker, "Exponential Backoff
//!   And Jitter", AWS Architecture Blog, 2015), and not less than the endpoint asks for;
//! - retries draw on a budget that only first attempts fill, so that a broken endpoint sees a fixed share more
//!   traffic, never a multiple (token bucket, as in Finagle's and gRPC's retry budgets);
//! - a circuit breaker stops asking at all where most recent attempts failed, and probes now and then (Nygard,
//!   "Release It!", 2nd edition, 2018, chapter 5).
//!
//! Without the endpoint's answer the caller gets a fallback, flagged [`Degraded`]: a cached answer to the same
//! input, even an old one, else the local answer.

mod breaker;
mod budget;
mod cache;
mod drive;
mod machine;

pub use breaker::{BreakerConfig, BreakerState};
pub use budget::RetryBudget;
pub use cache::{CacheConfig, Key};
pub use drive::{
    CascadeAnswer, CascadeHost, CascadePipeline, CloudEndpoint, CloudReply, CloudRequest, SystemHost,
};
pub use machine::{
    Cascade, CascadeConfig, CascadeCounters, CloudError, Degraded, Source, Step, Ticket, Verdict,
};

#[cfg(test)]
mod tests;
