//! Whether a ≤ b, with broadcasting. ONNX `LessOrEqual` 12, 16.

use super::common::compare::Comparison;
use super::common::number::Number;
use super::common::since;
use core::ops::RangeInclusive;

/// ONNX `LessOrEqual`.
pub struct LessOrEqual;

impl Comparison for LessOrEqual {
    const NAME: &'static str = "LessOrEqual";
    const OPSETS: RangeInclusive<u16> = since(12);

    fn holds<T: Number>(a: T, b: T) -> bool {
        a <= b
    }
}
