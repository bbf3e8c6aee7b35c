//! Transposed convolution. ONNX `ConvTranspose` 1, 11, 22, over any number of spatial axes.
//!
//! Order of the sums: see [`super::common::conv`].

use super::common::conv::{Geometry, convolve_transposed, transposed_shape};
use super::common::dtypes::{FLOATS, input_of, same_dtype, with_dtype};
use super::common::since;
use super::common::widen::through_f32;
use super::conv::check_bias;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `ConvTranspose`.
pub struct ConvTranspose;

impl Operator for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (x, w) = (input_of(cx, 0, FLOATS)?, cx.input(1)?);
        same_dtype(cx, 1, x.dtype)?;
        same_dtype(cx, 2, x.dtype)?;
        let shape = transposed_shape(cx.attrs(), x, w)?;
        check_bias(cx.optional(2).map(|bias| bias.shape.as_slice()), &shape[1..2])?;
        cx.set_output(0, x.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (x, w) = (cx.input(0)?, cx.input(1)?);
            let geometry = Geometry::transposed(cx.attrs, x.shape(), w.shape())?;
            let mut out = cx.output()?;
            with_dtype!(floats, x.dtype(), F => {
                let bias = cx.optional(2).map(|bias| bias.as_slice::<F>()).transpose()?;
                convolve_transposed(&geometry, x.as_slice()?, w.as_slice()?, bias, out.as_mut_slice::<F>()?);
                Ok(())
            })
        })
    }
}
