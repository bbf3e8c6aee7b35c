//! From a model file to a bundle.
//!
//! ```text
//! model.onnx ─► onnx::read_file ─► optimise ─► quantise ─► pack ─► bundle.sdl
//!               names → numbers    passes     weights     plan, tensors, golden vectors,
//!               limits, checks     PASSES     int8        manifest, resource certificate
//! ```
//!
//! Everything here runs on the host, before a device is involved, and gives the same bytes on any host: folding
//! and golden vectors use the reference operators of `sanderling-core`, never a backend.
#![forbid(unsafe_code)]

pub mod error;
pub mod onnx;
pub mod optimise;
pub mod pack;
pub mod quantise;
pub mod recipe;
#[cfg(test)]
mod testing;

pub use error::{CompileError, MissingOperator};
pub use optimise::{OptimiseOptions, OptimiseReport, optimise};
pub use pack::{Compiled, Packed, Progress, Stage, assemble, check_word, compile, pack};
pub use quantise::{QuantiseOptions, QuantiseReport, quantise};
pub use recipe::Recipe;
