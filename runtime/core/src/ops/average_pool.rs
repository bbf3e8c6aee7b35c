//! The mean of each window. ONNX `AveragePool` 1, 7 (`count_include_pad`), 10 (`ceil_mode`), 11, 19
//! (`dilations`), 22.

use super::common::dtypes::{FLOATS, input_of, with_dtype};
use super::common::pool::{average, output_shape};
use super::common::since;
use super::common::widen::through_f32;
use super::common::window::{Window, spatial};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `AveragePool`.
pub struct AveragePool;

impl Operator for AveragePool {
    fn name(&self) -> &'static str {
        "AveragePool"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        let shape = output_shape(cx, ty)?;
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let input = cx.input(0)?;
            let sizes = spatial(input.shape())?;
            let axes = Window::new(cx.attrs, sizes.len(), None)?.axes(sizes)?;
            let include_pad = cx.attrs.int_or("count_include_pad", 0)? != 0;
            let mut out = cx.output()?;
            with_dtype!(floats, input.dtype(), F => {
                average::<F>(&axes, include_pad, input.as_slice()?, out.as_mut_slice()?);
                Ok(())
            })
        })
    }
}
