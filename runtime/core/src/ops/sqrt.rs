//! Square root, elementwise, correctly rounded. ONNX `Sqrt` 1, 6, 13.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Sqrt`.
pub struct Sqrt;

impl Pointwise for Sqrt {
    const NAME: &'static str = "Sqrt";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.sqrt()
    }
}
