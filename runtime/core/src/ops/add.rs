//! a + b, with broadcasting; integers wrap. ONNX `Add` 1, 6, 7, 13, 14.

use super::common::binary::Arithmetic;
use super::common::dims;
use super::common::number::Number;
use crate::shape::Dim;

/// ONNX `Add`.
pub struct Add;

impl Arithmetic for Add {
    const NAME: &'static str = "Add";

    fn of<T: Number>(a: T, b: T) -> T {
        a.plus(b)
    }

    fn of_dims(a: &Dim, b: &Dim) -> Dim {
        dims::add(a, b)
    }
}
