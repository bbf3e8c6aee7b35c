//! The remainder of a ÷ b, with broadcasting: of the divisor's sign, or with `fmod = 1` of the dividend's. ONNX
//! `Mod` 10, 13. By integer zero it is zero.

use super::common::binary::{broadcast_shape, zip_inputs};
use super::common::dtypes::{NUMBERS, input_of, same_dtype, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `Mod`.
pub struct Mod;

impl Operator for Mod {
    fn name(&self) -> &'static str {
        "Mod"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let a = input_of(cx, 0, NUMBERS)?;
        same_dtype(cx, 1, a.dtype)?;
        let shape = broadcast_shape(cx)?;
        cx.set_output(0, a.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let truncates = cx.attrs.int_or("fmod", 0)? != 0;
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => match truncates {
                true => zip_inputs(cx, |a: N, b: N| a.fmod(b)),
                false => zip_inputs(cx, |a: N, b: N| a.modulo(b)),
            })
        })
    }
}
