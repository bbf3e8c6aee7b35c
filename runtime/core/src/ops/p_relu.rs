//! x, or slope·x below zero, the slope broadcast to x. ONNX `PRelu` 1, 6, 7 (broadcasting), 9 (integers), 16.
//!
//! Before opset 7 the slope is one number or one for each channel.

use super::common::broadcast::zip;
use super::common::dtypes::{NUMBERS, input_of, same_dtype, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `PRelu`.
pub struct PRelu;

impl Operator for PRelu {
    fn name(&self) -> &'static str {
        "PRelu"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, NUMBERS)?;
        same_dtype(cx, 1, ty.dtype)?;
        cx.input(1)?;
        cx.set_output(0, ty.dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (x, slope) = (cx.input(0)?, cx.input(1)?);
            let slope_shape = slope_shape(cx.opset, x.shape().len(), slope.shape());
            let mut out = cx.output()?;
            with_dtype!(numbers, x.dtype(), N => {
                zip((x, x.shape()), (slope, &slope_shape), &mut out, sloped::<N>)
            })
        })
    }
}

fn sloped<N: Number>(x: N, slope: N) -> N {
    if x < N::ZERO { slope.times(x) } else { x }
}

/// The slope's shape as NumPy's broadcasting needs it.
#[must_use]
pub fn slope_shape(opset: u16, rank: usize, slope: &[usize]) -> Vec<usize> {
    let mut shape = slope.to_vec();
    if opset < 7 && slope.len() == 1 && rank > 2 {
        shape.resize(rank - 1, 1);
    }
    shape
}
