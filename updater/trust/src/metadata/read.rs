//! Reading fields of a [`Value`] with errors that name the path.

use super::{Header, Role, RoleKeys};
use crate::error::TrustError;
use crate::json::Value;
use crate::time::UnixTime;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use core::num::NonZeroU64;

/// A value, where it stands, and whose metadata it belongs to.
pub(crate) struct Reader<'a> {
    role: &'a Role,
    path: String,
    value: &'a Value,
}

impl<'a> Reader<'a> {
    /// At the top of `signed`.
    pub(crate) fn new(role: &'a Role, value: &'a Value) -> Self {
        Self {
            role,
            path: String::new(),
            value,
        }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn error(&self, reason: &str) -> TrustError {
        let path = if self.path.is_empty() {
            "signed"
        } else {
            &self.path
        };
        TrustError::Malformed {
            role: self.role.clone(),
            reason: format!("`{path}` {reason}"),
        }
    }

    fn at(&self, name: &str, value: &'a Value) -> Self {
        let dot = if self.path.is_empty() { "" } else { "." };
        // Names come from foreign bytes: a message needs the head of them only.
        Self {
            role: self.role,
            path: format!("{}{dot}{name:.80}", self.path),
            value,
        }
    }

    pub(crate) fn optional(&self, name: &str) -> Option<Self> {
        self.value.get(name).map(|value| self.at(name, value))
    }

    pub(crate) fn field(&self, name: &str) -> Result<Self, TrustError> {
        self.optional(name)
            .ok_or_else(|| self.error(&format!("lacks the field `{name}`")))
    }

    pub(crate) fn entries(&self) -> Result<impl Iterator<Item = (&'a str, Self)>, TrustError> {
        let object = self
            .value
            .as_object()
            .ok_or_else(|| self.error("must be an object"))?;
        Ok(object
            .iter()
            .map(|(name, value)| (name.as_str(), self.at(name, value))))
    }

    pub(crate) fn items(&self) -> Result<impl Iterator<Item = Self>, TrustError> {
        let items = self
            .value
            .as_array()
            .ok_or_else(|| self.error("must be an array"))?;
        Ok(items
            .iter()
            .enumerate()
            .map(|(i, value)| self.at(&i.to_string(), value)))
    }

    pub(crate) fn str(&self) -> Result<&'a str, TrustError> {
        self.value.as_str().ok_or_else(|| self.error("must be a string"))
    }

    pub(crate) fn bool(&self) -> Result<bool, TrustError> {
        self.value
            .as_bool()
            .ok_or_else(|| self.error("must be true or false"))
    }

    pub(crate) fn u64(&self) -> Result<u64, TrustError> {
        self.value
            .as_u64()
            .ok_or_else(|| self.error("must be an integer from 0"))
    }

    pub(crate) fn positive(&self) -> Result<NonZeroU64, TrustError> {
        self.u64()
            .ok()
            .and_then(NonZeroU64::new)
            .ok_or_else(|| self.error("must be an integer from 1"))
    }

    pub(crate) fn time(&self) -> Result<UnixTime, TrustError> {
        UnixTime::parse(self.str()?)
            .ok_or_else(|| self.error("must be a time of the form 2026-11-22T14:03:28Z"))
    }

    /// A text that reads as a `T`: an id, a digest.
    pub(crate) fn parsed<T>(&self) -> Result<T, TrustError>
    where
        T: core::str::FromStr,
        T::Err: core::fmt::Display,
    {
        self.str()?
            .parse()
            .map_err(|error: T::Err| self.error(&format!("is not right: {error}")))
    }

    /// `_type`, `spec_version`, `version`, `expires`.
    pub(crate) fn header(&self) -> Result<Header, TrustError> {
        let (kind, wanted) = (self.field("_type")?, self.role.type_name());
        if kind.str()? != wanted {
            return Err(kind.error(&format!("is {:.40?}, {wanted:?} was asked for", kind.str()?)));
        }
        let spec = self.field("spec_version")?;
        if !is_spec_1(spec.str()?) {
            return Err(spec.error("is not a 1.x version of the TUF specification"));
        }
        let version = self.field("version")?.positive()?.get();
        Ok(Header {
            version,
            expires: self.field("expires")?.time()?,
        })
    }

    /// `keyids` and `threshold`.
    pub(crate) fn role_keys(&self) -> Result<RoleKeys, TrustError> {
        let list = self.field("keyids")?;
        let mut key_ids = BTreeSet::new();
        for id in list.items()? {
            if !key_ids.insert(id.str()?.into()) {
                return Err(id.error("repeats a key id"));
            }
        }
        Ok(RoleKeys {
            key_ids,
            threshold: self.field("threshold")?.positive()?,
        })
    }

    /// `keys`: those whose id is that of their content. The specification has clients compute the ids; a key
    /// under another id is left out, so that it can sign nothing, and the rest of the document stands.
    pub(crate) fn keys(
        &self,
    ) -> Result<alloc::collections::BTreeMap<crate::KeyId, crate::PublicKey>, TrustError> {
        let mut keys = alloc::collections::BTreeMap::new();
        for (id, reader) in self.field("keys")?.entries()? {
            let key = crate::PublicKey::from_value(reader.value()).map_err(|reason| reader.error(reason))?;
            if key.id().as_str() == id {
                keys.insert(key.id().clone(), key);
            }
        }
        Ok(keys)
    }
}

/// `1.x` or `1.x.y`.
fn is_spec_1(text: &str) -> bool {
    let mut parts = text.split('.');
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    parts.next() == Some("1") && matches!(parts.clone().count(), 1 | 2) && parts.all(number)
}
