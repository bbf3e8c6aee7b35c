//! The error function, elementwise. ONNX `Erf` 9, 13.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Erf`.
pub struct Erf;

impl Pointwise for Erf {
    const NAME: &'static str = "Erf";
    const OPSETS: RangeInclusive<u16> = since(9);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.erf()
    }
}
