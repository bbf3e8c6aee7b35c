//! Timestamp: which snapshot is the newest (TUF 1.0, 4.6).

use super::{Header, MetaFile, Reader, Role};
use crate::error::TrustError;
use crate::json::Value;
use alloc::borrow::ToOwned;

/// The newest snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timestamp {
    /// Version and expiry.
    pub header: Header,
    /// The snapshot's version, length and hashes.
    pub snapshot: MetaFile,
}

impl Timestamp {
    /// Reads `signed`.
    ///
    /// # Errors
    /// [`TrustError::Malformed`].
    pub fn from_value(signed: &Value) -> Result<Self, TrustError> {
        let reader = Reader::new(&Role::Timestamp, signed);
        let header = reader.header()?;
        let snapshot = MetaFile::read(&reader.field("meta")?.field("snapshot.json")?)?;
        Ok(Self { header, snapshot })
    }

    /// The `signed` part of this timestamp.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut signed = self.header.write(&Role::Timestamp);
        signed.insert(
            "meta".to_owned(),
            Value::object([("snapshot.json", self.snapshot.to_value())]),
        );
        Value::Object(signed)
    }
}
