//! What families of operators share.
//!
//! An operator's file says what is its own (a formula, an attribute); what it has in common with its family
//! (shape rule, walk over the elements, dtypes) is written here once. Backends use the geometry of this module
//! too ([`window`], [`axes`], [`slicing`], [`matrix`]), so that a shape means the same everywhere.

pub mod activation;
pub mod arg;
pub mod axes;
pub mod binary;
pub mod broadcast;
pub mod codec;
pub mod compare;
pub mod conv;
pub mod dims;
pub mod dtypes;
pub mod gather;
pub mod matrix;
pub mod minifloat;
pub mod norm;
pub mod number;
pub mod pool;
pub mod qlinear;
pub mod qlinear_binary;
pub mod quantise;
pub mod reduce;
pub mod requantise;
pub mod resize;
pub mod slicing;
pub mod softmax;
pub mod unary;
pub mod variadic;
pub mod widen;
pub mod window;

use core::ops::RangeInclusive;

/// Newest opset of ONNX's own domain that the files here were read against (onnx 1.22).
pub const LATEST: u16 = 27;

/// All opsets from `first` on.
#[must_use]
pub const fn since(first: u16) -> RangeInclusive<u16> {
    first..=LATEST
}

/// Domain of onnxruntime's contributed operators.
pub const MICROSOFT: &str = "com.microsoft";

/// Domain of our own operators.
pub const SANDERLING: &str = "ai.sanderling";
