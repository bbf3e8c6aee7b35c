//! The first input in the dtype of the second. ONNX `CastLike` 15, 19 (`saturate`), 21, 23, 24, 25.
//!
//! Conversion as in [`super::cast`].

use super::cast::{eval_cast, infer_cast};
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `CastLike`.
pub struct CastLike;

impl Operator for CastLike {
    fn name(&self) -> &'static str {
        "CastLike"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(15)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let to = cx.input(1)?.dtype;
        infer_cast(cx, to)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        eval_cast(cx)
    }
}
