//! The greatest of any number of inputs, with broadcasting; NaN where any is. ONNX `Max` 1, 6, 8, 12, 13.

use super::common::number::Number;
use super::common::variadic::Fold;

/// ONNX `Max`.
pub struct Max;

impl Fold for Max {
    const NAME: &'static str = "Max";
    const EXACT: bool = true;

    fn step<T: Number>(so_far: T, next: T) -> T {
        so_far.greatest(next)
    }
}
