//! Normalisation of each channel of each sample by its own moments, then scale and bias per channel. ONNX
//! `InstanceNormalization` 1, 6, 22.

use super::common::dtypes::{FLOATS, input_of, same_dtype, with_dtype};
use super::common::norm::{inverse_deviation, moments};
use super::common::number::Float;
use super::common::since;
use super::common::widen::through_f32;
use super::common::window::spatial;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `InstanceNormalization`.
pub struct InstanceNormalization;

impl Operator for InstanceNormalization {
    fn name(&self) -> &'static str {
        "InstanceNormalization"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        spatial(&ty.shape)?;
        for index in 1..3 {
            same_dtype(cx, index, ty.dtype)?;
            let [len] = cx.input(index)?.shape.as_slice() else {
                return Err(OpError::shape(alloc::format!(
                    "input {index} must have one number for each channel"
                )));
            };
            super::common::dims::unify(len, &ty.shape[1], "channels of InstanceNormalization")?;
        }
        cx.set_output(0, ty.dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => normalise::<F>(cx))
        })
    }
}

fn normalise<F: Float>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let epsilon = cx.attrs.float_or("epsilon", 1e-5)?;
    let input = cx.input(0)?;
    let plane: usize = spatial(input.shape())?.iter().product();
    let (x, scale, bias) = (
        input.as_slice::<F>()?,
        cx.input(1)?.as_slice::<F>()?,
        cx.input(2)?.as_slice::<F>()?,
    );
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    if out.is_empty() {
        return Ok(());
    }
    for (i, (x, out)) in x.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).enumerate() {
        let c = i % scale.len();
        let (mean, variance) = moments(x);
        let factor = inverse_deviation(variance, epsilon);
        out.iter_mut()
            .zip(x)
            .for_each(|(o, &x)| *o = (x - mean) * factor * scale[c] + bias[c]);
    }
    Ok(())
}
