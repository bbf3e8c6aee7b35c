//! e^(x − m) ÷ Σ e^(x − m) with the greatest element m, along an axis. ONNX `Softmax` 1, 11 (flattened at
//! `axis`), 13.

use super::common::number::Float;
use super::common::softmax::{Distribution, greatest};

/// ONNX `Softmax`.
pub struct Softmax;

impl Distribution for Softmax {
    const NAME: &'static str = "Softmax";

    fn apply<F: Float>(x: &mut [F]) {
        let max = greatest(x);
        let mut sum = F::ZERO;
        for x in x.iter_mut() {
            *x = (*x - max).exp();
            sum += *x;
        }
        x.iter_mut().for_each(|x| *x /= sum);
    }
}
