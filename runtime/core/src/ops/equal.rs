//! Whether a = b, with broadcasting. ONNX `Equal` 1, 7, 11, 13, 19; strings are not supported.

use super::common::compare::{Comparison, EQUALITY};
use super::common::dtypes::Class;
use super::common::number::Number;
use super::common::since;
use core::ops::RangeInclusive;

/// ONNX `Equal`.
pub struct Equal;

impl Comparison for Equal {
    const NAME: &'static str = "Equal";
    const OPSETS: RangeInclusive<u16> = since(1);
    const DTYPES: Class = EQUALITY;

    fn holds<T: Number>(a: T, b: T) -> bool {
        a == b
    }
}
