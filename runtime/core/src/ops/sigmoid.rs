//! 1 ÷ (1 + e⁻ˣ), elementwise. ONNX `Sigmoid` 1, 6, 13.
//!
//! The power is taken of −|x|, so that it cannot overflow.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Sigmoid`.
pub struct Sigmoid;

/// The logistic function.
pub fn sigmoid<F: Float>(x: F) -> F {
    let power = (-x.abs()).exp();
    if x >= F::ZERO {
        F::ONE / (F::ONE + power)
    } else {
        power / (F::ONE + power)
    }
}

impl Pointwise for Sigmoid {
    const NAME: &'static str = "Sigmoid";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        sigmoid(x)
    }
}
