//! Whether a > b, with broadcasting. ONNX `Greater` 1, 7, 9, 13.

use super::common::compare::Comparison;
use super::common::number::Number;
use super::common::since;
use core::ops::RangeInclusive;

/// ONNX `Greater`.
pub struct Greater;

impl Comparison for Greater {
    const NAME: &'static str = "Greater";
    const OPSETS: RangeInclusive<u16> = since(1);

    fn holds<T: Number>(a: T, b: T) -> bool {
        a > b
    }
}
