//! Where along an axis the greatest or the least element is.

use super::dtypes::{NUMBERS, input_of, with_dtype};
use super::number::Number;
use super::reduce::reduced_shape;
use super::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::normalise_axis;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// A search. Wrapped in [`Arg`] it is an [`Operator`].
pub trait Search: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Whether `candidate` is better than `best`.
    fn better<T: Number>(candidate: T, best: T) -> bool;
}

/// A [`Search`] as an operator. Of equal elements the first is taken, or the last where `select_last_index` is set.
pub struct Arg<T>(pub T);

impl<T: Search> Operator for Arg<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, NUMBERS)?;
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 0)?, ty.rank())?;
        let keep = cx.attrs().int_or("keepdims", 1)? != 0;
        cx.set_output(0, DType::I64, reduced_shape(&ty.shape, &[axis], keep));
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => search::<T, N>(cx))
        })
    }
}

fn search<T: Search, N: Number>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let axis = normalise_axis("axis", cx.attrs.int_or("axis", 0)?, input.shape().len())?;
    let last = cx.attrs.int_or("select_last_index", 0)? != 0;
    let (len, behind) = along(input.shape(), axis);
    if len == 0 {
        return Err(OpError::shape("there is no greatest or least of no elements"));
    }
    let x = input.as_slice::<N>()?;
    let mut out = cx.output()?;
    for (i, place) in out.as_mut_slice::<i64>()?.iter_mut().enumerate() {
        let start = i / behind * len * behind + i % behind;
        let at = |k: usize| x[start + k * behind];
        let best = (1..len).fold(0, |best, k| {
            let better = T::better(at(k), at(best)) || (last && at(k) == at(best));
            if better { k } else { best }
        });
        *place = best as i64;
    }
    Ok(())
}

/// Elements along an axis, and the distance of two neighbours.
#[must_use]
pub fn along(shape: &[usize], axis: usize) -> (usize, usize) {
    let len = shape.get(axis).copied().unwrap_or(1);
    (len, shape.get(axis + 1..).map_or(1, |rest| rest.iter().product()))
}
