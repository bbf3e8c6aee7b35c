//! Inputs joined along an axis. ONNX `Concat` 1 (axis 1 by default), 4, 11 (negative axes), 13.

use super::common::dims;
use super::common::dtypes::{WHOLE_BYTES, input_of, same_dtype};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, normalise_axis};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Concat`.
pub struct Concat;

impl Operator for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let first = input_of(cx, 0, WHOLE_BYTES)?;
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 1)?, first.rank())?;
        let mut shape = first.shape.clone();
        if shape.is_empty() {
            return Err(OpError::shape("scalars cannot be joined"));
        }
        for index in 1..cx.input_count() {
            same_dtype(cx, index, first.dtype)?;
            let next = cx.input(index)?;
            if next.rank() != shape.len() {
                return Err(OpError::shape(format!("{first} and {next} have different ranks")));
            }
            for (i, (dim, other)) in shape.iter_mut().zip(&next.shape).enumerate() {
                *dim = match i == axis {
                    true => dims::add(dim, other),
                    false => dims::unify(dim, other, "dimensions beside the axis of Concat")?,
                };
            }
        }
        let elements: Option<Vec<Vec<Dim>>> = (0..cx.input_count()).map(|index| cx.dims(index)).collect();
        if let (Some(elements), 1, true) = (elements, shape.len(), first.dtype.is_integer()) {
            cx.set_output_dims(0, elements.concat());
        }
        cx.set_output(0, first.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let first = cx.input(0)?;
        let axis = normalise_axis("axis", cx.attrs.int_or("axis", 1)?, first.shape().len())?;
        let size = element_size(&first)?;
        let mut out = cx.output()?;
        let row = size * out.shape()[axis..].iter().product::<usize>();
        let bytes = out.bytes_mut();
        let mut at = 0;
        for index in 0..cx.inputs.len() {
            let input = cx.input(index)?;
            let part = size * input.shape()[axis..].iter().product::<usize>();
            if part == 0 {
                continue;
            }
            for (row, part) in bytes.chunks_exact_mut(row).zip(input.bytes().chunks_exact(part)) {
                row[at..at + part.len()].copy_from_slice(part);
            }
            at += part;
        }
        Ok(())
    }
}
