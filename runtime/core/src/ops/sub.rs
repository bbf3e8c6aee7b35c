//! a − b, with broadcasting; integers wrap. ONNX `Sub` 1, 6, 7, 13, 14.

use super::common::binary::Arithmetic;
use super::common::dims;
use super::common::number::Number;
use crate::shape::Dim;

/// ONNX `Sub`.
pub struct Sub;

impl Arithmetic for Sub {
    const NAME: &'static str = "Sub";

    fn of<T: Number>(a: T, b: T) -> T {
        a.minus(b)
    }

    fn of_dims(a: &Dim, b: &Dim) -> Dim {
        dims::sub(a, b)
    }
}
