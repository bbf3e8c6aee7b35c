//! Verification of what a device is told: [TUF 1.0] metadata in [Uptane]'s split, and signed HTTP requests.
//!
//! Two repositories speak to a device. The *image repository* says what exists: its owner signs it offline.
//! The *director* says what this one device should run: the server signs that online, at each check-in, as one
//! document. A device installs only what both name with the same length and hash, so a server that is broken
//! into can choose among the owner's images but cannot make one.
//!
//! ```text
//!   pinned hash ─► RootChain ─► TrustedSet (image: timestamp ► snapshot ► targets) ─┐
//!                                                                                    ├─► decide ─► Assignment
//!   pinned hash ─► RootChain ─► Director  (one document for this device) ───────────┘
//! ```
//!
//! Bytes become trusted in one direction only: bytes → [`json::Value`] (parsed once, strictly) → signatures
//! over the canonical form of that value → a typed view of that same value, inside a [`Verified`] that nothing
//! else can make. Length and hash limits apply to the bytes as received. Nothing here reads a clock, a file, a
//! socket or random numbers: time is an argument, transports and storage belong to the caller.
//!
//! Expired metadata blocks installing and nothing else: [`TrustedSet::load_local`] takes it back in (it still
//! guards against rollback) and reports it, [`decide`] refuses to install by it.
//!
//! # The way through, for an agent
//!
//! 1. [`TrustedSet::new`] and [`Director::new`] from the pins and the first roots; [`TrustedSet::update_root`]
//!    with each later root kept on disk; then [`TrustedSet::load_local`] and [`Director::load_local`].
//! 2. For each repository fetch `{version + 1}.root.json` until there is none, at most
//!    [`Limits::max_root_rotations`] of them; store each that was accepted.
//! 3. Fetch `timestamp.json`, [`TrustedSet::update_timestamp`]; then while [`TrustedSet::wanted`] names a file,
//!    fetch it within its `max_len` and hand it to [`TrustedSet::update`].
//! 4. [`Director::verify`] the document of the check-in's reply, then [`decide`].
//!
//! [TUF 1.0]: https://theupdateframework.github.io/specification/latest/
//! [Uptane]: https://uptane.org/docs/latest/standard/uptane-standard
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod director;
pub mod envelope;
pub mod error;
pub mod http_sig;
pub mod json;
pub mod key;
pub mod metadata;
pub mod set;
pub mod time;
mod verified;

pub use director::{
    AssignedTarget, Assignment, DeviceIdentity, Director, DirectorTargets, Mode, RolloutAssignment,
    SelectedTarget, decide,
};
pub use envelope::Envelope;
pub use error::{Attack, TrustError};
pub use key::{Ed25519Signer, KeyId, PublicKey, SignError, Signature, Signer};
pub use metadata::{
    Hashes, MetaFile, Release, Role, RoleKeys, Root, Snapshot, TargetFile, Targets, Timestamp,
};
pub use set::{
    Change, Fetch, Limits, Local, LocalReport, LocalState, RootChain, RootPin, Roots, Search, Step,
    TrustedSet,
};
pub use time::UnixTime;
pub use verified::Verified;

#[cfg(test)]
mod tests;
