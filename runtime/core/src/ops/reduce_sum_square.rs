//! The sum of squares over axes. ONNX `ReduceSumSquare` 1, 11, 13, 18.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceSumSquare`.
pub struct ReduceSumSquare;

impl Reduction for ReduceSumSquare {
    const NAME: &'static str = "ReduceSumSquare";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, |sum, x| sum.plus(x.times(x)));
    }
}
