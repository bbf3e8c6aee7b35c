//! The logarithm of the sum over axes. ONNX `ReduceLogSum` 1, 11, 13, 18.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceLogSum`.
pub struct ReduceLogSum;

impl Reduction for ReduceLogSum {
    const NAME: &'static str = "ReduceLogSum";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, T::plus);
        out.iter_mut().for_each(|o| *o = o.log());
    }
}
