//! For each index, the element at that place along an axis and at the index's own place on the others. ONNX
//! `GatherElements` 11, 13.

use super::common::arg::along;
use super::common::dtypes::{INDICES, WHOLE_BYTES, input_of};
use super::common::gather::{advance, element_size};
use super::common::since;
use super::gather::indices;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{normalise_axis, strides};
use core::ops::RangeInclusive;

/// ONNX `GatherElements`.
pub struct GatherElements;

impl Operator for GatherElements {
    fn name(&self) -> &'static str {
        "GatherElements"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(11)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, indices) = (input_of(cx, 0, WHOLE_BYTES)?, input_of(cx, 1, INDICES)?);
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 0)?, ty.rank())?;
        let beside = |(i, (x, k)): (usize, (&crate::Dim, &crate::Dim))| {
            i == axis || x.fixed().zip(k.fixed()).is_none_or(|(x, k)| k <= x)
        };
        if indices.rank() != ty.rank() || !ty.shape.iter().zip(&indices.shape).enumerate().all(beside) {
            return Err(OpError::shape(alloc::format!(
                "indices {indices} do not lie within {ty}"
            )));
        }
        cx.set_output(0, ty.dtype, indices.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (input, picks) = (cx.input(0)?, cx.input(1)?);
        let axis = normalise_axis("axis", cx.attrs.int_or("axis", 0)?, input.shape().len())?;
        let (size, strides) = (element_size(&input)?, strides(input.shape()));
        let places = indices(picks, along(input.shape(), axis).0)?;
        let mut out = cx.output()?;
        let mut at = alloc::vec![0usize; strides.len()];
        for (to, place) in out.bytes_mut().chunks_exact_mut(size).zip(places) {
            let step = |(i, (&at, &stride)): (usize, (&usize, &usize))| {
                if i == axis { place * stride } else { at * stride }
            };
            let from: usize = at.iter().zip(&strides).enumerate().map(step).sum();
            to.copy_from_slice(&input.bytes()[from * size..][..size]);
            advance(&mut at, |i| picks.shape()[i]);
        }
        Ok(())
    }
}
