//! Operators: a row each, in a table that the caller hands in. What is not listed is not linked.
//!
//! An operator is one function with two uses: without an output it only checks that it can compute the node (types, shapes
//! against the plan's, constants, multipliers), with one it does. It keeps nothing and takes no memory.

mod border;
mod compare;
mod conv;
mod movement;
mod pointwise;
mod pool;
mod product;
mod walk;
mod window;

use crate::error::Fault;
use crate::node::Node;
use crate::rounding::Rounding;
use core::marker::PhantomData;

pub use border::{DEQUANTIZE_LINEAR, QUANTIZE_LINEAR, SOFTMAX};
pub use compare::{CLIP, MAX, MIN};
pub use conv::qlinear_conv;
pub use movement::{CONCAT, FLATTEN, IDENTITY, RESHAPE, SLICE, SPLIT, SQUEEZE, TRANSPOSE, UNSQUEEZE};
pub use pointwise::{LOOKUP_TABLE, qlinear_add, qlinear_mul};
pub use pool::{MAX_POOL, qlinear_global_average_pool};
pub use product::{qgemm, qlinear_mat_mul};

/// Operators of onnxruntime's own domain.
const MICROSOFT: &str = "com.microsoft";
/// Ours.
const SANDERLING: &str = "ai.sanderling";

/// Checks a node, or computes one of its outputs into bytes of the length that the plan's shape calls for.
pub type Compute = fn(&Node<'_>, Option<&mut [u8]>) -> Result<(), Fault>;

/// An operator's row.
#[derive(Clone, Copy)]
pub struct Operator {
    /// Its domain; empty for ONNX's own.
    pub domain: &'static str,
    /// Its name.
    pub name: &'static str,
    /// The first opset version of the domain whose meaning it has.
    pub since: u16,
    /// What it does.
    pub compute: Compute,
}

/// Every operator there is, with one way to requantise.
pub struct All<R>(PhantomData<R>);

impl<R: Rounding> All<R> {
    /// The table.
    pub const TABLE: &'static [Operator] = &[
        qlinear_conv::<R>(),
        qgemm::<R>(),
        qlinear_mat_mul::<R>(),
        qlinear_add::<R>(),
        qlinear_mul::<R>(),
        qlinear_global_average_pool::<R>(),
        LOOKUP_TABLE,
        MAX_POOL,
        CLIP,
        MAX,
        MIN,
        RESHAPE,
        FLATTEN,
        SQUEEZE,
        UNSQUEEZE,
        IDENTITY,
        TRANSPOSE,
        CONCAT,
        SLICE,
        SPLIT,
        QUANTIZE_LINEAR,
        DEQUANTIZE_LINEAR,
        SOFTMAX,
    ];
}

/// What image classifiers of convolutions alone need: the least that runs MLPerf Tiny's.
pub struct Classifier<R>(PhantomData<R>);

impl<R: Rounding> Classifier<R> {
    /// The table.
    pub const TABLE: &'static [Operator] = &[
        qlinear_conv::<R>(),
        qgemm::<R>(),
        qlinear_add::<R>(),
        qlinear_global_average_pool::<R>(),
        RESHAPE,
        FLATTEN,
        QUANTIZE_LINEAR,
        DEQUANTIZE_LINEAR,
    ];
}
