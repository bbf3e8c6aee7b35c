//! The nearest integer, halves to the even one, elementwise. ONNX `Round` 11, 22.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Round`.
pub struct Round;

impl Pointwise for Round {
    const NAME: &'static str = "Round";
    const OPSETS: RangeInclusive<u16> = since(11);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.round_even()
    }
}
