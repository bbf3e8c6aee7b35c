//! −1, 0 or 1 by the sign, elementwise; NaN stays. ONNX `Sign` 9, 13.

use super::common::dtypes::{Class, NUMBERS};
use super::common::number::{Float, Int};
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Sign`.
pub struct Sign;

impl Pointwise for Sign {
    const NAME: &'static str = "Sign";
    const OPSETS: RangeInclusive<u16> = since(9);
    const DTYPES: Class = NUMBERS;
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        if x > F::ZERO {
            F::ONE
        } else if x < F::ZERO {
            -F::ONE
        } else {
            x
        }
    }

    fn int<I: Int>(x: I, _params: Self::Params) -> I {
        if x > I::ZERO {
            I::ONE
        } else if x < I::ZERO {
            I::ONE.negated()
        } else {
            I::ZERO
        }
    }
}
