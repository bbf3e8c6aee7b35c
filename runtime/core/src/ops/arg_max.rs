//! Index of the greatest element along an axis. ONNX `ArgMax` 1, 11, 12 (`select_last_index`), 13.

use super::common::arg::Search;
use super::common::number::Number;

/// ONNX `ArgMax`.
pub struct ArgMax;

impl Search for ArgMax {
    const NAME: &'static str = "ArgMax";

    fn better<T: Number>(candidate: T, best: T) -> bool {
        candidate > best
    }
}
