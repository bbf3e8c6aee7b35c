//! The `.sdl` bundle: one file that carries everything a shippable model needs.
//!
//! Think of a read-only archive that is used where it lies, in mapped memory, in flash or in a fetched buffer:
//! a header, a table of hashed sections, and the sections, each on a 64-byte boundary. Two types stand for it.
//! [`BundleView`] is a checked view over bytes that may come from anywhere; [`BundleBuilder`] writes one.
//!
//! - [`BundleView::parse`] is total: any bytes give a view or a [`BundleError`] that says what is wrong, where,
//!   and what to do. [`Limits`] are checked before memory is taken.
//! - Tensors are found by [`BundleView::tensors`] without a heap, each with the SHA-256 of its bytes, so that
//!   two versions of a model can be compared, and moved, tensor by tensor.
//! - [`Manifest`] is plain data: schema, pre- and post-processing, labels, lineage, licence, resources.
//! - [`GoldenVector`]s say what a device must compute before it may activate the bundle.
//! - Plans are opaque here; `sanderling-core` reads them.
//!
//! What reads without a heap, and the byte layout, are in `sanderling-flat`: microcontrollers link that alone. A reader takes
//! the format it writes and the one before; golden files in `tests/golden` hold it to that.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod builder;
mod golden;
mod manifest;
mod sound;
mod view;

use sanderling_flat::{digest, dtype, error, format};

pub use builder::BundleBuilder;
pub use golden::{Expect, GoldenInput, GoldenOutput, GoldenVector};
pub use manifest::{
    BytesHeadTail, CascadeDefaults, Channels, Classification, Dim, GoldenNote, ImageLayout, ImageU8, Label,
    Licence, Lineage, MANIFEST_SCHEMA, Manifest, PostProcessing, PostStep, PreProcessing, PreStep,
    Quantisation, QuantisedLayer, Resize, Resources, RuntimeVersion, ShortAnswer, ValueSpec,
};
pub use sanderling_flat::certificate::STACK_BYTES;
pub use sanderling_flat::{
    ALIGN, BundleError, Certificate, Container, DType, Dims, FORMAT_MAJOR, FORMAT_MINOR, Header, Limits,
    MAGIC, OLDEST_MAJOR, Section, SectionKind, Sha256Digest, TensorView, Tensors, describe_file, sha256,
    value_digest,
};
pub use view::BundleView;
