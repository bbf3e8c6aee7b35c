//! Convolution. ONNX `Conv` 1, 11, 22, over any number of spatial axes.
//!
//! Order of the sums: see [`super::common::conv`].

use super::common::conv::{Geometry, convolve, output_shape};
use super::common::dtypes::{FLOATS, input_of, same_dtype, with_dtype};
use super::common::number::Float;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `Conv`.
pub struct Conv;

impl Operator for Conv {
    fn name(&self) -> &'static str {
        "Conv"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        infer_conv(cx)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => eval_conv::<F>(cx, |_| Ok(())))
        })
    }
}

/// The shape rule of `Conv` and what is fused from it.
///
/// # Errors
/// As [`output_shape`].
pub fn infer_conv(cx: &mut InferCx<'_>) -> Result<(), OpError> {
    let (x, w) = (input_of(cx, 0, FLOATS)?, cx.input(1)?);
    same_dtype(cx, 1, x.dtype)?;
    same_dtype(cx, 2, x.dtype)?;
    check_bias(
        cx.optional(2).map(|bias| bias.shape.as_slice()),
        &w.shape[..1.min(w.rank())],
    )?;
    let shape = output_shape(cx.attrs(), x, w)?;
    cx.set_output(0, x.dtype, shape);
    Ok(())
}

/// Holds that a bias has one element for each output channel.
///
/// # Errors
/// [`OpError::Shape`].
pub fn check_bias(bias: Option<&[crate::Dim]>, channels: &[crate::Dim]) -> Result<(), OpError> {
    match (bias, channels) {
        (Some([bias]), [channels]) => {
            super::common::dims::unify(bias, channels, "bias and output channels").map(drop)
        }
        (Some(bias), _) => Err(OpError::shape(alloc::format!(
            "the bias has rank {}, it must be 1",
            bias.len()
        ))),
        (None, _) => Ok(()),
    }
}

/// Convolves inputs 0, 1 and 2 into the first output, and hands that to `finish`.
///
/// # Errors
/// As [`Geometry::new`], and what `finish` says.
pub fn eval_conv<F: Float>(
    cx: &mut EvalCx<'_, '_>,
    finish: impl FnOnce(&mut [F]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let (x, w) = (cx.input(0)?, cx.input(1)?);
    let bias = cx.optional(2).map(|bias| bias.as_slice::<F>()).transpose()?;
    let geometry = Geometry::new(cx.attrs, x.shape(), w.shape())?;
    let mut out = cx.output()?;
    let out = out.as_mut_slice()?;
    convolve(&geometry, x.as_slice()?, w.as_slice()?, bias, out);
    finish(out)
}
