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
    documents: Mutex<HashMap<DeviceId, (u64, Bytes)>>,
}

impl Minter {
    pub(crate) fn new(signer: SharedSigner, validity_s: u64) -> Self {
        Self {
            signer,
            validity_s,
            documents: Mutex::default(),
        }
    }

    /// When the store is to allocate a new version.
    pub(crate) fn policy(&self, device: DeviceId, targets_version: u64) -> MintPolicy {
        let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let mut epoch = self.signer.public_key().id().as_str().as_bytes().to_vec();
        epoch.extend_from_slice(&targets_version.to_be_bytes());
        MintPolicy {
            epoch: Digest::of(&epoch),
            refresh_after_s: self.validity_s / 2,
            held: documents.get(&device).map(|(version, _)| *version),
        }
    }

    /// The document for what the store answered a check-in.
    pub(crate) async fn document(
        &self,
        app: &App,
        device: DeviceId,
        hardware: &HardwareId,
        stored: &CheckInStored,
    ) -> Result<Bytes, Problem> {
        {
            let documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((version, bytes)) = documents.get(&device)
                && *version == stored.director_version
            {
                return Ok(bytes.clone());
            }
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
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        if documents.len() >= MAX_DOCUMENTS && !documents.contains_key(&device) {
            let any = documents.keys().next().copied();
            any.map(|device| documents.remove(&device));
        }
        documents.insert(device, (stored.director_version, bytes.clone()));
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
