//! `alpha` times a matrix product whose sides may be transposed. onnxruntime `com.microsoft` `FusedMatMul` 1.
//!
//! `transA` and `transB` exchange the last two axes. Moving the batch axis (`transBatchA`, `transBatchB`) is not
//! supported.

use super::common::MICROSOFT;
use super::common::dtypes::{FLOATS, input_of, same_dtype, with_dtype};
use super::common::matrix::{Batch, output_shape, transposed};
use super::common::number::Float;
use super::common::widen::through_f32;
use super::gemm::transposes;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::tensor::TensorView;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// onnxruntime's `FusedMatMul`.
pub struct FusedMatMul;

impl Operator for FusedMatMul {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "FusedMatMul"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (a, b) = (input_of(cx, 0, FLOATS)?, cx.input(1)?);
        same_dtype(cx, 1, a.dtype)?;
        let (transpose_a, transpose_b) = matrix_transposes(cx.attrs())?;
        let shape = output_shape(
            &exchanged(&a.shape, transpose_a),
            &exchanged(&b.shape, transpose_b),
        )?;
        cx.set_output(0, a.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (a, b) = (cx.input(0)?, cx.input(1)?);
            let (transpose_a, transpose_b) = matrix_transposes(cx.attrs)?;
            let batch = Batch::new(
                &exchanged(a.shape(), transpose_a),
                &exchanged(b.shape(), transpose_b),
            )?;
            let alpha = cx.attrs.float_or("alpha", 1.0)?;
            let mut out = cx.output()?;
            with_dtype!(floats, a.dtype(), F => {
                let out = out.as_mut_slice::<F>()?;
                batch.multiply::<F>(&matrices(a, transpose_a)?, &matrices(b, transpose_b)?, out);
                out.iter_mut().for_each(|o| *o *= F::of(alpha));
                Ok(())
            })
        })
    }
}

fn matrix_transposes(attrs: Attrs<'_>) -> Result<(bool, bool), OpError> {
    if attrs.int_or("transBatchA", 0)? != 0 || attrs.int_or("transBatchB", 0)? != 0 {
        return Err(OpError::unsupported(
            "FusedMatMul with transBatchA or transBatchB",
        ));
    }
    transposes(attrs)
}

/// The shape with its last two axes exchanged; 1-D shapes stay.
fn exchanged<D: Clone>(shape: &[D], exchange: bool) -> Vec<D> {
    let mut shape = shape.to_vec();
    if let (true, Some(last)) = (exchange && shape.len() >= 2, shape.len().checked_sub(1)) {
        shape.swap(last - 1, last);
    }
    shape
}

fn matrices<F: Float>(view: TensorView<'_>, transpose: bool) -> Result<Vec<F>, OpError> {
    let values = view.as_slice::<F>()?;
    match view.shape() {
        [.., rows, cols] if transpose && rows * cols > 0 => Ok(values
            .chunks_exact(rows * cols)
            .flat_map(|m| transposed(m, *rows, *cols))
            .collect()),
        _ => Ok(values.to_vec()),
    }
}
