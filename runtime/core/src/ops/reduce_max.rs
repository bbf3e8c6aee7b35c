//! The greatest over axes; the least value of the dtype of none. ONNX `ReduceMax` 1, 11, 12, 13, 18, 20 (bools).

use super::common::dtypes::{Class, PLAIN};
use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceMax`.
pub struct ReduceMax;

impl Reduction for ReduceMax {
    const NAME: &'static str = "ReduceMax";
    const DTYPES: Class = PLAIN;

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::LEAST, T::greatest);
    }
}
