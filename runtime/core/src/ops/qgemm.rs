//! A·B + C for eight-bit matrices, each of A and B transposed or not, C in int32. onnxruntime `com.microsoft` `QGemm`
//! 1, with a quantised result and `alpha` 1. Arithmetic: docs/numerics.md.

use super::common::MICROSOFT;
use super::common::broadcast::zip;
use super::common::matrix::{gemm_shape, multiply, transposed};
use super::common::qlinear::{self, Operand, operand, result};
use super::gemm::{addend_fits, transposes};
use super::qlinear_mat_mul::finish;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::tensor::Tensor;
use alloc::borrow::Cow;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

const A: Operand = operand(0);
const B: Operand = operand(3);
const C: usize = 6;
const Y: Operand = result(7);

/// onnxruntime's `QGemm`.
pub struct QGemm;

impl Operator for QGemm {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "QGemm"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let alpha = cx.attrs().float_or("alpha", 1.0)?;
        if alpha != 1.0 {
            return Err(OpError::unsupported(alloc::format!("QGemm with alpha {alpha}")));
        }
        if cx.optional(Y.scale).is_none() {
            return Err(OpError::unsupported("QGemm with a float result"));
        }
        let (a, b, y) = (A.check(cx)?, B.check(cx)?, Y.check(cx)?);
        if let Some(c) = cx.optional(C).filter(|c| c.dtype != DType::I32) {
            return Err(OpError::InputType {
                index: C,
                expected: "int32",
                found: c.dtype,
            });
        }
        let (m, n) = gemm_shape(&a.shape, &b.shape, transposes(cx.attrs())?)?;
        let shape = alloc::vec![m.clone(), n.clone()];
        addend_fits(&shape, cx.optional(C))?;
        cx.set_output(0, y.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (left, scale) = A.centred(cx)?;
        let b = cx.input(3)?;
        let (transpose_a, transpose_b) = transposes(cx.attrs)?;
        let (&[a0, a1], &[b0, b1]) = (left.shape(), b.shape()) else {
            return Err(OpError::shape("QGemm takes matrices"));
        };
        let (m, k) = if transpose_a { (a1, a0) } else { (a0, a1) };
        let n = if transpose_b { b0 } else { b1 };
        let columns = B.quantisation(cx)?.fit(n)?;
        let column = |i: usize| if transpose_b { i / k.max(1) } else { i % n };
        let right = qlinear::centred(b, |i| columns.of(column(i)).1)?;
        let straight = |values: &[i32], turned, rows, cols| match turned {
            true => transposed(values, rows, cols),
            false => values.to_vec(),
        };
        let left = straight(left.view().as_slice()?, transpose_a, a0, a1);
        let right = straight(&right, transpose_b, b0, b1);
        let mut sums = alloc::vec![0i32; m * n];
        multiply(&left, &right, &mut sums, (m, k, n));
        let sums = match cx.optional(C) {
            Some(c) => {
                let products = Tensor::from_slice(&[m, n], &sums)?;
                let mut with_bias = Tensor::zeros(DType::I32, &[m, n])?;
                let add = |x: i32, c: i32| x.wrapping_add(c);
                zip(
                    (products.view(), products.shape()),
                    (c, c.shape()),
                    &mut with_bias.view_mut(),
                    add,
                )?;
                Cow::Owned(with_bias.view().as_slice::<i32>()?.to_vec())
            }
            None => Cow::Borrowed(&sums[..]),
        };
        finish(cx, &sums, scale, (&columns, n), Y)
    }
}
