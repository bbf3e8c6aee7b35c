//! Normalisation over groups of elements: mean and variance, both summed in row-major order.

use super::number::Float;

/// Mean and (biased) variance of a group.
pub fn moments<F: Float>(x: &[F]) -> (F, F) {
    let count = F::lit(x.len() as f64);
    let mean = x.iter().fold(F::ZERO, |sum, &x| sum + x) / count;
    let squares = x.iter().fold(F::ZERO, |sum, &x| sum + (x - mean) * (x - mean));
    (mean, squares / count)
}

/// One over the standard deviation.
pub fn inverse_deviation<F: Float>(variance: F, epsilon: f32) -> F {
    F::ONE / (variance + F::of(epsilon)).sqrt()
}
