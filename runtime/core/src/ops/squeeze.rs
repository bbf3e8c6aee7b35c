//! Without some axes of size 1, or all of them. ONNX `Squeeze` 1, 11 (axes as attribute), 13 (as input), 21, 23,
//! 24, 25.

use super::common::axes::{Given, given, normalise};
use super::common::since;
use super::identity::copy_bytes;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Squeeze`.
pub struct Squeeze;

impl Operator for Squeeze {
    fn name(&self) -> &'static str {
        "Squeeze"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        let shape: Vec<Dim> = match given(cx, 1, "axes")? {
            Given::Known(axes) => {
                let axes = normalise(&axes, ty.rank())?;
                if let Some(&axis) = axes
                    .iter()
                    .find(|&&axis| ty.shape[axis].fixed().is_some_and(|n| n != 1))
                {
                    return Err(OpError::shape(format!("axis {axis} of {ty} is not of size 1")));
                }
                let kept = ty.shape.iter().enumerate().filter(|(i, _)| !axes.contains(i));
                kept.map(|(_, dim)| dim.clone()).collect()
            }
            Given::Absent if ty.shape.iter().all(|dim| dim.fixed().is_some()) => ty
                .shape
                .iter()
                .filter(|dim| **dim != Dim::Fixed(1))
                .cloned()
                .collect(),
            // Which axes go, and so the rank, only a run knows.
            Given::Absent | Given::Later => return Ok(()),
        };
        if let (Some(dims), None) = (cx.dims(0), cx.data(0)) {
            cx.set_output_dims(0, dims);
        }
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        copy_bytes(cx)
    }
}
