//! The input broadcast to a shape (both ways: the shape may hold ones). ONNX `Expand` 8, 13.

use super::common::broadcast::Rows;
use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, broadcast};
use core::ops::RangeInclusive;

/// ONNX `Expand`.
pub struct Expand;

impl Operator for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(8)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        let wanted = cx.input(1)?;
        if let Some(dims) = cx.dims(1) {
            let shape = broadcast(&ty.shape, &dims)?;
            cx.set_output(0, ty.dtype, shape);
        } else if let [Dim::Fixed(rank)] = wanted.shape[..] {
            let rank = usize::try_from(rank).unwrap_or(0).max(ty.rank());
            cx.set_output(0, ty.dtype, alloc::vec![Dim::Unknown; rank]);
        }
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let size = element_size(&input)?;
        let mut out = cx.output()?;
        let rows = Rows::new(out.shape(), [input.shape()])?;
        let (from, to, len) = (input.bytes(), out.bytes_mut(), rows.len);
        if to.is_empty() {
            return Ok(());
        }
        rows.for_each(|row, [base]| {
            let to = &mut to[row * len * size..][..len * size];
            match rows.step {
                [1] => to.copy_from_slice(&from[base * size..][..len * size]),
                _ => to
                    .chunks_exact_mut(size)
                    .for_each(|to| to.copy_from_slice(&from[base * size..][..size])),
            }
        });
        Ok(())
    }
}
