//! x·Φ(x) by erf, elementwise. onnxruntime `com.microsoft` `Gelu` 1.

use super::common::MICROSOFT;
use super::common::number::Float;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// onnxruntime's `Gelu`.
pub struct MicrosoftGelu;

impl Pointwise for MicrosoftGelu {
    const NAME: &'static str = "Gelu";
    const DOMAIN: &'static str = MICROSOFT;
    const OPSETS: RangeInclusive<u16> = 1..=1;
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        super::gelu::exact(x)
    }
}
