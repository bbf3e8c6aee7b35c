//! The product over axes; 1 of none. ONNX `ReduceProd` 1, 11, 13, 18.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceProd`.
pub struct ReduceProd;

impl Reduction for ReduceProd {
    const NAME: &'static str = "ReduceProd";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ONE, T::times);
    }
}
