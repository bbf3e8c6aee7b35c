//! Director documents: one for each device, minted when it checks in.
//!
//! A version number is never given to two documents, because devices take that for an attack. So the documents in
//! use are kept here, bounded; where one is lost (a restart, the bound), the store allocates a new version.

use crate::app::App;
use crate::config::SharedSigner;
use crate::problem::Problem;
use bytes::Bytes;
use sanderling_sign::mint_director;
use sanderling_store::{CheckInStored, Desired, MintPolicy, Mode, ledger};
use sanderling_trust::metadata::Header;
use sanderling_trust::{DirectorTargets, RolloutAssignment, SelectedTarget, UnixTime};
use sanderling_wire::{Arm, DeviceId, Digest, HardwareId};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Documents kept; about 1 KiB each.
const MAX_DOCUMENTS: usize = 65_536;

/// Mints documents.
pub(crate) struct Minter {
    signer: SharedSigner,
    validity_s: u64,
    /// Documents kept at most.
    room: usize,
    documents: Mutex<HashMap<DeviceId, Held>>,
}

/// A signed document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    version: u64,
    bytes: Bytes,
}

impl Minter {
    pub(crate) fn new(signer: SharedSigner, validity_s: u64) -> Self {
        Self {
            signer,
            validity_s,
            room: MAX_DOCUMENTS,
            documents: Mutex::default(),
        }
    }

    /// When the store is to allocate a new version, and the document that the device holds: it goes along with the
    /// check-in, so that a version said to be held is held when the answer comes, whatever is forgotten meanwhile.
    pub(crate) fn policy(&self, device: DeviceId, targets_version: u64) -> (MintPolicy, Option<Held>) {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut epoch = self.signer.public_key().id().as_str().as_bytes().to_vec();
        epoch.extend_from_slice(&targets_version.to_be_bytes());
        let held = documents.get(&device).cloned();
        let policy = MintPolicy {
            epoch: Digest::of(&epoch),
            refresh_after_s: self.validity_s / 2,
            held: held.as_ref().map(|held| held.version),
        };
        (policy, held)
    }

    /// Keeps a document; where there is no room, another goes.
    fn keep(&self, device: DeviceId, held: Held) {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.len() >= self.room && !documents.contains_key(&device) {
            let any = documents.keys().next().copied();
            any.map(|device| documents.remove(&device));
        }
        documents.insert(device, held);
    }

    /// The document for what the store answered a check-in: the one that was held when it was asked, or a new one.
    pub(crate) async fn document(
        &self,
        app: &App,
        device: DeviceId,
        hardware: &HardwareId,
        stored: &CheckInStored,
        held: Option<Held>,
    ) -> Result<Bytes, Problem> {
        if let Some(held) = held
            && held.version == stored.director_version
        {
            return Ok(held.bytes);
        }
        let content = DirectorTargets {
            header: Header {
                version: stored.director_version,
                expires: UnixTime(stored.minted_at).plus(self.validity_s),
            },
            issued: UnixTime(stored.minted_at),
            device,
            hardware: hardware.clone(),
            image_timestamp_version: app.registry.versions().0,
            rollout: rollout(app, stored.desired).await?,
            target: stored.desired.and_then(|desired| selected(app, desired)),
        };
        let signed = mint_director(&*self.signer, &content)
            .map_err(|error| Problem::internal("signing a director document", &error))?;
        let bytes = Bytes::from(signed);
        app.metrics.minted.inc();
        let held = Held {
            version: stored.director_version,
            bytes: bytes.clone(),
        };
        self.keep(device, held);
        Ok(bytes)
    }
}

/// The image, if the owner still lists it: the director can name no other.
fn selected(app: &App, desired: Desired) -> Option<SelectedTarget> {
    let target = app.registry.target(desired.digest)?;
    Some(SelectedTarget {
        name: target.name,
        length: target.length,
        sha256: target.digest,
        release_counter: target.release.counter,
    })
}

async fn rollout(app: &App, desired: Option<Desired>) -> Result<Option<RolloutAssignment>, Problem> {
    let Some((desired, rollout)) = desired.and_then(|desired| Some((desired, desired.rollout?))) else {
        return Ok(None);
    };
    let head = app.store.ledger_head(Some(rollout)).await?;
    Ok(Some(RolloutAssignment {
        rollout,
        arm: desired.arm.unwrap_or(Arm::Control),
        mode: match desired.mode {
            Mode::Shadow => sanderling_trust::Mode::Shadow,
            Mode::Restore => sanderling_trust::Mode::Restore,
            _ => sanderling_trust::Mode::Activate,
        },
        ledger_head: head.map_or(ledger::GENESIS, |entry| entry.hash),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_document_said_to_be_held_outlives_its_eviction() {
        let signer = Arc::new(sanderling_trust::Ed25519Signer::from_seed(&[1; 32]));
        let minter = Minter {
            room: 1,
            ..Minter::new(signer, 60)
        };
        let held = Held {
            version: 7,
            bytes: Bytes::from_static(b"signed"),
        };
        let (device, other) = (DeviceId([1; 16]), DeviceId([2; 16]));
        minter.keep(device, held.clone());
        let (policy, taken) = minter.policy(device, 1);
        // Another device's check-in pushes it out before the store has answered.
        minter.keep(other, held.clone());
        assert_eq!(minter.policy(device, 1).0.held, None);
        assert_eq!((policy.held, taken), (Some(7), Some(held)));
    }
}
