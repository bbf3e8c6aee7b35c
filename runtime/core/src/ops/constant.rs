//! A tensor from an attribute. ONNX `Constant` 1, 9, 11, 12 (`value_…`), 13, 19, 21, 23, 24, 25.
//!
//! Packing turns these nodes into constants of the plan, which holds no tensors as attributes; sparse tensors
//! and strings are not supported.

use super::common::since;
use crate::attr::{AttrRef, Attrs};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::tensor::Tensor;
use alloc::borrow::Cow;
use core::ops::RangeInclusive;

/// ONNX `Constant`.
pub struct Constant;

impl Operator for Constant {
    fn name(&self) -> &'static str {
        "Constant"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = value(cx.attrs())?.ty();
        cx.set_output(0, ty.dtype, ty.shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let value = value(cx.attrs)?;
        cx.output()?.bytes_mut().copy_from_slice(value.bytes());
        Ok(())
    }
}

/// The tensor that the attributes give.
///
/// # Errors
/// [`OpError::Unsupported`] where it is sparse or of strings.
pub fn value(attrs: Attrs<'_>) -> Result<Cow<'_, Tensor>, OpError> {
    if let Some(tensor) = attrs.tensor("value") {
        return Ok(Cow::Borrowed(tensor));
    }
    let names = ["value_int", "value_float", "value_ints", "value_floats"];
    let made = match names.iter().find_map(|name| attrs.get(name)) {
        Some(AttrRef::Int(n)) => Tensor::from_slice(&[], &[n])?,
        Some(AttrRef::Float(x)) => Tensor::from_slice(&[], &[x])?,
        Some(AttrRef::Ints(list)) => Tensor::from_slice(&[list.len()], &list.to_vec())?,
        Some(AttrRef::Floats(list)) => Tensor::from_slice(&[list.len()], &list.to_vec())?,
        _ => return Err(OpError::unsupported("a Constant that is sparse or of strings")),
    };
    Ok(Cow::Owned(made))
}
