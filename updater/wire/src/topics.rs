//! MQTT: the doorbell.
//!
//! The server publishes an empty message to a device's doorbell topic when there is news; the device then checks
//! in over HTTP. A device may subscribe to its own doorbell and to nothing else, and may publish nothing.
//!
//! It logs in with its id as user name and with a password that its key signs: `<unix seconds>.<signature>`, the
//! signature in hexadecimal digits over [`password_message`]. So the broker keeps no secret of the device.

use crate::DeviceId;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The topic that rings for one device.
#[must_use]
pub fn doorbell(device: &DeviceId) -> String {
    format!("sanderling/v1/{device}/doorbell")
}

/// What a device signs to log in at `now` (Unix seconds). The prefix keeps the signature from being used elsewhere.
#[must_use]
pub fn password_message(device: &DeviceId, now: u64) -> Vec<u8> {
    format!("sanderling-mqtt-login-v1:{device}:{now}").into_bytes()
}

/// The password for a signature over [`password_message`].
#[must_use]
pub fn password(now: u64, signature: &[u8; 64]) -> String {
    format!("{now}.{}", hex::encode(signature))
}

/// Takes a password apart: the time it claims and the signature, unverified.
#[must_use]
pub fn parse_password(password: &str) -> Option<(u64, [u8; 64])> {
    let (time, signature) = password.split_once('.')?;
    let mut bytes = [0; 64];
    hex::decode_to_slice(signature, &mut bytes).ok()?;
    Some((time.parse().ok()?, bytes))
}
