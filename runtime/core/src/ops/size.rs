//! The number of elements, as a scalar. ONNX `Size` 1, 13, 19, 21, 23, 24, 25.

use super::common::dims::product;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `Size`.
pub struct Size;

impl Operator for Size {
    fn name(&self) -> &'static str {
        "Size"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let count = product(&cx.input(0)?.shape);
        cx.set_output(0, DType::I64, Vec::new());
        cx.set_output_dims(0, alloc::vec![count]);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let count = cx.input(0)?.len() as i64;
        cx.output()?.as_mut_slice::<i64>()?.fill(count);
        Ok(())
    }
}
