//! The mean over axes: the sum divided by the count. ONNX `ReduceMean` 1, 11, 13, 18 (axes as input).

use super::common::number::Number;
use super::common::reduce::{Reduction, Walk};

/// ONNX `ReduceMean`.
pub struct ReduceMean;

impl Reduction for ReduceMean {
    const NAME: &'static str = "ReduceMean";

    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]) {
        walk.fold(x, out, T::ZERO, T::plus);
        let count = T::from_f64(walk.count as f64);
        out.iter_mut().for_each(|o| *o = o.over(count));
    }
}
