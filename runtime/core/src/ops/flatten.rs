//! The input as a matrix, split at an axis. ONNX `Flatten` 1, 9, 11 (negative axes), 13, 21, 23, 24, 25.

use super::common::dims::product;
use super::common::since;
use super::identity::copy_bytes;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::normalise_axis;
use core::ops::RangeInclusive;

/// ONNX `Flatten`.
pub struct Flatten;

impl Operator for Flatten {
    fn name(&self) -> &'static str {
        "Flatten"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        let axis = cx.attrs().int_or("axis", 1)?;
        // The rank itself is allowed: everything is rows.
        let at = if axis == ty.rank() as i64 {
            ty.rank()
        } else {
            normalise_axis("axis", axis, ty.rank())?
        };
        let shape = alloc::vec![product(&ty.shape[..at]), product(&ty.shape[at..])];
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        copy_bytes(cx)
    }
}
