//! x · max(0, min(1, x ÷ 6 + ½)), elementwise. ONNX `HardSwish` 14, 22.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `HardSwish`.
pub struct HardSwish;

impl Pointwise for HardSwish {
    const NAME: &'static str = "HardSwish";
    const OPSETS: RangeInclusive<u16> = since(14);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x * (x * F::lit(1.0 / 6.0) + F::lit(0.5))
            .least(F::ONE)
            .greatest(F::ZERO)
    }
}
