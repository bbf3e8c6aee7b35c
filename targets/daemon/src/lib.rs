//! A device in one process: the agent that keeps it up to date, and the sessions that answer.
//!
//! ```text
//!   drivers::Host (agent's thread) ── self_test, serve ──► Engine ── commands ──► Worker (serving thread)
//!           ▲                                                                       │  feed ─► answer ─► log
//!           └────────────── serving windows, paired outcomes, events ───────────────┘       └► compare, off the timed path
//! ```
//!
//! The worker owns the models: sessions belong to one thread. It takes inputs from a [`feed`] at a steady pace, answers
//! each from the image that serves (through the cascade, where one is set up), and then, off the timed path, runs the
//! other image of a trial on the same input. When a trial begins it goes through the inputs it remembers, so that
//! evidence does not have to wait for new ones.
//!
//! Programs of the device ask the same model over the Open Inference Protocol ([`DaemonOptions::inference`]), at a Unix
//! socket or on loopback: their requests wait in the worker's own line, so that an update changes models between two of
//! them, and they are counted and compared as files are.
//!
//! Besides the commands and [`sanderling_app`] this is the only crate in which agent and session meet.
#![forbid(unsafe_code)]

mod daemon;
mod engine;
mod error;
pub mod feed;
mod infer;
mod log;
mod recent;
pub mod settings;
mod worker;

pub use daemon::{Daemon, DaemonOptions, Sessions, Stopper};
pub use error::DaemonError;
pub use log::AnswerLine;
pub use sanderling_app::runtime_info;
pub use settings::Settings;
pub use worker::{CascadeOptions, Pace};
