//! The ledger: an append-only list of decisions, chained by hashes as a whole and for each rollout.
//!
//! Each entry holds the hash of the entry before it and of the entry before it in its own rollout, so that a change in the
//! middle breaks the chain: [`check_chain`]. The hashes have no key: who can write the whole database can write another
//! chain that holds as well, or leave out the end. Whoever has noted a head elsewhere can tell that, for all before it.

use crate::StoreError;
use sanderling_wire::{Digest, RolloutId};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// What is before the first entry.
pub const GENESIS: Digest = Digest([0; 32]);

/// An entry to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// The rollout it belongs to, if to one.
    pub rollout: Option<RolloutId>,
    /// When.
    pub at: u64,
    /// What happened, in a word: `rollout.created`, `stage.started`.
    pub kind: String,
    /// The particulars, a JSON object.
    pub body: String,
}

/// An entry of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place, from 1, without gaps.
    pub seq: u64,
    /// The rollout it belongs to, if to one.
    pub rollout: Option<RolloutId>,
    /// When.
    pub at: u64,
    /// What happened.
    pub kind: String,
    /// The particulars, a JSON object.
    pub body: String,
    /// Hash of the entry before.
    pub previous: Digest,
    /// Hash of the entry before in the same rollout.
    pub rollout_previous: Digest,
    /// Hash of this entry.
    pub hash: Digest,
}

/// Chains a new entry to its two predecessors.
#[must_use]
pub fn chain(entry: NewEntry, seq: u64, previous: Digest, rollout_previous: Digest) -> Entry {
    let NewEntry {
        rollout,
        at,
        kind,
        body,
    } = entry;
    let mut entry = Entry {
        seq,
        rollout,
        at,
        kind,
        body,
        previous,
        rollout_previous,
        hash: GENESIS,
    };
    entry.hash = hash(&entry);
    entry
}

/// SHA-256 over the fields, each with its length, in the order of the struct.
fn hash(entry: &Entry) -> Digest {
    let mut sha = Sha256::new_with_prefix(b"sanderling-ledger-v1");
    sha.update(entry.seq.to_be_bytes());
    sha.update(entry.rollout.map_or(0, |rollout| rollout.0).to_be_bytes());
    sha.update(entry.at.to_be_bytes());
    for text in [&entry.kind, &entry.body] {
        sha.update((text.len() as u64).to_be_bytes());
        sha.update(text.as_bytes());
    }
    sha.update(entry.previous.0);
    sha.update(entry.rollout_previous.0);
    Digest(sha.finalize().into())
}

/// Checks that `entries`, the ledger's from `after` on in order, follow one another unbroken.
///
/// # Errors
/// [`StoreError::Conflict`] that names the first entry that does not fit.
pub fn check_chain(after: Option<&Entry>, entries: &[Entry]) -> Result<(), StoreError> {
    let (mut seq, mut previous) = after.map_or((0, GENESIS), |entry| (entry.seq, entry.hash));
    for entry in entries {
        if entry.seq != seq + 1 || entry.previous != previous || entry.hash != hash(entry) {
            return Err(StoreError::Conflict {
                what: format!(
                    "the ledger is broken at entry {}: it does not follow from the entry before it as it was written",
                    entry.seq
                ),
            });
        }
        (seq, previous) = (entry.seq, entry.hash);
    }
    Ok(())
}
