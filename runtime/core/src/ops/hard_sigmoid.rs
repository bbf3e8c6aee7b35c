//! max(0, min(1, `alpha`·x + `beta`)), elementwise (defaults 0.2, 0.5). ONNX `HardSigmoid` 1, 6, 22.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `HardSigmoid`.
pub struct HardSigmoid;

impl Pointwise for HardSigmoid {
    const NAME: &'static str = "HardSigmoid";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = (f32, f32);

    fn params(attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok((attrs.float_or("alpha", 0.2)?, attrs.float_or("beta", 0.5)?))
    }

    fn float<F: Float>(x: F, p: Self::Params) -> F {
        (F::of(p.0) * x + F::of(p.1)).least(F::ONE).greatest(F::ZERO)
    }
}
