//! max(x, 0), elementwise; NaN stays. ONNX `Relu` 1, 6, 13, 14 (integers).

use super::common::dtypes::{Class, SIGNED};
use super::common::number::{Float, Int};
use super::common::since;
use super::common::unary::Pointwise;
use crate::attr::Attrs;
use crate::error::OpError;
use core::ops::RangeInclusive;

/// ONNX `Relu`.
pub struct Relu;

impl Pointwise for Relu {
    const NAME: &'static str = "Relu";
    const OPSETS: RangeInclusive<u16> = since(1);
    const EXACT: bool = true;
    const DTYPES: Class = SIGNED;
    type Params = ();

    fn params(_attrs: Attrs<'_>, _opset: u16) -> Result<Self::Params, OpError> {
        Ok(())
    }

    fn float<F: Float>(x: F, _params: Self::Params) -> F {
        if x < F::ZERO { F::ZERO } else { x }
    }

    fn int<I: Int>(x: I, _params: Self::Params) -> I {
        if x < I::ZERO { I::ZERO } else { x }
    }
}
