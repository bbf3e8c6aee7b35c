//! `alpha`·A·B + `beta`·C for matrices, each of A and B transposed or not, C broadcast. ONNX `Gemm` 1, 6, 7, 9
//! (integers), 11 (C optional), 13.
//!
//! The product is summed first (order: [`super::common::matrix`]), then scaled, then added to.

use super::common::broadcast::zip;
use super::common::dtypes::{NUMBERS, input_of, same_dtype, with_dtype};
use super::common::matrix::{gemm_shape, multiply, transposed};
use super::common::number::Number;
use super::common::since;
use super::common::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, TensorType, broadcast};
use crate::tensor::Tensor;
use alloc::borrow::Cow;
use core::ops::RangeInclusive;

/// ONNX `Gemm`.
pub struct Gemm;

/// Whether A and B are transposed.
///
/// # Errors
/// [`OpError::Attribute`] for attributes of another kind.
pub fn transposes(attrs: Attrs<'_>) -> Result<(bool, bool), OpError> {
    Ok((attrs.int_or("transA", 0)? != 0, attrs.int_or("transB", 0)? != 0))
}

impl Operator for Gemm {
    fn name(&self) -> &'static str {
        "Gemm"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        infer_gemm(cx)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => eval_gemm::<N>(cx, |_| {}))
        })
    }
}

/// The shape rule of `Gemm` and what is fused from it.
///
/// # Errors
/// As [`gemm_shape`]; [`OpError::Shape`] where C does not broadcast.
pub fn infer_gemm(cx: &mut InferCx<'_>) -> Result<(), OpError> {
    let (a, b) = (input_of(cx, 0, NUMBERS)?, cx.input(1)?);
    same_dtype(cx, 1, a.dtype)?;
    same_dtype(cx, 2, a.dtype)?;
    let (m, n) = gemm_shape(&a.shape, &b.shape, transposes(cx.attrs())?)?;
    let shape = alloc::vec![m.clone(), n.clone()];
    addend_fits(&shape, cx.optional(2))?;
    cx.set_output(0, a.dtype, shape);
    Ok(())
}

/// Holds that an addend broadcasts to a product of this shape.
///
/// # Errors
/// [`OpError::Shape`].
pub fn addend_fits(shape: &[Dim], addend: Option<&TensorType>) -> Result<(), OpError> {
    let Some(c) = addend else { return Ok(()) };
    let both = broadcast(shape, &c.shape)?;
    let same = |(x, y): (&Dim, &Dim)| x.fixed() == y.fixed() || y.fixed().is_none();
    if both.len() == shape.len() && both.iter().zip(shape).all(same) {
        return Ok(());
    }
    Err(OpError::shape(alloc::format!(
        "the addend {c} does not broadcast to the product"
    )))
}

/// Computes inputs 0, 1 and 2 into the first output, and hands that to `finish`.
///
/// # Errors
/// As [`Number`]'s views.
pub fn eval_gemm<N: Number>(cx: &mut EvalCx<'_, '_>, finish: impl FnOnce(&mut [N])) -> Result<(), OpError> {
    let (a, b) = (cx.input(0)?, cx.input(1)?);
    let (transpose_a, transpose_b) = transposes(cx.attrs)?;
    let ([a0, a1], [b0, b1]) = (a.shape(), b.shape()) else {
        return Err(OpError::shape("Gemm takes matrices"));
    };
    let straight = |values, transpose, rows, cols| match transpose {
        true => Cow::Owned(transposed::<N>(values, rows, cols)),
        false => Cow::Borrowed(values),
    };
    let left = straight(a.as_slice::<N>()?, transpose_a, *a0, *a1);
    let right = straight(b.as_slice::<N>()?, transpose_b, *b0, *b1);
    let (m, k) = if transpose_a { (*a1, *a0) } else { (*a0, *a1) };
    let n = if transpose_b { *b0 } else { *b1 };
    let (alpha, beta) = (cx.attrs.float_or("alpha", 1.0)?, cx.attrs.float_or("beta", 1.0)?);
    let mut out = cx.output()?;
    let product = out.as_mut_slice::<N>()?;
    multiply(&left, &right, product, (m, k, n));
    if alpha != 1.0 {
        product.iter_mut().for_each(|o| *o = scaled(*o, alpha));
    }
    if let Some(c) = cx.optional(2).filter(|_| beta != 0.0) {
        let product = Tensor::from_slice(&[m, n], product)?;
        let add = |x: N, c: N| x.plus(if beta == 1.0 { c } else { scaled(c, beta) });
        zip((product.view(), product.shape()), (c, c.shape()), &mut out, add)?;
    }
    finish(out.as_mut_slice()?);
    Ok(())
}

/// Integers are scaled in binary64 and truncated.
fn scaled<N: Number>(x: N, factor: f32) -> N {
    N::from_f64(x.to_f64() * f64::from(factor))
}
