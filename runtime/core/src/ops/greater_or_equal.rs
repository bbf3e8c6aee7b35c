//! Whether a ≥ b, with broadcasting. ONNX `GreaterOrEqual` 12, 16.

use super::common::compare::Comparison;
use super::common::number::Number;
use super::common::since;
use core::ops::RangeInclusive;

/// ONNX `GreaterOrEqual`.
pub struct GreaterOrEqual;

impl Comparison for GreaterOrEqual {
    const NAME: &'static str = "GreaterOrEqual";
    const OPSETS: RangeInclusive<u16> = since(12);

    fn holds<T: Number>(a: T, b: T) -> bool {
        a >= b
    }
}
