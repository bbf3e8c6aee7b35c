//! x, or `alpha`·x below zero (default 0.01), elementwise. ONNX `LeakyRelu` 1, 6, 16.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `LeakyRelu`.
pub struct LeakyRelu;

impl Pointwise for LeakyRelu {
    const NAME: &'static str = "LeakyRelu";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = f32;

    fn params(attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        attrs.float_or("alpha", 0.01)
    }

    fn float<F: Float>(x: F, p: Self::Params) -> F {
        if x < F::ZERO { F::of(p) * x } else { x }
    }
}
