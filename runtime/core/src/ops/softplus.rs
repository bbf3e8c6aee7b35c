//! ln(1 + eˣ), elementwise, as max(x, 0) + ln(1 + e^−|x|), which cannot overflow. ONNX `Softplus` 1, 22.

use super::common::number::Float;
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Softplus`.
pub struct Softplus;

impl Pointwise for Softplus {
    const NAME: &'static str = "Softplus";
    const OPSETS: RangeInclusive<u16> = since(1);
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        x.greatest(F::ZERO) + (-x.abs()).exp().ln_1p()
    }
}
