//! Snapshot: the versions of all targets metadata that belong together (TUF 1.0, 4.4).

use super::{Header, MetaFile, Reader, Role};
use crate::error::TrustError;
use crate::json::Value;
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

/// Versions of targets metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Version and expiry.
    pub header: Header,
    /// By file name as written in metadata (`targets.json`, `some role.json`; not percent-encoded).
    pub meta: BTreeMap<String, MetaFile>,
}

impl Snapshot {
    /// Reads `signed`.
    ///
    /// # Errors
    /// [`TrustError::Malformed`].
    pub fn from_value(signed: &Value) -> Result<Self, TrustError> {
        let reader = Reader::new(&Role::Snapshot, signed);
        let header = reader.header()?;
        let list = reader.field("meta")?;
        list.field("targets.json")?;
        let meta = list
            .entries()?
            .map(|(name, file)| Ok((name.to_owned(), MetaFile::read(&file)?)))
            .collect::<Result<_, TrustError>>()?;
        Ok(Self { header, meta })
    }

    /// What is stated of a targets role's metadata.
    #[must_use]
    pub fn get(&self, role: &Role) -> Option<&MetaFile> {
        match role {
            Role::Delegated(name) => self.meta.get(&alloc::format!("{name}.json")),
            _ => self.meta.get(&role.file_name()),
        }
    }

    /// The `signed` part of this snapshot.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut signed = self.header.write(&Role::Snapshot);
        let meta = self
            .meta
            .iter()
            .map(|(name, file)| (name.clone(), file.to_value()))
            .collect();
        signed.insert("meta".to_owned(), Value::Object(meta));
        Value::Object(signed)
    }
}
