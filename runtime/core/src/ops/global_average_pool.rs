//! The mean of each channel, summed in row-major order. ONNX `GlobalAveragePool` 1, 22.

use super::common::number::Float;
use super::common::pool::Whole;

/// ONNX `GlobalAveragePool`.
pub struct GlobalAveragePool;

impl Whole for GlobalAveragePool {
    const NAME: &'static str = "GlobalAveragePool";

    fn of<F: Float>(x: &[F]) -> F {
        x.iter().fold(F::ZERO, |sum, &x| sum + x) / F::lit(x.len() as f64)
    }
}
