//! The greatest of each channel. ONNX `GlobalMaxPool` 1, 22.

use super::common::number::Float;
use super::common::pool::Whole;

/// ONNX `GlobalMaxPool`.
pub struct GlobalMaxPool;

impl Whole for GlobalMaxPool {
    const NAME: &'static str = "GlobalMaxPool";

    fn of<F: Float>(x: &[F]) -> F {
        x.iter().fold(F::LEAST, |max, &x| max.greatest(x))
    }
}
