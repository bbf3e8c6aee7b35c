//! Absolute value, elementwise. ONNX `Abs` 1, 6, 13; the least integer of a width stays itself.

use super::common::dtypes::{Class, NUMBERS};
use super::common::number::{Float, Int};
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Abs`.
pub struct Abs;

impl Pointwise for Abs {
    const NAME: &'static str = "Abs";
    const OPSETS: RangeInclusive<u16> = since(1);
    const EXACT: bool = true;
    const DTYPES: Class = NUMBERS;
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.abs()
    }

    fn int<I: Int>(x: I, _params: Self::Params) -> I {
        x.magnitude()
    }
}
