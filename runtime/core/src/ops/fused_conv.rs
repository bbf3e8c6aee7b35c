//! Convolution, an addend, an activation. onnxruntime `com.microsoft` `FusedConv` 1.
//!
//! `act(Conv(X, W, B) + Z)`, with `Z` of the result's shape; the activation by the attributes `activation` and
//! `activation_params`.

use super::common::MICROSOFT;
use super::common::activation::Activation;
use super::common::dtypes::with_dtype;
use super::common::widen::through_f32;
use super::conv::{eval_conv, infer_conv};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// onnxruntime's `FusedConv`.
pub struct FusedConv;

impl Operator for FusedConv {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "FusedConv"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        Activation::new(cx.attrs())?;
        infer_conv(cx)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let activation = Activation::new(cx.attrs)?;
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => {
                let addend = cx.optional(3).map(|z| z.as_slice::<F>()).transpose()?;
                eval_conv::<F>(cx, |out| {
                    if let Some(addend) = addend {
                        if addend.len() != out.len() {
                            return Err(OpError::shape("the addend Z is not of the result's shape"));
                        }
                        out.iter_mut().zip(addend).for_each(|(o, &z)| *o += z);
                    }
                    activation.apply(out);
                    Ok(())
                })
            })
        })
    }
}
