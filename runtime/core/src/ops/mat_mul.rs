//! NumPy's matrix product, with leading axes broadcast. ONNX `MatMul` 1, 9 (integers), 13.
//!
//! Order of the sums: see [`super::common::matrix`].

use super::common::dtypes::{NUMBERS, input_of, same_dtype, with_dtype};
use super::common::matrix::{Batch, output_shape};
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `MatMul`.
pub struct MatMul;

impl Operator for MatMul {
    fn name(&self) -> &'static str {
        "MatMul"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (a, b) = (input_of(cx, 0, NUMBERS)?, cx.input(1)?);
        same_dtype(cx, 1, a.dtype)?;
        let shape = output_shape(&a.shape, &b.shape)?;
        cx.set_output(0, a.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (a, b) = (cx.input(0)?, cx.input(1)?);
            let batch = Batch::new(a.shape(), b.shape())?;
            let mut out = cx.output()?;
            with_dtype!(numbers, a.dtype(), N => {
                batch.multiply::<N>(a.as_slice()?, b.as_slice()?, out.as_mut_slice()?);
                Ok(())
            })
        })
    }
}
