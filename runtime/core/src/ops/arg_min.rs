//! Index of the least element along an axis. ONNX `ArgMin` 1, 11, 12 (`select_last_index`), 13.

use super::common::arg::Search;
use super::common::number::Number;

/// ONNX `ArgMin`.
pub struct ArgMin;

impl Search for ArgMin {
    const NAME: &'static str = "ArgMin";

    fn better<T: Number>(candidate: T, best: T) -> bool {
        candidate < best
    }
}
