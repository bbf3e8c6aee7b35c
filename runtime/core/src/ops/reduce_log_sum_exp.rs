//! The logarithm of the sum of exponentials over axes. ONNX `ReduceLogSumExp` 1, 11, 13, 18.
//!
//! Computed as m + ln Σ e^(x − m) with the maximum m, where that is finite, so that no power overflows.

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};
use alloc::vec::Vec;

/// ONNX `ReduceLogSumExp`.
pub struct ReduceLogSumExp;

impl Reduction for ReduceLogSumExp {
    const NAME: &'static str = "ReduceLogSumExp";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::LEAST, T::greatest);
        let shift: Vec<T> = out.iter().map(|&max| finite_or_zero(max)).collect();
        walk.fold_with(x, &shift, out, T::ZERO, |sum, x, shift| {
            sum.plus(x.minus(shift).exponential())
        });
        out.iter_mut()
            .zip(&shift)
            .for_each(|(o, &shift)| *o = o.log().plus(shift));
    }
}

fn finite_or_zero<T: Number>(x: T) -> T {
    if x.to_f64().is_finite() { x } else { T::ZERO }
}
