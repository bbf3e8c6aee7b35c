//! Softmax and what is derived from it.
//!
//! Before opset 13 the input is flattened to a matrix at `axis` (default 1) and each of its rows is one
//! distribution; since then the distribution lies along the one axis named (default −1).

use super::dtypes::{FLOATS, input_of, with_dtype};
use super::number::Float;
use super::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::normalise_axis;
use core::ops::RangeInclusive;

/// What is done with each distribution. Wrapped in [`Along`] it is an [`Operator`].
pub trait Distribution: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Over `x`, in place.
    fn apply<F: Float>(x: &mut [F]);
}

/// A [`Distribution`] as an operator.
pub struct Along<T>(pub T);

/// Sizes of the axes before, of and behind a distribution.
///
/// # Errors
/// [`OpError::Attribute`] for an axis outside of the rank.
pub fn split(attrs: Attrs<'_>, opset: u16, shape: &[usize]) -> Result<[usize; 3], OpError> {
    let product = |dims: &[usize]| dims.iter().product::<usize>();
    if opset >= 13 {
        let axis = normalise_axis("axis", attrs.int_or("axis", -1)?, shape.len())?;
        let len = shape.get(axis).copied().unwrap_or(1);
        let behind = shape.get(axis + 1..).map_or(1, product);
        return Ok([product(&shape[..axis]), len, behind]);
    }
    // Here `axis` may be the rank: everything is rows of one element.
    let axis = attrs.int_or("axis", 1)?;
    let at = if axis == shape.len() as i64 {
        shape.len()
    } else {
        normalise_axis("axis", axis, shape.len())?
    };
    Ok([product(&shape[..at]), product(&shape[at..]), 1])
}

impl<T: Distribution> Operator for Along<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        // Any sizes will do to check the axis.
        split(cx.attrs(), cx.opset(), &alloc::vec![1; ty.rank()])?;
        cx.set_output(0, ty.dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => distribute::<T, F>(cx))
        })
    }
}

fn distribute<T: Distribution, F: Float>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let [before, len, behind] = split(cx.attrs, cx.opset, input.shape())?;
    let x = input.as_slice::<F>()?;
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    if x.is_empty() {
        return Ok(());
    }
    let mut row = alloc::vec![F::ZERO; len];
    for start in (0..before).flat_map(|b| (0..behind).map(move |i| b * len * behind + i)) {
        row.iter_mut()
            .zip(x[start..].iter().step_by(behind))
            .for_each(|(r, &x)| *r = x);
        T::apply(&mut row);
        out[start..]
            .iter_mut()
            .step_by(behind)
            .zip(&row)
            .for_each(|(o, &r)| *o = r);
    }
    Ok(())
}

/// The greatest element, by which all are shifted so that no power overflows.
pub fn greatest<F: Float>(x: &[F]) -> F {
    x.iter().fold(F::LEAST, |max, &x| max.greatest(x))
}
