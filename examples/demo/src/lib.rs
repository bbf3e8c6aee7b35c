//! `sanderling demo`: a fleet of twelve devices on one machine, from a packed model to a rollback.
//!
//! The story uses the product's own parts as a user has them: the packer, the signer, the fleet server, agents
//! as processes, `sanderling serve`, and the commands. What is the demo's own: two damaged models ([`models`]), a
//! proxy that makes a bad network ([`proxy`]), and a judge that reads devices' slots and the server's ledger at the
//! end ([`judge`]) and decides the exit status.
//!
//! Its roots of trust say `demo` and expire in a day; only agents and servers started from here accept them.
#![forbid(unsafe_code)]

mod chronicle;
mod fleet;
pub mod judge;
pub mod models;
mod proxy;
mod roles;
mod scenes;
mod story;
mod strikes;
mod timeline;

pub use roles::run_role;
pub use story::{DemoOptions, run};
