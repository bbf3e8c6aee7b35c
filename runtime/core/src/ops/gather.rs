//! Slices of the input along an axis, by index. ONNX `Gather` 1, 11 (negative indices), 13.

use super::common::arg::along;
use super::common::dtypes::{INDICES, WHOLE_BYTES, input_of};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::normalise_axis;
use crate::tensor::TensorView;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Gather`.
pub struct Gather;

impl Operator for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, indices) = (input_of(cx, 0, WHOLE_BYTES)?, input_of(cx, 1, INDICES)?);
        if ty.shape.is_empty() {
            return Err(OpError::shape("a scalar has no axis to gather along"));
        }
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 0)?, ty.rank())?;
        let mut shape = ty.shape[..axis].to_vec();
        shape.extend_from_slice(&indices.shape);
        shape.extend_from_slice(&ty.shape[axis + 1..]);
        if let (Some(dims), Some(places), None, true) = (
            cx.dims(0),
            cx.ints(1),
            cx.data(0),
            ty.rank() == 1 && shape.len() <= 1,
        ) {
            let picked: Result<Vec<_>, OpError> = places
                .iter()
                .map(|&i| Ok(dims[index(i, dims.len())?].clone()))
                .collect();
            cx.set_output_dims(0, picked?);
        }
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let axis = normalise_axis("axis", cx.attrs.int_or("axis", 0)?, input.shape().len())?;
        let (len, behind) = along(input.shape(), axis);
        let run = behind * element_size(&input)?;
        let places = indices(cx.input(1)?, len)?;
        let mut out = cx.output()?;
        if run == 0 || places.is_empty() || len == 0 {
            return Ok(());
        }
        let blocks = input.bytes().chunks_exact(run * len);
        for (from, to) in blocks.zip(out.bytes_mut().chunks_exact_mut(run * places.len())) {
            for (to, &place) in to.chunks_exact_mut(run).zip(&places) {
                to.copy_from_slice(&from[place * run..][..run]);
            }
        }
        Ok(())
    }
}

/// An index in −len..len as a place.
///
/// # Errors
/// [`OpError::Data`] outside.
pub fn index(i: i64, len: usize) -> Result<usize, OpError> {
    let shifted = if i < 0 { i.saturating_add(len as i64) } else { i };
    usize::try_from(shifted)
        .ok()
        .filter(|&i| i < len)
        .ok_or_else(|| OpError::Data {
            message: format!("index {i} is outside of an axis of {len} elements"),
        })
}

/// All indices of a tensor as places along an axis of `len` elements.
///
/// # Errors
/// As [`index()`].
pub fn indices(view: TensorView<'_>, len: usize) -> Result<Vec<usize>, OpError> {
    let list = view.to_i64s().ok_or_else(|| OpError::Data {
        message: "indices must be integers".into(),
    })?;
    list.into_iter().map(|i| index(i, len)).collect()
}
