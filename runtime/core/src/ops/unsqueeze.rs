//! With new axes of size 1. ONNX `Unsqueeze` 1, 11 (axes as attribute), 13 (as input), 21, 23, 24, 25.

use super::common::axes::{Given, given, normalise};
use super::common::since;
use super::identity::copy_bytes;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use core::ops::RangeInclusive;

/// ONNX `Unsqueeze`.
pub struct Unsqueeze;

impl Operator for Unsqueeze {
    fn name(&self) -> &'static str {
        "Unsqueeze"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        let axes = match given(cx, 1, "axes")? {
            Given::Known(axes) => axes,
            Given::Absent => return Err(OpError::MissingInput { index: 1 }),
            Given::Later => {
                let added = cx
                    .input(1)?
                    .concrete()
                    .map(|shape| shape.iter().product::<usize>());
                if let Some(added) = added {
                    cx.set_output(0, ty.dtype, alloc::vec![Dim::Unknown; ty.rank() + added]);
                }
                return Ok(());
            }
        };
        let rank = ty.rank() + axes.len();
        let axes = normalise(&axes, rank)?;
        let mut old = ty.shape.iter().cloned();
        let one = |i: usize| {
            if axes.contains(&i) {
                Dim::Fixed(1)
            } else {
                old.next().unwrap_or(Dim::Unknown)
            }
        };
        let shape = (0..rank).map(one).collect();
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
