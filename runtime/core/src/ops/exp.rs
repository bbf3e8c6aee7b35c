//! e to the power of each element. ONNX `Exp` 1, 6, 13.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Exp`.
pub struct Exp;

impl Pointwise for Exp {
    const NAME: &'static str = "Exp";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.exp()
    }
}
