//! Local response normalisation across channels: x ÷ (bias + alpha ÷ size · Σ x²)^beta over `size` neighbouring
//! channels. ONNX `LRN` 1, 13, after "ImageNet Classification with Deep Convolutional Neural Networks"
//! (Krizhevsky et al., 2012).

use super::common::dtypes::{FLOATS, with_dtype};
use super::common::number::Float;
use super::common::since;
use super::common::unary::same_type;
use super::common::widen::through_f32;
use super::common::window::spatial;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `LRN`.
pub struct Lrn;

/// The attribute `size`.
///
/// # Errors
/// [`OpError::Attribute`] below 1.
pub fn size(attrs: Attrs<'_>) -> Result<usize, OpError> {
    let size = attrs.int("size")?.and_then(|n| usize::try_from(n).ok());
    size.filter(|&n| n > 0)
        .ok_or_else(|| OpError::attribute("size", "is required, from 1 on"))
}

impl Operator for Lrn {
    fn name(&self) -> &'static str {
        "LRN"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        size(cx.attrs())?;
        spatial(&cx.input(0)?.shape)?;
        same_type(cx, FLOATS)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => normalise::<F>(cx))
        })
    }
}

fn normalise<F: Float>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let size = size(cx.attrs)?;
    let (alpha, beta) = (
        cx.attrs.float_or("alpha", 0.0001)?,
        cx.attrs.float_or("beta", 0.75)?,
    );
    let (bias, beta) = (F::of(cx.attrs.float_or("bias", 1.0)?), F::of(beta));
    let factor = F::of(alpha) / F::lit(size as f64);
    let input = cx.input(0)?;
    let channels = input.shape()[1];
    let plane: usize = spatial(input.shape())?.iter().product();
    let x = input.as_slice::<F>()?;
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    for (i, o) in out.iter_mut().enumerate() {
        let (c, base) = (i / plane % channels, i - i / plane % channels * plane);
        let first = c.saturating_sub((size - 1) / 2);
        let last = c.saturating_add(size / 2).min(channels - 1);
        let squares = (first..=last)
            .map(|k| x[base + k * plane])
            .fold(F::ZERO, |sum, x| sum + x * x);
        *o = x[i] / (bias + factor * squares).power(beta);
    }
    Ok(())
}
