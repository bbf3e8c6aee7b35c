//! What can be wrong with a bundle, told so that the reader can act on it.

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt;

use crate::format::SectionKind;

/// Why bytes are not a usable bundle, or why a bundle cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// The bytes do not begin with the bundle's magic.
    NotABundle {
        /// What the bytes look like instead, where that is known.
        looks_like: Option<&'static str>,
    },
    /// A format that this build does not read.
    WrongVersion {
        /// Major version in the file.
        found: u16,
        /// Oldest and newest major version that this build reads.
        supported: (u16, u16),
    },
    /// The file ends before it should.
    Truncated {
        /// Bytes that the header calls for (or the header's own size).
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// There are bytes after the end that the header states.
    TrailingBytes {
        /// Bytes that the header calls for.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// Bytes are damaged: a hash or a structural rule does not hold.
    Corrupt {
        /// The section, or `None` for the header and section table.
        section: Option<SectionKind>,
        /// Offset from the start of the file, in bytes.
        offset: u64,
        /// The rule that does not hold.
        what: &'static str,
    },
    /// Something is larger than the reader's limits allow. Nothing was allocated for it.
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size or count.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// The file holds a section that this build does not know and that must not be ignored.
    UnknownCritical {
        /// The section's kind as a number.
        kind: u16,
    },
    /// A section that every bundle has, or that the caller asked for, is not there.
    MissingSection {
        /// The section.
        section: SectionKind,
    },
    /// The manifest says something that cannot be meant.
    #[cfg(feature = "alloc")]
    Manifest {
        /// Which entry, as a recipe names it.
        at: String,
        /// Its value, and what is allowed.
        why: String,
    },
    /// What the caller handed to the builder cannot be written.
    #[cfg(feature = "alloc")]
    Invalid {
        /// Which part (a tensor's name, a plan's target …).
        item: String,
        /// Why.
        why: &'static str,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotABundle { looks_like: None } => {
                f.write_str("not a Sanderling bundle (.sdl): make one with `sanderling pack`")
            }
            Self::NotABundle {
                looks_like: Some(kind),
            } => {
                write!(
                    f,
                    "not a Sanderling bundle (.sdl) but {kind}: make a bundle with `sanderling pack`"
                )
            }
            Self::WrongVersion {
                found,
                supported: (low, high),
            } => write!(
                f,
                "bundle format {found} is not readable here (formats {low} to {high} are): {}",
                if found > high {
                    "update this program"
                } else {
                    "pack the model again"
                }
            ),
            Self::Truncated { expected, found } => write!(
                f,
                "bundle is cut short: {found} of {expected} bytes are there; fetch or copy it again"
            ),
            Self::TrailingBytes { expected, found } => write!(
                f,
                "bundle has {found} bytes where its header says {expected}; fetch or copy it again"
            ),
            Self::Corrupt {
                section: Some(section),
                offset,
                what,
            } => {
                write!(
                    f,
                    "bundle is damaged in section {section} at byte {offset}: {what}; fetch it again"
                )
            }
            Self::Corrupt {
                section: None,
                offset,
                what,
            } => {
                write!(f, "bundle is damaged at byte {offset}: {what}; fetch it again")
            }
            Self::TooLarge { what, found, limit } => write!(
                f,
                "{what}: {found} is over this reader's limit of {limit}; raise the limit only for a file you trust"
            ),
            Self::UnknownCritical { kind } => write!(
                f,
                "bundle needs section kind {kind}, which this version does not know; update this program"
            ),
            Self::MissingSection { section } => {
                write!(f, "bundle has no section {section}; pack the model again")
            }
            #[cfg(feature = "alloc")]
            Self::Manifest { at, why } => {
                write!(f, "the bundle's manifest, {at}: {why}; pack the model again")
            }
            #[cfg(feature = "alloc")]
            Self::Invalid { item, why } => write!(f, "{item} cannot be put into a bundle: {why}"),
        }
    }
}

impl core::error::Error for BundleError {}
