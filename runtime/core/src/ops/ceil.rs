//! The least integer not below, elementwise. ONNX `Ceil` 1, 6, 13.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Ceil`.
pub struct Ceil;

impl Pointwise for Ceil {
    const NAME: &'static str = "Ceil";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.ceil()
    }
}
