//! The device's update state machine, sans-I/O.
//!
//! An [`Agent`] holds a device's medium and decides; a driver around it does. The driver feeds [`Input`]s in, takes
//! [`Action`]s out, and calls again at [`Agent::wake_at`]:
//!
//! ```text
//! let mut agent = Agent::start(config, storage, signer, entropy, now)?;
//! loop {
//!     while let Some(action) = agent.poll_action() { /* do it; its outcome comes back as an Input */ }
//!     agent.handle(next_input_or_tick(until: agent.wake_at()), now);
//! }
//! ```
//!
//! The way of an update: *enrol* once → *check in* (periodically, or when the doorbell rings) → verify the director's
//! document → refresh the image repository's metadata → decide → *download* by ranges into the inactive slot → verify
//! → *self-test* by the host's engine → *flip*, on trial, the old image beside the new one → confirm, or fall back by
//! itself. Every step is read from the journal, so a power cut at any point costs time and nothing else.
//!
//! What holds whatever the server or the network does: only bytes that the owner signed are ever tested or served;
//! what serves goes on serving; bytes are reserved from the day's budget before they are asked for; retries back off
//! with full jitter under a budget of their own; telemetry is kept until the server has committed it.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod agent;
mod answers;
mod backoff;
mod config;
mod counts;
mod enrolment;
mod error;
mod io;
mod network;
mod refresh;
mod repositories;
mod serving;
mod update;
mod watch;

pub use agent::Agent;
pub use config::{Config, NetworkPolicy, TrialPolicy};
pub use counts::{Counted, Counts, unit};
pub use error::{AgentError, Trouble};
pub use io::{
    Action, Entropy, HttpRequest, Input, Method, Now, Paired, Report, RequestId, ResponseHead, Running,
    Serving, TransportError,
};
