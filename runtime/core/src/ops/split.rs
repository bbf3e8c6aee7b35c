//! The input cut along an axis. ONNX `Split` 1, 2, 11 (sizes as attribute), 13 (as input), 18 (`num_outputs`).
//!
//! Without sizes the parts are equal; from opset 18 the last may be smaller.

use super::common::axes::{Given, given};
use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, normalise_axis};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Split`.
pub struct Split;

impl Operator for Split {
    fn name(&self) -> &'static str {
        "Split"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        if ty.shape.is_empty() {
            return Err(OpError::shape("a scalar cannot be split"));
        }
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 0)?, ty.rank())?;
        let count = cx.output_count();
        let sizes: Vec<Dim> = match given(cx, 1, "split")? {
            Given::Known(sizes) => checked(sizes, &ty.shape[axis], count)?
                .into_iter()
                .map(Dim::Fixed)
                .collect(),
            Given::Later => alloc::vec![Dim::Unknown; count],
            Given::Absent => equal(&ty.shape[axis], count, cx.attrs().int("num_outputs")?)?,
        };
        for (index, size) in sizes.into_iter().enumerate() {
            let mut shape = ty.shape.clone();
            shape[axis] = size;
            cx.set_output(index, ty.dtype, shape);
        }
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let axis = normalise_axis("axis", cx.attrs.int_or("axis", 0)?, input.shape().len())?;
        let size = element_size(&input)?;
        let row = size * input.shape()[axis..].iter().product::<usize>();
        if row == 0 {
            return Ok(());
        }
        let mut at = 0;
        for index in 0..cx.outputs.len() {
            let Some(mut out) = cx.take_output(index) else {
                return Err(OpError::unsupported("Split with an output left out"));
            };
            let part = size * out.shape()[axis..].iter().product::<usize>();
            if part == 0 {
                continue;
            }
            let rows = input.bytes().chunks_exact(row);
            for (row, out) in rows.zip(out.bytes_mut().chunks_exact_mut(part)) {
                out.copy_from_slice(&row[at..at + part]);
            }
            at += part;
        }
        Ok(())
    }
}

fn checked(sizes: Vec<i64>, dim: &Dim, count: usize) -> Result<Vec<i64>, OpError> {
    let sum = sizes.iter().try_fold(0i64, |sum, &n| sum.checked_add(n));
    let fits = dim.fixed().is_none_or(|dim| sum == Some(dim));
    if !fits || sizes.len() < count || sizes.iter().any(|&n| n < 0) {
        return Err(OpError::shape(format!(
            "sizes {sizes:?} do not split an axis of {dim} into {count}"
        )));
    }
    Ok(sizes)
}

fn equal(dim: &Dim, count: usize, num_outputs: Option<i64>) -> Result<Vec<Dim>, OpError> {
    let parts = num_outputs.unwrap_or(count as i64);
    let Some(size) = dim.fixed() else {
        return Ok(alloc::vec![Dim::Unknown; count]);
    };
    if parts < 1 || (num_outputs.is_none() && size % parts != 0) || parts < count as i64 {
        return Err(OpError::shape(format!(
            "an axis of {size} does not split into {parts} equal parts"
        )));
    }
    // Rounded up; both may be near i64's end.
    let each = size / parts + i64::from(size % parts != 0);
    Ok((0..count as i64)
        .map(|i| Dim::Fixed((size - i.saturating_mul(each)).clamp(0, each)))
        .collect())
}
