//! What Sanderling keeps in a target's `custom` field: the part of a release that its owner signs.
//!
//! ```text
//! "custom": {"sanderling": {"format": 1, "name": "magika", "version": "3.3.0", "release_counter": 1,
//!            "min_runtime": "0.1.0", "operators": "<SHA-256>", "allowed_disagreement_ppm": 20000}}
//! ```

use super::{Reader, Role};
use crate::error::TrustError;
use crate::json::Value;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use sanderling_wire::Digest;

/// The key under `custom`.
const FIELD: &str = "sanderling";
/// The form written and read.
const FORMAT: u64 = 1;

/// A release, as its owner signed it offline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// The model's name, the same for all its versions.
    pub name: String,
    /// The version, for people; nothing compares it.
    pub version: String,
    /// Raised only when releases before it must never run again: a device that activated one refuses every
    /// lower counter. Equal counters roll back freely.
    pub counter: u64,
    /// The oldest runtime that can run the bundle, as (major, minor, patch).
    pub min_runtime: (u16, u16, u16),
    /// SHA-256 over the names of the operators that the bundle needs, sorted, each followed by a line feed.
    pub operators: Digest,
    /// How many of a million distinct inputs may get another answer than from the version before, as the
    /// release's evaluation found. A retrained model declares more than a requantised one.
    pub allowed_disagreement_ppm: u32,
}

impl Release {
    /// The hash for [`Release::operators`].
    #[must_use]
    pub fn operators_digest<'a>(names: impl IntoIterator<Item = &'a str>) -> Digest {
        let mut names: alloc::vec::Vec<&str> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let text: String = names.into_iter().flat_map(|name| [name, "\n"]).collect();
        Digest::of(text.as_bytes())
    }

    /// Reads `custom`. None where it holds nothing of Sanderling's.
    ///
    /// # Errors
    /// [`TrustError::Malformed`], also for a format of a later version.
    pub fn from_custom(custom: &Value) -> Result<Option<Self>, TrustError> {
        let Some(release) = Reader::new(&Role::Targets, custom).optional(FIELD) else {
            return Ok(None);
        };
        let format = release.field("format")?;
        if format.u64()? != FORMAT {
            return Err(format.error("is not known here: update the agent"));
        }
        let small = |reader: Reader<'_>| -> Result<u32, TrustError> {
            u32::try_from(reader.u64()?).map_err(|_| reader.error("is too large"))
        };
        let min_runtime = release.field("min_runtime")?;
        Ok(Some(Self {
            name: release.field("name")?.str()?.to_owned(),
            version: release.field("version")?.str()?.to_owned(),
            counter: release.field("release_counter")?.u64()?,
            min_runtime: parse_version(min_runtime.str()?)
                .ok_or_else(|| min_runtime.error("must have the form 1.2.3"))?,
            operators: release.field("operators")?.parsed()?,
            allowed_disagreement_ppm: small(release.field("allowed_disagreement_ppm")?)?,
        }))
    }

    /// The `custom` field for a target.
    #[must_use]
    pub fn to_custom(&self) -> Value {
        let (major, minor, patch) = self.min_runtime;
        let release = Value::object([
            ("format", FORMAT.into()),
            ("name", self.name.as_str().into()),
            ("version", self.version.as_str().into()),
            ("release_counter", self.counter.into()),
            ("min_runtime", format!("{major}.{minor}.{patch}").into()),
            ("operators", format!("{}", self.operators).into()),
            (
                "allowed_disagreement_ppm",
                u64::from(self.allowed_disagreement_ppm).into(),
            ),
        ]);
        Value::object([(FIELD, release)])
    }
}

fn parse_version(text: &str) -> Option<(u16, u16, u16)> {
    let mut parts = text.split('.');
    let mut part = || parts.next()?.parse().ok();
    let version = (part()?, part()?, part()?);
    parts.next().is_none().then_some(version)
}
