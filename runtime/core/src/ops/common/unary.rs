//! Operators of one element at a time.

use super::dtypes::{Class, FLOATS, input_of};
use super::number::{Float, Int};
use super::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::tensor::Element;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// A function of one element. Wrapped in [`Unary`] it is an [`Operator`].
pub trait Pointwise: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Operator domain.
    const DOMAIN: &'static str = "";
    /// Opsets.
    const OPSETS: RangeInclusive<u16>;
    /// [`Operator::exact`].
    const EXACT: bool = false;
    /// Dtypes taken; those beyond floats go through [`Pointwise::int`].
    const DTYPES: Class = FLOATS;
    /// What the attributes say.
    type Params: Copy;

    /// Reads the attributes.
    ///
    /// # Errors
    /// [`OpError::Attribute`].
    fn params(attrs: Attrs<'_>, opset: u16) -> Result<Self::Params, OpError>;

    /// The function; binary16 and bfloat16 are computed in binary32.
    fn float<F: Float>(x: F, params: Self::Params) -> F;

    /// The function of integers, where [`Pointwise::DTYPES`] has them.
    fn int<I: Int>(x: I, _params: Self::Params) -> I {
        x
    }
}

/// A [`Pointwise`] function as an operator.
pub struct Unary<T>(pub T);

impl<T: Pointwise> Operator for Unary<T> {
    fn domain(&self) -> &'static str {
        T::DOMAIN
    }

    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        T::OPSETS
    }

    fn exact(&self) -> bool {
        T::EXACT
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        T::params(cx.attrs(), cx.opset())?;
        let ty = input_of(cx, 0, T::DTYPES)?;
        cx.set_output(0, ty.dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let params = T::params(cx.attrs, cx.opset)?;
        through_f32(cx, |cx| match cx.input(0)?.dtype() {
            DType::F32 => map(cx, |x: f32| T::float(x, params)),
            DType::F64 => map(cx, |x: f64| T::float(x, params)),
            dtype => super::dtypes::with_dtype!(ints, dtype, I => map(cx, |x: I| T::int(x, params))),
        })
    }
}

/// Writes `f` of each element of the first input to the first output.
///
/// # Errors
/// As [`crate::TensorView::as_slice`].
pub fn map<A: Element, R: Element>(cx: &mut EvalCx<'_, '_>, f: impl Fn(A) -> R) -> Result<(), OpError> {
    let input = cx.input(0)?.as_slice::<A>()?;
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<R>()?;
    out.iter_mut().zip(input).for_each(|(o, &x)| *o = f(x));
    Ok(())
}

/// The first output is of the first input's type.
///
/// # Errors
/// As [`input_of`].
pub fn same_type(cx: &mut InferCx<'_>, class: Class) -> Result<(), OpError> {
    let ty = input_of(cx, 0, class)?;
    cx.set_output(0, ty.dtype, ty.shape.clone());
    Ok(())
}
