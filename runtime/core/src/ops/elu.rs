//! x, or `alpha`·(eˣ − 1) below zero (default 1), elementwise. ONNX `Elu` 1, 6, 22.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Elu`.
pub struct Elu;

impl Pointwise for Elu {
    const NAME: &'static str = "Elu";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = f32;

    fn params(attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        attrs.float_or("alpha", 1.0)
    }

    fn float<F: Float>(x: F, p: Self::Params) -> F {
        if x < F::ZERO { F::of(p) * x.exp_m1() } else { x }
    }
}
