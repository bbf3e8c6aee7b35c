//! Reductions over axes.
//!
//! Elements join their sum (product, maximum …) in row-major order of the input, one accumulator each, in the
//! input's dtype. Axes come by attribute or by input 1 (ReduceSum from opset 13, the others from 18).

use super::axes::{Given, evaluated, given, normalise};
use super::broadcast::Rows;
use super::dtypes::{Class, NUMBERS, input_of, with_dtype};
use super::number::Number;
use super::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// A reduction. Wrapped in [`Reduce`] it is an [`Operator`].
pub trait Reduction: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Dtypes taken.
    const DTYPES: Class = NUMBERS;

    /// Reduces `x` into `out`.
    fn reduce<T: Number>(walk: &Walk, x: &[T], out: &mut [T]);
}

/// A [`Reduction`] as an operator.
pub struct Reduce<T>(pub T);

/// Which elements meet in which output.
pub struct Walk {
    rows: Rows<1>,
    is_empty: bool,
    /// Elements that meet in each output.
    pub count: usize,
}

impl Walk {
    /// For these axes of an input of this shape.
    ///
    /// # Errors
    /// None for axes inside of the rank.
    pub fn new(shape: &[usize], axes: &[usize]) -> Result<Self, OpError> {
        let mut kept = shape.to_vec();
        axes.iter().for_each(|&axis| kept[axis] = 1);
        Ok(Self {
            rows: Rows::new(shape, [&kept])?,
            is_empty: shape.contains(&0),
            count: axes.iter().map(|&axis| shape[axis]).product(),
        })
    }

    /// Starts each output at `first` and lets `step` take each element to it.
    pub fn fold<T: Number>(&self, x: &[T], out: &mut [T], first: T, step: impl Fn(T, T) -> T) {
        out.fill(first);
        if self.is_empty {
            return;
        }
        let len = self.rows.len;
        self.rows.for_each(|row, [base]| {
            let x = &x[row * len..][..len];
            if self.rows.step[0] == 0 {
                out[base] = x.iter().fold(out[base], |so_far, &x| step(so_far, x));
            } else {
                out[base..][..len]
                    .iter_mut()
                    .zip(x)
                    .for_each(|(o, &x)| *o = step(*o, x));
            }
        });
    }

    /// As [`Walk::fold`], where a step also sees what `other`, of the output's shape, holds for the output.
    pub fn fold_with<T: Number>(
        &self,
        x: &[T],
        other: &[T],
        out: &mut [T],
        first: T,
        step: impl Fn(T, T, T) -> T,
    ) {
        out.fill(first);
        if self.is_empty {
            return;
        }
        let len = self.rows.len;
        self.rows.for_each(|row, [base]| {
            for (i, &x) in x[row * len..][..len].iter().enumerate() {
                let o = base + i * self.rows.step[0];
                out[o] = step(out[o], x, other[o]);
            }
        });
    }
}

/// The axes that are reduced, where they are known.
fn axes_of(list: Option<Vec<i64>>, attrs: Attrs<'_>, rank: usize) -> Result<Vec<usize>, OpError> {
    match list {
        Some(list) if !list.is_empty() => normalise(&list, rank),
        _ if attrs.int_or("noop_with_empty_axes", 0)? != 0 => Ok(Vec::new()),
        _ => Ok((0..rank).collect()),
    }
}

/// The shape that reducing leaves: 1 for each axis, or nothing where `keep` is not set.
#[must_use]
pub fn reduced_shape(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    let reduced = |(i, dim): (usize, &Dim)| match axes.contains(&i) {
        true => keep.then_some(Dim::Fixed(1)),
        false => Some(dim.clone()),
    };
    shape.iter().enumerate().filter_map(reduced).collect()
}

impl<T: Reduction> Operator for Reduce<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, T::DTYPES)?;
        let keep = cx.attrs().int_or("keepdims", 1)? != 0;
        let list = match given(cx, 1, "axes")? {
            Given::Absent => None,
            Given::Known(list) => Some(list),
            Given::Later => {
                // Only how many axes there are is known, and of that only where it must be.
                let dropped = cx.input(1)?.concrete().map(|shape| shape.iter().product());
                let rank = if keep {
                    Some(ty.rank())
                } else {
                    dropped.and_then(|n: usize| ty.rank().checked_sub(n))
                };
                if let Some(rank) = rank {
                    cx.set_output(0, ty.dtype, alloc::vec![Dim::Unknown; rank]);
                }
                return Ok(());
            }
        };
        let axes = axes_of(list, cx.attrs(), ty.rank())?;
        cx.set_output(0, ty.dtype, reduced_shape(&ty.shape, &axes, keep));
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let input = cx.input(0)?;
            let axes = axes_of(evaluated(cx, 1, "axes")?, cx.attrs, input.shape().len())?;
            let walk = Walk::new(input.shape(), &axes)?;
            let mut out = cx.output()?;
            with_dtype!(plain, input.dtype(), N => {
                T::reduce::<N>(&walk, input.as_slice()?, out.as_mut_slice()?);
                Ok(())
            })?;
            if input.dtype() == DType::Bool {
                // The greatest u8, of no elements, is not a bool.
                out.bytes_mut().iter_mut().for_each(|byte| *byte = (*byte).min(1));
            }
            Ok(())
        })
    }
}
