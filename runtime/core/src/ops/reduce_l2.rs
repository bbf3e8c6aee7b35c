//! The root of the sum of squares over axes. ONNX `ReduceL2` 1, 11, 13, 18.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceL2`.
pub struct ReduceL2;

impl Reduction for ReduceL2 {
    const NAME: &'static str = "ReduceL2";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, |sum, x| sum.plus(x.times(x)));
        out.iter_mut().for_each(|o| *o = o.root());
    }
}
