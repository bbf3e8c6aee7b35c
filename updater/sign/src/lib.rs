//! The owner's side of trust: keys, signing, and repositories as folders of files.
//!
//! Keys live in two places. The *offline* folder (root, targets, snapshot) belongs to people: it is carried to
//! a machine without network, signs a release there, and goes back into the safe. The *online* folder
//! (director, timestamp) belongs to the server. Only the server's keys can be stolen by breaking into the
//! server, and those can make no image.
//!
//! ```text
//!   keys::init ──► offline/ root-1 … root-n, targets, snapshot        image/1.root.json
//!                  online/  director, timestamp                       director/1.root.json
//!
//!   ImageRepo::open(image/) ─ add_target ─ publish ──► N.targets.json, N.snapshot.json     (offline keys)
//!   server:  mint_timestamp ──► timestamp.json    mint_director ──► a document per check-in (online keys)
//!   people:  draft_root, sign_file by one after the other, publish_root ──► N+1.root.json
//! ```
//!
//! Nothing here holds an opinion about who is right: what it writes is checked by the same
//! [`sanderling_trust`] that devices run ([`verify_repo`]).
//!
//! The clock and randomness are arguments; [`os_random`] is the randomness that a program hands in.
#![forbid(unsafe_code)]

pub mod error;
pub mod file;
pub mod keys;
pub mod mint;
pub mod repo;
pub mod root;
pub mod verify;

pub use error::Error;
pub use keys::{InitOptions, Initialised, KeyFile, Random, init, key_path, os_random};
pub use mint::{mint_director, mint_timestamp};
pub use repo::{Expiries, ImageRepo, Published, ReleaseSigners};
pub use root::{SignStatus, draft_root, publish_root, sign_file, sign_status};
pub use verify::{FileReport, RepoReport, SignedBy, verify_repo};

#[cfg(test)]
mod tests;
