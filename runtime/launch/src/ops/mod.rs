//! One file an operator, or a family of them; one row each.

mod binary;
mod lookup_table;
mod max_pool;
mod mean;
mod product;
mod qlinear_conv;
mod rearrange;
mod reshape;
mod weights;

use crate::lower::Lowering;
use crate::node::Seen;
use sanderling_core::ops::common::requantise::Requantise;
use sanderling_core::ops::common::window::Axis;
use sanderling_core::ops::common::{MICROSOFT, SANDERLING};
use sanderling_core::{DType, OpError};

/// How an operator is lowered.
pub trait LaunchOp: Sync {
    /// Whether this node can be lowered, by what is known before its constants are read.
    fn supports(&self, seen: &Seen<'_>) -> bool;

    /// Adds the node's steps.
    ///
    /// # Errors
    /// [`OpError`] where constants do not fit the operator.
    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError>;
}

/// An operator: domain, name, how it is lowered.
pub type Row = (&'static str, &'static str, &'static dyn LaunchOp);

/// Operators that a backend lowers.
#[derive(Clone, Copy)]
pub struct LaunchTable(pub &'static [Row]);

impl LaunchTable {
    /// What lowers a node; none where nothing does.
    #[must_use]
    pub fn find(&self, seen: &Seen<'_>) -> Option<&'static dyn LaunchOp> {
        let node = seen.node;
        let named = |row: &&Row| row.0 == node.domain() && row.1 == node.op_type();
        let op = self.0.iter().find(named).map(|row| row.2)?;
        op.supports(seen).then_some(op)
    }
}

/// Every operator there is.
pub const ALL: &[Row] = &[
    ("", "Concat", &rearrange::Concat),
    ("", "Flatten", &reshape::Reshape),
    ("", "Identity", &reshape::Reshape),
    ("", "MaxPool", &max_pool::MaxPool),
    ("", "QLinearConv", &qlinear_conv::QLinearConv),
    ("", "QLinearMatMul", &product::QLinearMatMul),
    ("", "Reshape", &reshape::Reshape),
    ("", "Squeeze", &reshape::Reshape),
    ("", "Transpose", &rearrange::Transpose),
    ("", "Unsqueeze", &reshape::Reshape),
    (MICROSOFT, "QGemm", &product::QGemm),
    (MICROSOFT, "QLinearAdd", &binary::QLinearAdd),
    (MICROSOFT, "QLinearGlobalAveragePool", &mean::Mean),
    (MICROSOFT, "QLinearMul", &binary::QLinearMul),
    (SANDERLING, "LookupTable", &lookup_table::LookupTable),
];

/// Most axes that kernels walk: four, and the packed one.
const MAX_RANK: usize = 5;

/// Whether kernels' 32-bit arithmetic holds every position of a window over an axis, padding included.
fn fits_words(axis: &Axis) -> bool {
    let reach = |count: usize, step: usize| (count.max(1) as i128 - 1) * step as i128;
    let positions = axis.input as i128
        + reach(axis.output, axis.stride)
        + reach(axis.kernel, axis.dilation)
        + i128::from(axis.pad_begin).abs()
        + i128::from(axis.pad_end).abs();
    positions <= i128::from(i32::MAX)
}

/// An eight-bit operand as kernels read it: signed, with the zero point moved along.
#[derive(Debug, Clone, Copy)]
struct Signed {
    flip: u32,
    zero: i32,
}

impl Signed {
    fn new(dtype: DType, zero: i32) -> Self {
        match dtype {
            DType::U8 => Self {
                flip: crate::kernel::FLIP,
                zero: zero - 128,
            },
            _ => Self { flip: 0, zero },
        }
    }
}

/// The zero point of an output and the range around it, as words.
fn results(dtype: DType, zero: i32) -> Result<[u32; 3], OpError> {
    let (least, most) = Requantise::to(dtype, zero)?.range();
    Ok([zero as u32, least as u32, most as u32])
}

/// The dtype of a value.
fn dtype(lowering: &Lowering<'_>, value: sanderling_core::ValueId) -> Result<DType, OpError> {
    let known = lowering.node().ty(value).map(|(dtype, _)| dtype);
    known.ok_or_else(|| OpError::shape("a type is not known"))
}
