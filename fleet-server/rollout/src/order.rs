//! Who is next: a random order that is the same for everybody who knows the salt.
//!
//! Devices are ranked by a hash of (salt, device) within their hardware class, then the classes are
//! interleaved in proportion to their sizes. So every head of the order is a stratified random sample of the fleet, of
//! exactly the length asked for, and a stage is a head of it.

use sanderling_wire::{DeviceId, HardwareId};
use sha2::{Digest as _, Sha256};

/// A device's place in the lottery: the first 8 bytes, big-endian, of
/// SHA-256(`"sanderling rollout order 1\0"` ‖ salt ‖ device id). Low comes first.
#[must_use]
pub fn rank(salt: &[u8; 16], device: DeviceId) -> u64 {
    hash(b"sanderling rollout order 1\0", salt, &device.0)
}

fn hash(domain: &[u8], salt: &[u8; 16], what: &[u8]) -> u64 {
    let digest = Sha256::new()
        .chain_update(domain)
        .chain_update(salt)
        .chain_update(what)
        .finalize();
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    u64::from_be_bytes(head)
}

/// One entrant: its class (index into `classes`) and the caller's handle to it.
#[derive(Clone, Copy)]
pub(crate) struct Entrant {
    pub(crate) device: DeviceId,
    pub(crate) class: u16,
    pub(crate) handle: u32,
}

/// Handles of `entrants` in their order.
///
/// The i-th of a class's n devices stands at (i + u) / n, where u in (0, 1) is drawn per class from the salt.
pub(crate) fn sequence(salt: &[u8; 16], classes: &[HardwareId], entrants: &[Entrant]) -> Vec<u32> {
    let mut ranked: Vec<(u16, u64, DeviceId, u32)> = entrants
        .iter()
        .map(|e| (e.class, rank(salt, e.device), e.device, e.handle))
        .collect();
    ranked.sort_unstable();
    let mut placed: Vec<(f64, u64, DeviceId, u32)> = Vec::with_capacity(ranked.len());
    for group in ranked.chunk_by(|a, b| a.0 == b.0) {
        let name = classes
            .get(usize::from(group[0].0))
            .map_or("", |class| class.as_str());
        let drawn = hash(b"sanderling rollout class 1\0", salt, name.as_bytes());
        let offset = ((drawn >> 12) as f64 + 0.5) / (1_u64 << 52) as f64;
        for (i, &(_, rank, device, handle)) in group.iter().enumerate() {
            placed.push(((i as f64 + offset) / group.len() as f64, rank, device, handle));
        }
    }
    placed.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    placed.into_iter().map(|(_, _, _, handle)| handle).collect()
}
