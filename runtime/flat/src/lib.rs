//! What of a bundle is read where it lies, without a heap: microcontrollers link this and no `alloc`.
//!
//! A bundle in flash is three flat tables: the [container](Container) with its sections, the [tensors](Tensors), and the
//! [plan](plan::PlanView), in which every intermediate has its place in an arena. Views over them are checked once, are
//! total on any bytes, and hold nothing but slices of what they were given. The one [requantisation](requantise) that all
//! integer operators end in is here as well: what decides the bytes is written once.
//!
//! `sanderling-bundle` and `sanderling-core` give these types out under their own names, with what takes memory added.
//!
//! Features: `alloc` adds what gives back a `Vec` or `String`; `serde` how element types are written in metadata.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod attr;
pub mod certificate;
pub mod container;
pub mod digest;
pub mod dtype;
#[cfg(feature = "serde")]
mod dtype_serde;
pub mod error;
pub mod format;
pub mod plan;
pub mod requantise;
mod sniff;
pub mod tensors;

pub use attr::{AttrRef, List, LittleEndian};
pub use certificate::Certificate;
pub use container::{Container, Limits};
pub use digest::{Sha256Digest, sha256, value_digest};
pub use dtype::DType;
pub use error::BundleError;
pub use format::{ALIGN, FORMAT_MAJOR, FORMAT_MINOR, Header, MAGIC, OLDEST_MAJOR, Section, SectionKind};
pub use plan::{PlanView, ValueId};
pub use sniff::describe as describe_file;
pub use tensors::{Dims, TensorView, Tensors};
