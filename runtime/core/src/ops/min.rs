//! The least of any number of inputs, with broadcasting; NaN where any is. ONNX `Min` 1, 6, 8, 12, 13.

use super::common::number::Number;
use super::common::variadic::Fold;

/// ONNX `Min`.
pub struct Min;

impl Fold for Min {
    const NAME: &'static str = "Min";
    const EXACT: bool = true;

    fn step<T: Number>(so_far: T, next: T) -> T {
        so_far.least(next)
    }
}
