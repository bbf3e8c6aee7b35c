//! The fleet that a state belongs to: an enrolment string and the server's answer to it, each a blob.
//!
//! A state that was in use and no longer says whose it is must not pass for a new one: its owner would enrol it a
//! second time, or look for a string that was used long ago. A string at hand heals it, since it says all that the
//! lost one said.

use crate::error::AgentError;
use alloc::format;
use alloc::string::{String, ToString};
use sanderling_slots::{Recovery, Slots, SlotsError, Storage};
use sanderling_wire::{EnrolReply, EnrolmentError, EnrolmentString, decode};

/// Blob with the enrolment string that the state belongs to.
const ENROLMENT: &str = "enrolment";
/// Blob with the server's answer to it.
pub(crate) const ENROLLED: &str = "enrolled";

/// The fleet that the state belongs to: what is stored, or what is given, if they do not contradict each other.
pub(crate) fn fleet<S: Storage>(
    slots: &mut Slots<S>,
    given: Option<EnrolmentString>,
) -> Result<(EnrolmentString, Option<EnrolReply>), AgentError> {
    let used = slots.recovery() != Recovery::Fresh;
    let storage = slots.storage();
    let blob = storage.read_blob(ENROLMENT).map_err(SlotsError::from)?;
    let stored = blob.map(|bytes| read_enrolment(&bytes)).transpose();
    let reply = storage.read_blob(ENROLLED).map_err(SlotsError::from)?;
    let lost = used || reply.is_some();
    let reply = reply.and_then(|bytes| decode::<EnrolReply>(&bytes).ok());
    // A string at hand says all that a damaged one said.
    let stored = match (stored, &given) {
        (Ok(stored), _) => stored,
        (Err(_), Some(_)) => None,
        (Err(reason), None) => return Err(AgentError::EnrolmentDamaged { reason }),
    };
    match (stored, given) {
        (None, None) if lost => Err(AgentError::EnrolmentDamaged {
            reason: "missing".to_string(),
        }),
        (None, None) => Err(AgentError::NotEnrolled),
        (Some(stored), None) => Ok((stored, reply)),
        (Some(stored), Some(given)) if stored == given => Ok((given, reply)),
        (Some(stored), Some(given)) => {
            let same_roots =
                (stored.image_root, stored.director_root) == (given.image_root, given.director_root);
            if reply.is_some() && !same_roots {
                return Err(AgentError::OtherFleet {
                    stored: stored.server,
                    given: given.server,
                });
            }
            // The same fleet at another address, or a new token: the device enrols again with the key it has.
            storage.remove_blob(ENROLLED).map_err(SlotsError::from)?;
            keep(storage, &given)?;
            Ok((given, None))
        }
        (None, Some(given)) => {
            keep(storage, &given)?;
            Ok((given, None))
        }
    }
}

fn read_enrolment(bytes: &[u8]) -> Result<EnrolmentString, String> {
    let text = core::str::from_utf8(bytes).map_err(|_| "damaged (it is no text)".to_string())?;
    text.parse()
        .map_err(|error: EnrolmentError| format!("damaged ({error})"))
}

fn keep<S: Storage>(storage: &mut S, enrolment: &EnrolmentString) -> Result<(), AgentError> {
    Ok(storage
        .write_blob(ENROLMENT, enrolment.to_string().as_bytes())
        .map_err(SlotsError::from)?)
}
