//! The least over axes; the greatest value of the dtype of none. ONNX `ReduceMin` 1, 11, 12, 13, 18, 20 (bools).

use super::common::dtypes::{Class, PLAIN};
use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceMin`.
pub struct ReduceMin;

impl Reduction for ReduceMin {
    const NAME: &'static str = "ReduceMin";
    const DTYPES: Class = PLAIN;

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::GREATEST, T::least);
    }
}
