//! x·Φ(x), elementwise: by erf, or with `approximate = "tanh"` by tanh. ONNX `Gelu` 20.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Gelu`.
pub struct Gelu;

/// x ÷ 2 · (1 + erf(x ÷ √2)).
pub fn exact<F: Float>(x: F) -> F {
    F::lit(0.5) * x * (F::ONE + (x * F::lit(core::f64::consts::FRAC_1_SQRT_2)).erf())
}

/// x ÷ 2 · (1 + tanh(√(2 ÷ π) · (x + 0.044715·x³))).
fn tanh<F: Float>(x: F) -> F {
    let inner = F::lit(0.797_884_560_802_865_4) * (x + F::lit(0.044_715) * x * x * x);
    F::lit(0.5) * x * (F::ONE + inner.tanh())
}

impl Pointwise for Gelu {
    const NAME: &'static str = "Gelu";
    const OPSETS: RangeInclusive<u16> = since(20);
    type Params = bool;

    fn params(attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        match attrs.str_or("approximate", "none")? {
            "none" => Ok(false),
            "tanh" => Ok(true),
            other => Err(OpError::attribute("approximate", alloc::format!("is '{other}'"))),
        }
    }

    fn float<F: Float>(x: F, p: Self::Params) -> F {
        if p { tanh(x) } else { exact(x) }
    }
}
