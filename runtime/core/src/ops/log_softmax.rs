//! x − m − ln Σ e^(x − m) with the greatest element m, along an axis. ONNX `LogSoftmax` 1, 11 (flattened at
//! `axis`), 13.

use super::common::number::Float;
use super::common::softmax::{Distribution, greatest};

/// ONNX `LogSoftmax`.
pub struct LogSoftmax;

impl Distribution for LogSoftmax {
    const NAME: &'static str = "LogSoftmax";

    fn apply<F: Float>(x: &mut [F]) {
        let max = greatest(x);
        let sum = x.iter().fold(F::ZERO, |sum, &x| sum + (x - max).exp());
        let log = sum.ln();
        x.iter_mut().for_each(|x| *x = *x - max - log);
    }
}
