//! a ÷ b, with broadcasting; integers truncate towards zero, by zero gives zero. ONNX `Div` 1, 6, 7, 13, 14.

use super::common::binary::Arithmetic;
use super::common::dims;
use super::common::number::Number;
use crate::shape::Dim;

/// ONNX `Div`.
pub struct Div;

impl Arithmetic for Div {
    const NAME: &'static str = "Div";

    fn of<T: Number>(a: T, b: T) -> T {
        a.over(b)
    }

    fn of_dims(a: &Dim, b: &Dim) -> Dim {
        dims::div(a, b)
    }
}
