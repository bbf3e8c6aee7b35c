//! Comparisons and logic: two inputs, a bool out.

use super::binary::{broadcast_shape, zip_inputs};
use super::dtypes::{BOOLS, Class, NUMBERS, PLAIN, input_of, same_dtype, with_dtype};
use super::number::Number;
use super::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// A comparison. Wrapped in [`Compare`] it is an [`Operator`].
pub trait Comparison: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Opsets.
    const OPSETS: RangeInclusive<u16>;
    /// Dtypes taken.
    const DTYPES: Class = NUMBERS;
    /// Whether it holds; bools come as 0 and 1.
    fn holds<T: Number>(a: T, b: T) -> bool;
}

/// A [`Comparison`] as an operator.
pub struct Compare<T>(pub T);

impl<T: Comparison> Operator for Compare<T> {
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
        cx.set_output(0, DType::Bool, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(plain, dtype, N => zip_inputs(cx, |a: N, b: N| u8::from(T::holds(a, b))))
        })
    }
}

/// What [`Comparison::DTYPES`] is for equality.
pub const EQUALITY: Class = PLAIN;

/// A function of two bools. Wrapped in [`Logic`] it is an [`Operator`].
pub trait Connective: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// The function.
    fn of(a: bool, b: bool) -> bool;
}

/// A [`Connective`] as an operator.
pub struct Logic<T>(pub T);

impl<T: Connective> Operator for Logic<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        input_of(cx, 0, BOOLS)?;
        input_of(cx, 1, BOOLS)?;
        let shape = broadcast_shape(cx)?;
        cx.set_output(0, DType::Bool, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        zip_inputs(cx, |a: u8, b: u8| u8::from(T::of(a != 0, b != 0)))
    }
}
