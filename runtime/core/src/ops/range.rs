//! start, start + delta, … up to, not with, limit. ONNX `Range` 11, 27.
//!
//! The count is ⌈(limit − start) ÷ delta⌉ in binary64; each element is start + i·delta.

use super::common::codec::reader;
use super::common::dtypes::{NUMBERS, input_of, same_dtype, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, MAX_ELEMENTS};
use crate::tensor::TensorView;
use core::ops::RangeInclusive;

/// ONNX `Range`.
pub struct Range;

impl Operator for Range {
    fn name(&self) -> &'static str {
        "Range"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(11)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, NUMBERS)?;
        for index in 1..3 {
            cx.input(index)?;
            same_dtype(cx, index, ty.dtype)?;
        }
        let known = (cx.data(0), cx.data(1), cx.data(2));
        let dim = match (known, cx.dims(1)) {
            ((Some(start), Some(limit), Some(delta)), _) => Dim::from(count(start, limit, delta)?),
            // From 0 in steps of 1 up to a named size.
            ((Some(start), None, Some(delta)), Some(limit))
                if scalar(start)? == 0.0 && scalar(delta)? == 1.0 =>
            {
                limit.first().cloned().unwrap_or(Dim::Unknown)
            }
            _ => Dim::Unknown,
        };
        cx.set_output(0, ty.dtype, alloc::vec![dim]);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (start, delta) = (cx.input(0)?, cx.input(2)?);
            let mut out = cx.output()?;
            with_dtype!(numbers, start.dtype(), N => {
                let (start, delta) = (one::<N>(start)?, one::<N>(delta)?);
                let out = out.as_mut_slice::<N>()?;
                out.iter_mut().enumerate().for_each(|(i, o)| *o = start.plus(N::from_f64(i as f64).times(delta)));
                Ok(())
            })
        })
    }
}

fn one<N: Number>(view: TensorView<'_>) -> Result<N, OpError> {
    view.as_slice::<N>()?
        .first()
        .copied()
        .ok_or_else(|| OpError::shape("a bound of Range is empty"))
}

fn scalar(view: TensorView<'_>) -> Result<f64, OpError> {
    if view.is_empty() {
        return Err(OpError::shape("a bound of Range is empty"));
    }
    Ok(reader(view.dtype())?(view.bytes(), 0).to_f64())
}

fn count(start: TensorView<'_>, limit: TensorView<'_>, delta: TensorView<'_>) -> Result<usize, OpError> {
    let (start, limit, delta) = (scalar(start)?, scalar(limit)?, scalar(delta)?);
    let count = libm::ceil((limit - start) / delta);
    if delta == 0.0 || count.is_nan() || count > MAX_ELEMENTS as f64 {
        return Err(OpError::shape(alloc::format!(
            "a range from {start} to {limit} by {delta} has no end"
        )));
    }
    Ok(count.max(0.0) as usize)
}
