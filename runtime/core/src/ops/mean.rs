//! The mean of any number of inputs, summed first to last, with broadcasting. ONNX `Mean` 1, 6, 8, 13.

use super::common::dtypes::{Class, FLOATS};
use super::common::number::Number;
use super::common::variadic::Fold;

/// ONNX `Mean`.
pub struct Mean;

impl Fold for Mean {
    const NAME: &'static str = "Mean";
    const DTYPES: Class = FLOATS;

    fn step<T: Number>(so_far: T, next: T) -> T {
        so_far.plus(next)
    }

    fn finish<T: Number>(folded: T, count: usize) -> T {
        folded.over(T::from_f64(count as f64))
    }
}
