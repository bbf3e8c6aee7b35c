//! Operators of any number of inputs, folded from the first to the last, with broadcasting.

use super::broadcast::Rows;
use super::dtypes::{Class, NUMBERS, input_of, same_dtype, with_dtype};
use super::number::Number;
use super::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::broadcast;
use core::ops::RangeInclusive;

/// A fold. Wrapped in [`Variadic`] it is an [`Operator`].
pub trait Fold: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// [`Operator::exact`].
    const EXACT: bool = false;
    /// Dtypes taken.
    const DTYPES: Class = NUMBERS;
    /// One step.
    fn step<T: Number>(so_far: T, next: T) -> T;
    /// After the last of `count` inputs.
    fn finish<T: Number>(folded: T, _count: usize) -> T {
        folded
    }
}

/// A [`Fold`] as an operator.
pub struct Variadic<T>(pub T);

impl<T: Fold> Operator for Variadic<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn exact(&self) -> bool {
        T::EXACT
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let first = input_of(cx, 0, T::DTYPES)?;
        let mut shape = first.shape.clone();
        for index in 1..cx.input_count() {
            same_dtype(cx, index, first.dtype)?;
            shape = broadcast(&shape, &cx.input(index)?.shape)?;
        }
        cx.set_output(0, first.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => fold::<T, N>(cx))
        })
    }
}

fn fold<T: Fold, N: Number>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let mut out = cx.output()?;
    let shape = out.shape();
    let out = out.as_mut_slice::<N>()?;
    if out.is_empty() {
        return Ok(());
    }
    for index in 0..cx.inputs.len() {
        let input = cx.input(index)?;
        let rows = Rows::new(shape, [input.shape()])?;
        let (data, len) = (input.as_slice::<N>()?, rows.len);
        rows.for_each(|row, [base]| {
            for (i, o) in out[row * len..][..len].iter_mut().enumerate() {
                let x = data[base + i * rows.step[0]];
                *o = if index == 0 { x } else { T::step(*o, x) };
            }
        });
    }
    let count = cx.inputs.len();
    out.iter_mut().for_each(|o| *o = T::finish(*o, count));
    Ok(())
}
