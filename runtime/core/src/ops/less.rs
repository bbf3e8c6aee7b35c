//! Whether a < b, with broadcasting. ONNX `Less` 1, 7, 9, 13.

use super::common::compare::Comparison;
use super::common::number::Number;
use super::common::since;
use core::ops::RangeInclusive;

/// ONNX `Less`.
pub struct Less;

impl Comparison for Less {
    const NAME: &'static str = "Less";
    const OPSETS: RangeInclusive<u16> = since(1);

    fn holds<T: Number>(a: T, b: T) -> bool {
        a < b
    }
}
