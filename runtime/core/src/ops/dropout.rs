//! The input itself: dropping out is for training. ONNX `Dropout` 1, 6, 7, 10, 12, 13, 22.
//!
//! The mask, where wanted, is all true. `training_mode` set to true with a ratio above zero is not supported.

use super::common::dtypes::{FLOATS, input_of};
use super::common::since;
use super::identity::copy_bytes;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `Dropout`.
pub struct Dropout;

impl Operator for Dropout {
    fn name(&self) -> &'static str {
        "Dropout"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        if cx.opset() < 7 && cx.attrs().int_or("is_test", 0)? == 0 {
            return Err(training());
        }
        // Before opset 10 the mask was of the input's dtype.
        let mask = if cx.opset() >= 10 { DType::Bool } else { ty.dtype };
        cx.set_output(0, ty.dtype, ty.shape.clone());
        cx.set_output(1, mask, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let is_training = cx
            .optional(2)
            .is_some_and(|mode| mode.bytes().first() == Some(&1));
        let ratio = cx
            .optional(1)
            .map(|view| super::common::codec::reader(view.dtype()).map(|read| (read, view)));
        let drops = match ratio.transpose()? {
            Some((read, view)) if !view.is_empty() => read(view.bytes(), 0).to_f64() > 0.0,
            _ => true,
        };
        if is_training && drops {
            return Err(training());
        }
        if let Some(mut mask) = cx.take_output(1) {
            let write = super::common::codec::Writer::new(mask.dtype())?;
            let count = mask.as_view().len();
            (0..count).for_each(|i| write.write(mask.bytes_mut(), i, super::common::codec::Wide::Int(1)));
        }
        copy_bytes(cx)
    }
}

fn training() -> OpError {
    OpError::unsupported("Dropout in training mode")
}
