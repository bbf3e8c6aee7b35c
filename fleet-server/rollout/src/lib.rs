//! The rollout planner: pure functions from state and evidence to a plan.
//!
//! # The mental model
//! A rollout moves a fleet from a *base* release to a *target* release. Somebody who holds storage, clocks and
//! sockets (the server) asks the planner again and again: *given all this, what now?* The planner answers with
//! a [`Plan`]: an ordered list of [`Decision`]s, each with a sentence for people. The executor carries the plan
//! out to the letter and makes no choices of its own; it writes the decisions into the ledger, and folds them into
//! the stored state by [`apply`].
//!
//! ```text
//!   Rollout ─────┐  what was decided so far (policy, stage, status): small, one row
//!   Assignments ─┤  who got what, when: written once, only grows
//!   Inventory ───┼─► plan ─► Plan ─► ledger, director metadata
//!   Evidence ────┤             └───► apply ─► the next Rollout and Assignments
//!   Freeze, now ─┘
//! ```
//!
//! Why so: a decision that moves a fleet must be explained, replayed and tested. With no clock, no randomness
//! and no I/O in here, a day of a fleet is a text file (`tests/scenarios`), and a planner's mistake is a failing test.
//! Planning again with nothing new gives a plan without decisions, so that a crash between plan and apply costs nothing.
//!
//! # How it is used
//! ```
//! use sanderling_rollout::*;
//! use sanderling_wire::{DeviceId, Digest, HardwareId, RolloutId, RuntimeInfo};
//!
//! let release = |label: &str| Release::new(label, Digest::of(label.as_bytes()));
//! // Once: the operator starts a rollout. Nonsense stages and shares are refused here.
//! let mut rollout = Rollout::start(
//!     RolloutId(7),
//!     [0x5a; 16], // salt: random bytes of the caller
//!     release("v2"),
//!     release("v1"),
//!     Policy { stages: vec!["1".parse()?, "25%".parse()?, "100%".parse()?], ..Policy::default() },
//!     1_000,
//! )?;
//! let mut assignments = Assignments::default();
//!
//! // At each tick: what the database knows of the fleet …
//! let runtime = RuntimeInfo {
//!     version: (0, 1, 0), numerics: 1, bundle_format: 1, operators: vec![":Conv".into()], memory_limit: 0,
//! };
//! let mut builder = InventoryBuilder::default();
//! let profile = builder.profile(&HardwareId::new("pi4")?, &runtime);
//! let (version, untold) = (builder.version(Some(rollout.base.digest)), builder.version(None));
//! for n in 0..12 {
//!     builder.device(Device {
//!         id: DeviceId([n; 16]), profile, version, told: untold, running_since: 0, last_seen: 1_000, frozen: false,
//!     });
//! }
//! let inventory = builder.build()?;
//! // … and what it has counted since the rollout began …
//! let evidence = Evidence::default();
//!
//! // … give a plan, which is written down, carried out and folded into the state.
//! let input = Input {
//!     rollout: &rollout, assignments: &assignments, inventory: &inventory, evidence: &evidence,
//!     freeze: None, now: 1_000,
//! };
//! let plan = plan(&input)?;
//! assert!(plan.sentences().any(|s| s.contains("1 device of pi4 gets v2")));
//! apply(&mut rollout, &mut assignments, &plan)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Operators act through the same door: [`command`] turns pause, resume, abort and rollback into a [`Plan`], and
//! [`freeze_all`] stops every rollout of the fleet.
//!
//! Devices that no rollout reached are [`newcomers`]: they are told to run their model's champion, outside of any rollout.
//!
//! # What a decision rests on
//! [`gates`] holds the statistics: paired agreement and device health, both anytime-valid, so that looking at
//! every tick costs nothing in false alarms. docs/rollout-gates.md gives formulae and measured error rates. A
//! [`strategy`] decides who is next; the gates, who may be left out and what stops a rollout are common to all strategies.
//!
//! # Where things are
//! [`Policy`], [`Stage`], [`Ppm`] · [`Inventory`] · [`Rollout`], [`Release`], [`Status`] · [`Assignments`] ·
//! [`Evidence`] · [`Plan`], [`Decision`], [`Assessment`] · [`Command`], [`Freeze`] · [`Champion`], [`Welcome`] · [`Error`].
//! Times are Unix seconds of the server's clock ([`UnixSeconds`]). State is serde data: the server stores it as it likes.
#![forbid(unsafe_code)]

mod assess;
mod assignments;
mod cohort;
mod command;
mod draft;
mod error;
mod evidence;
pub mod gates;
mod inventory;
mod newcomers;
mod order;
mod plan;
mod planner;
mod policy;
mod rollout;
pub mod strategy;
mod words;

pub use assignments::{Assignment, Assignments, Exclusion, ExclusionGroup};
pub use command::{Command, Freeze, command, freeze_all};
pub use draft::Draft;
pub use error::{Error, EvidenceFault, PolicyFault};
pub use evidence::{Counts, DeviceEvent, Evidence, MetricEvidence, PairedEvidence};
pub use inventory::{Device, Inventory, InventoryBuilder, Profile, ProfileId, VersionId};
pub use newcomers::{Champion, Welcome, left_out, newcomers};
pub use order::rank;
pub use plan::{Assessment, Decision, HoldReason, Plan, StageReading, apply};
pub use planner::{Input, plan, standing};
pub use policy::{HazardRatio, HealthMetric, Policy, Ppm, SILENCE, Silence, Stage};
pub use rollout::{Release, Requirements, Rollout, Status, StopReason};
pub use sanderling_wire::Arm;

/// Seconds since the Unix epoch, by the server's clock. Never a device's clock.
pub type UnixSeconds = u64;

#[cfg(test)]
mod tests;
