//! Multiplication of eight-bit tensors. onnxruntime `com.microsoft` `QLinearMul` 1. Arithmetic: docs/numerics.md.

use super::common::qlinear_binary::QLinearArithmetic;
use super::common::requantise::Multiplier;
use crate::error::OpError;

/// onnxruntime's `QLinearMul`.
pub struct QLinearMul;

impl QLinearArithmetic for QLinearMul {
    const NAME: &'static str = "QLinearMul";
    type Factors = ();

    fn factors(a: f32, b: f32, y: f32) -> Result<((), Multiplier), OpError> {
        Ok(((), Multiplier::of_product(a, b, y)?))
    }

    fn accumulate((): &(), a: i32, b: i32) -> i32 {
        a * b
    }
}
