//! The sum over axes; 0 of none. ONNX `ReduceSum` 1, 11, 13 (axes as input).

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceSum`.
pub struct ReduceSum;

impl Reduction for ReduceSum {
    const NAME: &'static str = "ReduceSum";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, T::plus);
    }
}
