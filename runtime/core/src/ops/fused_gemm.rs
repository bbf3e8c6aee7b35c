//! A matrix product, an addend, an activation. onnxruntime `com.microsoft` `FusedGemm` 1.
//!
//! `act(Gemm(A, B, C))`; the activation by the attributes `activation`, `activation_alpha`, `activation_beta`.

use super::common::MICROSOFT;
use super::common::activation::Activation;
use super::common::dtypes::{FLOATS, input_of, with_dtype};
use super::common::widen::through_f32;
use super::gemm::{eval_gemm, infer_gemm};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// onnxruntime's `FusedGemm`.
pub struct FusedGemm;

impl Operator for FusedGemm {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "FusedGemm"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        Activation::new(cx.attrs())?;
        input_of(cx, 0, FLOATS)?;
        infer_gemm(cx)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let activation = Activation::new(cx.attrs)?;
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => eval_gemm::<F>(cx, |out| activation.apply(out)))
        })
    }
}
