//! The sum of absolute values over axes. ONNX `ReduceL1` 1, 11, 13, 18.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceL1`.
pub struct ReduceL1;

impl Reduction for ReduceL1 {
    const NAME: &'static str = "ReduceL1";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, |sum, x| sum.plus(x.magnitude()));
    }
}
