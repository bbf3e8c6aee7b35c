//! Elementwise operators on two eight-bit tensors, with broadcasting: a sum and a multiplier are their own, the rest is here.

use super::MICROSOFT;
use super::broadcast::zip;
use super::qlinear::{self, Operand, operand, result};
use super::requantise::{Multiplier, Requantise};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::broadcast;
use crate::tensor::Tensor;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

const A: Operand = operand(0);
const B: Operand = operand(3);
const Y: Operand = result(6);

/// What is an operator's own.
pub trait QLinearArithmetic: Sync {
    /// Its name.
    const NAME: &'static str;
    /// The integers that scales give.
    type Factors;

    /// From the scales of a, b and y.
    ///
    /// # Errors
    /// As [`Multiplier::new`].
    fn factors(a: f32, b: f32, y: f32) -> Result<(Self::Factors, Multiplier), OpError>;

    /// The accumulator of two centred values.
    fn accumulate(factors: &Self::Factors, a: i32, b: i32) -> i32;
}

/// An operator of this kind.
pub struct QLinearBinary<T>(pub T);

impl<Q: QLinearArithmetic> Operator for QLinearBinary<Q> {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        Q::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (a, b) = (A.check(cx)?, B.check(cx)?);
        // Left out, it is 0 of a's type.
        let dtype = match cx.optional(Y.scale + 1) {
            Some(_) => Y.check(cx)?.dtype,
            None => {
                Y.check_scale(cx)?;
                a.dtype
            }
        };
        let shape = broadcast(&a.shape, &b.shape)?;
        cx.set_output(0, dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let ((a, scale_a), (b, scale_b)) = (A.centred(cx)?, B.centred(cx)?);
        let (scale_y, zero_y) = Y.quantisation(cx)?.single()?;
        let (factors, multiplier) = Q::factors(scale_a, scale_b, scale_y)?;
        let mut out = cx.output()?;
        let output = Requantise::to(out.as_view().dtype(), zero_y)?;
        let mut sums = Tensor::zeros(DType::I32, out.as_view().shape())?;
        let accumulate = |a: i32, b: i32| Q::accumulate(&factors, a, b);
        zip(
            (a.view(), a.shape()),
            (b.view(), b.shape()),
            &mut sums.view_mut(),
            accumulate,
        )?;
        let sums = sums.view();
        let values = sums.as_slice::<i32>()?.iter();
        qlinear::store(&mut out, values.map(|&acc| output.apply(acc, multiplier)));
        Ok(())
    }
}
