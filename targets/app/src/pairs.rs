//! What pairs of answers to one input are told apart by.

use sanderling_wire::RolloutId;
use sha2::{Digest, Sha256};

/// Hash of an input's bytes.
pub type InputHash = [u8; 32];

/// The name of an input within a rollout: tells inputs apart, and says nothing of them to who lacks them.
#[must_use]
pub fn unit(rollout: RolloutId, input: &InputHash) -> u64 {
    let salted = Sha256::new()
        .chain_update(b"sanderling-pair-v1")
        .chain_update(rollout.0.to_le_bytes())
        .chain_update(input)
        .finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&salted[..8]);
    u64::from_le_bytes(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_differ_by_rollout() {
        assert_ne!(unit(RolloutId(1), &[0; 32]), unit(RolloutId(2), &[0; 32]));
    }
}
