//! ¬a. ONNX `Not` 1.

use super::common::dtypes::BOOLS;
use super::common::since;
use super::common::unary::{map, same_type};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `Not`.
pub struct Not;

impl Operator for Not {
    fn name(&self) -> &'static str {
        "Not"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        same_type(cx, BOOLS)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        map(cx, |x: u8| u8::from(x == 0))
    }
}
