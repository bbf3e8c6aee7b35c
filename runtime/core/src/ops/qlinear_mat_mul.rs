//! NumPy's matrix product of eight-bit tensors. ONNX `QLinearMatMul` 10, 21. Arithmetic: docs/numerics.md.

use super::common::matrix::{Batch, output_shape};
use super::common::qlinear::{self, Operand, Quantisation, operand, result};
use super::common::requantise::{Multiplier, Requantise};
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

const A: Operand = operand(0);
const B: Operand = operand(3);
const Y: Operand = result(6);

/// ONNX `QLinearMatMul`.
pub struct QLinearMatMul;

impl Operator for QLinearMatMul {
    fn name(&self) -> &'static str {
        "QLinearMatMul"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (a, b, y) = (A.check(cx)?, B.check(cx)?, Y.check(cx)?);
        let shape = output_shape(&a.shape, &b.shape)?;
        cx.set_output(0, y.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (left, scale) = A.centred(cx)?;
        let b = cx.input(3)?;
        let batch = Batch::new(left.shape(), b.shape())?;
        let columns = B.quantisation(cx)?.fit(batch.n)?;
        let right = qlinear::centred(b, |i| columns.of(i % batch.n).1)?;
        let mut sums = alloc::vec![0i32; batch.pairs.len() * batch.m * batch.n];
        batch.multiply(left.view().as_slice()?, &right, &mut sums);
        finish(cx, &sums, scale, (&columns, batch.n), Y)
    }
}

/// Requantises rows of `n` sums, each column with the multiplier of its scale, into the first output.
///
/// # Errors
/// As [`Multiplier::new`].
pub(super) fn finish(
    cx: &mut EvalCx<'_, '_>,
    sums: &[i32],
    scale: f32,
    (columns, n): (&Quantisation, usize),
    y: Operand,
) -> Result<(), OpError> {
    let (scale_y, zero_y) = y.quantisation(cx)?.single()?;
    let multipliers = (0..n)
        .map(|column| Multiplier::of_product(scale, columns.of(column).0, scale_y))
        .collect::<Result<Vec<_>, _>>()?;
    let mut out = cx.output()?;
    let output = Requantise::to(out.as_view().dtype(), zero_y)?;
    let values = sums
        .iter()
        .enumerate()
        .map(|(i, &acc)| output.apply(acc, multipliers[i % n]));
    qlinear::store(&mut out, values);
    Ok(())
}
