//! Targets: images by name, length and hash, and delegations (TUF 1.0, 4.5).

use super::{Delegations, Hashes, Header, Reader, Release, Role};
use crate::error::TrustError;
use crate::json::Value;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// One image, as its owner signed it.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetFile {
    /// Bytes.
    pub length: u64,
    /// Hashes over those bytes.
    pub hashes: Hashes,
    /// The field `custom`, as it stands.
    pub custom: Option<Value>,
}

impl TargetFile {
    /// What Sanderling keeps in `custom`.
    ///
    /// # Errors
    /// [`TrustError::Malformed`] if it is there and not right.
    pub fn release(&self) -> Result<Option<Release>, TrustError> {
        self.custom.as_ref().map_or(Ok(None), Release::from_custom)
    }

    pub(crate) fn read(reader: &Reader<'_>) -> Result<Self, TrustError> {
        Ok(Self {
            length: reader.field("length")?.u64()?,
            hashes: Hashes::read(&reader.field("hashes")?)?,
            custom: reader.optional("custom").map(|custom| custom.value().clone()),
        })
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut object = BTreeMap::from([
            ("length".to_owned(), Value::from(self.length)),
            ("hashes".to_owned(), self.hashes.to_value()),
        ]);
        if let Some(custom) = &self.custom {
            object.insert("custom".to_owned(), custom.clone());
        }
        Value::Object(object)
    }
}

/// Images by name, and who else may list some.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets {
    /// Version and expiry.
    pub header: Header,
    /// Images by name (TUF's `TARGETPATH`).
    pub targets: BTreeMap<String, TargetFile>,
    /// Delegations, where there are some.
    pub delegations: Option<Delegations>,
}

impl Targets {
    /// Reads `signed` of the targets role or of a delegated one.
    ///
    /// # Errors
    /// [`TrustError::Malformed`].
    pub fn from_value(role: &Role, signed: &Value) -> Result<Self, TrustError> {
        let reader = Reader::new(role, signed);
        let header = reader.header()?;
        let targets = reader
            .field("targets")?
            .entries()?
            .map(|(name, file)| Ok((name.to_owned(), TargetFile::read(&file)?)))
            .collect::<Result<_, TrustError>>()?;
        let delegations = reader
            .optional("delegations")
            .map(|d| Delegations::read(&d))
            .transpose()?;
        Ok(Self {
            header,
            targets,
            delegations,
        })
    }

    /// The `signed` part of this metadata.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut signed = self.header.write(&Role::Targets);
        let targets = self
            .targets
            .iter()
            .map(|(name, file)| (name.clone(), file.to_value()))
            .collect();
        signed.insert("targets".to_owned(), Value::Object(targets));
        if let Some(delegations) = &self.delegations {
            signed.insert("delegations".to_owned(), delegations.to_value().clone());
        }
        Value::Object(signed)
    }
}
