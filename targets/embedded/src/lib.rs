//! Sanderling on microcontrollers: `no_std`, no heap, no logic of its own.
//!
//! - The session is `sanderling-micro`'s, with its tables of operators: [`Classifier`] for image classifiers, [`All`] for
//!   everything. [`Fpu`] or [`NoFpu`] says how sums are requantised; the bytes are the same.
//! - [`BundleFlash`] is the region of an `embedded-storage` NOR flash that holds the bundle: it installs one, piece by piece, and
//!   verifies it by its SHA-256. Flash that the core can address is then handed to [`Session::new`] as a slice.
//! - [`run_marked`] holds an `embedded-hal` pin high while a model runs, for what measures from outside.
#![no_std]
#![forbid(unsafe_code)]

mod flash;
mod pin;

pub use flash::{BundleFlash, FlashError};
pub use pin::{MarkError, run_marked};
pub use sanderling_flat::{BundleError, Certificate, Container, DType, Sha256Digest, sha256, value_digest};
pub use sanderling_micro::ops::{All, Classifier};
pub use sanderling_micro::{
    Fault, Fpu, Layer, Limits, MAX_RANK, MicroError, NoFpu, Operator, Rounding, Session, Shape, Tensor, ops,
};
