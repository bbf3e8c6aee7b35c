//! A look at a state folder from outside, while its agent runs or after it was killed.

use crate::error::DriverError;
use crate::files::FileStorage;
use crate::key::key_file;
use sanderling_slots::{ImageAt, Journal, Outbox, Recovery, SlotState, Storage, Trial};
use sanderling_wire::{DeviceId, Digest, EnrolReply, EnrolmentString, MqttEndpoint, decode};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// What a state folder says.
#[derive(Debug, Clone, Serialize)]
pub struct StateView {
    /// The folder.
    pub folder: PathBuf,
    /// Whether an agent holds it now.
    pub running: bool,
    /// The device's id by its enrolment, once it has one.
    pub device: Option<DeviceId>,
    /// The fleet server.
    pub server: Option<String>,
    /// Where the doorbell is.
    pub doorbell: Option<MqttEndpoint>,
    /// What the device answers from; none is "no model".
    pub serving: Option<ImageAt>,
    /// Set while that image is on trial.
    pub trial: Option<Trial>,
    /// The intact image it would go back to.
    pub standby: Option<Digest>,
    /// What the slots hold, A then B.
    pub slots: [SlotState; 2],
    /// The whole journal record.
    pub journal: Journal,
    /// The record's sequence number; none for a folder never used or a lost journal.
    pub sequence: Option<u64>,
    /// The telemetry outbox; none if there is none or it is damaged.
    pub outbox: Option<OutboxView>,
    /// Names of the trusted metadata kept.
    pub metadata: Vec<String>,
    /// What keeps an agent from starting on this folder: a file that is lost or damaged.
    pub damage: Vec<String>,
}

/// What waits in the outbox.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct OutboxView {
    /// The life that its sequence numbers belong to.
    pub incarnation: u64,
    /// The number of the next record.
    pub next_sequence: u64,
    /// Records that the journal does not know to be acknowledged; the mark may lag behind.
    pub waiting: u64,
}

/// Reads a state folder. Changes nothing and takes no lock.
///
/// # Errors
/// [`DriverError::NoState`] if there is none, [`DriverError::Io`].
pub fn inspect(folder: &Path) -> Result<StateView, DriverError> {
    let mut storage = FileStorage::look(folder)?;
    let (journal, recovery) = Journal::recover(&mut storage)?;
    let outbox = Outbox::recover(&mut storage, journal.acknowledged)?;
    let (enrolment, mut damage) = (storage.read_blob("enrolment")?, Vec::new());
    let readable = enrolment
        .as_ref()
        .and_then(|bytes| str::from_utf8(bytes).ok()?.parse::<EnrolmentString>().ok());
    if readable.is_none() && (enrolment.is_some() || recovery != Recovery::Fresh) {
        damage.push(DriverError::enrolment_damaged(folder, enrolment.is_some()).to_string());
    }
    if let Err(error @ DriverError::KeyLost { .. }) = key_file(folder) {
        damage.push(error.to_string());
    }
    let reply = storage
        .read_blob("enrolled")?
        .and_then(|bytes| decode::<EnrolReply>(&bytes).ok());
    Ok(StateView {
        folder: folder.to_path_buf(),
        running: FileStorage::is_locked(folder)?,
        device: reply.as_ref().map(|reply| reply.device),
        server: readable.map(|enrolment| enrolment.server),
        doorbell: reply.and_then(|reply| reply.mqtt),
        serving: journal.serving(),
        trial: journal.trial,
        standby: journal.standby().map(|at| at.image.digest),
        slots: journal.slots,
        sequence: match recovery {
            Recovery::Recovered { sequence, .. } => Some(sequence),
            Recovery::Fresh | Recovery::Lost => None,
        },
        outbox: outbox.map(|outbox| OutboxView {
            incarnation: outbox.incarnation(),
            next_sequence: outbox.next_sequence(),
            waiting: outbox.waiting(),
        }),
        metadata: storage.blob_names()?,
        damage,
        journal,
    })
}
