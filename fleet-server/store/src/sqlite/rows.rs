//! Rows to types and back. Unsigned 64-bit numbers of devices keep their bits in SQLite's signed ones.

use crate::{Mode, StoreError};
use sanderling_wire::{Arm, DeviceId, Digest, EventKind, HardwareId, Phase, RolloutId};
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite};

/// A number of the server (time, count, id): never near the sign bit.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The bits of a device's number.
pub(super) fn bits(value: u64) -> i64 {
    value as i64
}

/// The other way of [`bits`].
pub(super) fn from_bits(value: i64) -> u64 {
    value as u64
}

/// Typed columns of a row; what does not fit is [`StoreError::Corrupt`].
pub(super) trait Columns {
    fn field<'r, T>(&'r self, name: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>;

    fn uint(&self, name: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.field::<i64>(name)?).map_err(|_| StoreError::Corrupt { what: name })
    }

    fn maybe_uint(&self, name: &'static str) -> Result<Option<u64>, StoreError> {
        let value = self.field::<Option<i64>>(name)?;
        value
            .map(|v| u64::try_from(v).map_err(|_| StoreError::Corrupt { what: name }))
            .transpose()
    }

    fn bytes<const N: usize>(&self, name: &'static str) -> Result<[u8; N], StoreError> {
        self.field::<&[u8]>(name)?
            .try_into()
            .map_err(|_| StoreError::Corrupt { what: name })
    }

    fn digest(&self, name: &'static str) -> Result<Digest, StoreError> {
        self.bytes(name).map(Digest)
    }

    fn maybe_digest(&self, name: &'static str) -> Result<Option<Digest>, StoreError> {
        let value = self.field::<Option<&[u8]>>(name)?;
        let exact = |bytes: &[u8]| {
            bytes
                .try_into()
                .map(Digest)
                .map_err(|_| StoreError::Corrupt { what: name })
        };
        value.map(exact).transpose()
    }

    fn device_id(&self, name: &'static str) -> Result<DeviceId, StoreError> {
        self.bytes(name).map(DeviceId)
    }

    fn hardware(&self, name: &'static str) -> Result<HardwareId, StoreError> {
        HardwareId::new(self.field(name)?).map_err(|_| StoreError::Corrupt { what: name })
    }

    fn rollout_id(&self, name: &'static str) -> Result<RolloutId, StoreError> {
        self.uint(name).map(RolloutId)
    }

    fn maybe_rollout(&self, name: &'static str) -> Result<Option<RolloutId>, StoreError> {
        Ok(self.maybe_uint(name)?.map(RolloutId))
    }
}

impl Columns for SqliteRow {
    fn field<'r, T>(&'r self, name: &'static str) -> Result<T, StoreError>
    where
        T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
    {
        self.try_get(name).map_err(|_| StoreError::Corrupt { what: name })
    }
}

/// The name of a unit variant, as serde writes it.
pub(super) trait Named: serde::Serialize + DeserializeOwned {
    fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            // Only fieldless enums are named.
            _ => String::new(),
        }
    }

    fn from_name(name: &str, what: &'static str) -> Result<Self, StoreError> {
        let value = serde_json::Value::String(name.to_owned());
        serde_json::from_value(value).map_err(|_| StoreError::Corrupt { what })
    }
}

impl Named for EventKind {}
impl Named for Phase {}
impl Named for Arm {}
impl Named for Mode {}
