//! Operators of two elements at a time, with broadcasting.
//!
//! Before opset 7 broadcasting had to be asked for (`broadcast = 1`) and aligned the second input at `axis`;
//! since then it is NumPy's.

use super::broadcast::zip;
use super::dtypes::{Class, NUMBERS, input_of, same_dtype, with_dtype};
use super::number::Number;
use super::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, broadcast, normalise_axis};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// A function of two numbers of one dtype. Wrapped in [`Binary`] it is an [`Operator`].
pub trait Arithmetic: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Opsets.
    const OPSETS: RangeInclusive<u16> = super::since(1);
    /// Dtypes taken.
    const DTYPES: Class = NUMBERS;
    /// The function.
    fn of<T: Number>(a: T, b: T) -> T;
    /// The function of two elements of shape-holding tensors.
    fn of_dims(a: &Dim, b: &Dim) -> Dim;
}

/// An [`Arithmetic`] function as an operator.
pub struct Binary<T>(pub T);

impl<T: Arithmetic> Operator for Binary<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        T::OPSETS
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let a = input_of(cx, 0, T::DTYPES)?;
        same_dtype(cx, 1, a.dtype)?;
        let shape = broadcast_shape(cx)?;
        let dims = cx.dims(0).zip(cx.dims(1)).filter(|_| shape.len() <= 1);
        if let Some(dims) = dims.and_then(|(a, b)| pair_dims::<T>(&a, &b)) {
            cx.set_output_dims(0, dims);
        }
        cx.set_output(0, a.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => zip_inputs(cx, |a: N, b: N| T::of(a, b)))
        })
    }
}

fn pair_dims<T: Arithmetic>(a: &[Dim], b: &[Dim]) -> Option<Vec<Dim>> {
    let len = if a.len() == 1 { b.len() } else { a.len() };
    let fits = |dims: &[Dim]| dims.len() == len || dims.len() == 1;
    (fits(a) && fits(b)).then(|| {
        (0..len)
            .map(|i| T::of_dims(&a[i.min(a.len() - 1)], &b[i.min(b.len() - 1)]))
            .collect()
    })
}

/// Shape of the result of two inputs.
///
/// # Errors
/// [`OpError::Shape`] where they do not broadcast.
pub fn broadcast_shape(cx: &InferCx<'_>) -> Result<Vec<Dim>, OpError> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let aligned = align(cx.attrs(), cx.opset(), a.rank(), &b.shape, &Dim::Fixed(1))?;
    broadcast(&a.shape, &aligned)
}

/// The second input's shape as NumPy's broadcasting needs it: before opset 7, ones are put behind it.
fn align<D: Clone>(attrs: Attrs<'_>, opset: u16, rank: usize, b: &[D], one: &D) -> Result<Vec<D>, OpError> {
    let mut aligned = b.to_vec();
    let is_old = opset < 7 && attrs.int_or("broadcast", 0)? != 0;
    if let (true, Some(axis)) = (is_old, attrs.int("axis")?) {
        let axis = normalise_axis("axis", axis, rank)?;
        let behind = rank.saturating_sub(axis + b.len());
        aligned.extend(core::iter::repeat_n(one.clone(), behind));
    }
    Ok(aligned)
}

/// Writes `f` of the first two inputs, broadcast, to the first output.
///
/// # Errors
/// As [`zip`].
pub fn zip_inputs<A: crate::Element, B: crate::Element, R: crate::Element>(
    cx: &mut EvalCx<'_, '_>,
    f: impl Fn(A, B) -> R,
) -> Result<(), OpError> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let aligned = align(cx.attrs, cx.opset, a.shape().len(), b.shape(), &1)?;
    zip((a, a.shape()), (b, &aligned), &mut cx.output()?, f)
}
