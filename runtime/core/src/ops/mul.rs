//! a · b, with broadcasting; integers wrap. ONNX `Mul` 1, 6, 7, 13, 14.

use super::common::binary::Arithmetic;
use super::common::dims;
use super::common::number::Number;
use crate::shape::Dim;

/// ONNX `Mul`.
pub struct Mul;

impl Arithmetic for Mul {
    const NAME: &'static str = "Mul";

    fn of<T: Number>(a: T, b: T) -> T {
        a.times(b)
    }

    fn of_dims(a: &Dim, b: &Dim) -> Dim {
        dims::mul(a, b)
    }
}
