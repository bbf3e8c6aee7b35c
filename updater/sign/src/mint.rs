//! What the server signs: a document per check-in, and the timestamp from time to time. Pure functions from
//! content to bytes; versions come from the server's database, and times are its arguments.

use sanderling_trust::envelope::Envelope;
use sanderling_trust::metadata::Header;
use sanderling_trust::{DirectorTargets, MetaFile, SignError, Signer, Timestamp, UnixTime};

/// Signs the director's document for one device.
///
/// The caller keeps the promises that devices check: `header.version` above every one this device was given,
/// `header.expires` not before `issued`, a target that the image repository lists.
///
/// # Errors
/// [`SignError`] from the signer.
pub fn mint_director(signer: &dyn Signer, document: &DirectorTargets) -> Result<Vec<u8>, SignError> {
    signed(signer, Envelope::unsigned(document.to_value()))
}

/// Signs a timestamp over the snapshot whose file has these bytes and this version.
///
/// # Errors
/// [`SignError`] from the signer.
pub fn mint_timestamp(
    signer: &dyn Signer,
    version: u64,
    expires: UnixTime,
    snapshot_version: u64,
    snapshot: &[u8],
) -> Result<Vec<u8>, SignError> {
    let timestamp = Timestamp {
        header: Header { version, expires },
        snapshot: MetaFile::of(snapshot_version, snapshot),
    };
    signed(signer, Envelope::unsigned(timestamp.to_value()))
}

fn signed(signer: &dyn Signer, mut envelope: Envelope) -> Result<Vec<u8>, SignError> {
    envelope.sign(signer)?;
    Ok(envelope.to_bytes())
}
