//! The input itself. ONNX `Identity` 1, 13, 14, 16, 19, 21, 23, 24, 25; tensors only.

use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `Identity`.
pub struct Identity;

impl Operator for Identity {
    fn name(&self) -> &'static str {
        "Identity"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        if let (Some(dims), None) = (cx.dims(0), cx.data(0)) {
            cx.set_output_dims(0, dims);
        }
        cx.set_output(0, ty.dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        copy_bytes(cx)
    }
}

/// The first output has the first input's bytes: for operators that change no more than the shape.
///
/// # Errors
/// [`OpError::Shape`] where the outputs' sizes differ.
pub fn copy_bytes(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?.bytes();
    let mut out = cx.output()?;
    let out = out.bytes_mut();
    if out.len() != input.len() {
        return Err(OpError::shape(alloc::format!(
            "{} bytes are given a shape that takes {}",
            input.len(),
            out.len()
        )));
    }
    out.copy_from_slice(input);
    Ok(())
}
