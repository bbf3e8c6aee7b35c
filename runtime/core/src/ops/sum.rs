//! The sum of any number of inputs, first to last, with broadcasting. ONNX `Sum` 1, 6, 8, 13.

use super::common::dtypes::{Class, FLOATS};
use super::common::number::Number;
use super::common::variadic::Fold;

/// ONNX `Sum`.
pub struct Sum;

impl Fold for Sum {
    const NAME: &'static str = "Sum";
    const DTYPES: Class = FLOATS;

    fn step<T: Number>(so_far: T, next: T) -> T {
        so_far.plus(next)
    }
}
