//! Addition of eight-bit tensors of different scales. onnxruntime `com.microsoft` `QLinearAdd` 1. Arithmetic:
//! docs/numerics.md, in integers where onnxruntime adds floats.

use super::common::qlinear_binary::QLinearArithmetic;
use super::common::requantise::{Addition, Multiplier};
use crate::error::OpError;

/// onnxruntime's `QLinearAdd`.
pub struct QLinearAdd;

impl QLinearArithmetic for QLinearAdd {
    const NAME: &'static str = "QLinearAdd";
    type Factors = Addition;

    fn factors(a: f32, b: f32, y: f32) -> Result<(Addition, Multiplier), OpError> {
        let addition = Addition::new(a, b, y)?;
        Ok((addition, addition.multiplier))
    }

    fn accumulate(addition: &Addition, a: i32, b: i32) -> i32 {
        addition.sum(a, b)
    }
}
