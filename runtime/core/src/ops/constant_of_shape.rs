//! A tensor of a given shape, filled with `value` (default binary32 0). ONNX `ConstantOfShape` 9, 20, 21, 23,
//! 24, 25.
//!
//! A plan holds no tensors as attributes: the importer turns a node with a `value` into `Expand` of it.

use super::common::dtypes::{INDICES, input_of};
use super::common::since;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `ConstantOfShape`.
pub struct ConstantOfShape;

impl Operator for ConstantOfShape {
    fn name(&self) -> &'static str {
        "ConstantOfShape"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(9)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let list = input_of(cx, 0, INDICES)?;
        let (dtype, _) = fill(cx.attrs())?;
        match (cx.dims(0), list.shape.as_slice()) {
            (Some(dims), _) if dims.iter().any(|dim| dim.fixed().is_some_and(|n| n < 0)) => {
                return Err(OpError::shape("a dimension is negative"));
            }
            (Some(dims), _) => cx.set_output(0, dtype, dims),
            (None, [Dim::Fixed(rank)]) => {
                cx.set_output(
                    0,
                    dtype,
                    alloc::vec![Dim::Unknown; usize::try_from(*rank).unwrap_or(0)],
                );
            }
            _ => {}
        }
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (dtype, bytes) = fill(cx.attrs)?;
        let mut out = cx.output()?;
        if dtype.is_packed() {
            return Err(super::common::dtypes::no_code(dtype));
        }
        if let Some(bytes) = bytes {
            out.bytes_mut()
                .chunks_exact_mut(bytes.len())
                .for_each(|to| to.copy_from_slice(bytes));
        } else {
            out.bytes_mut().fill(0);
        }
        Ok(())
    }
}

/// Dtype and bytes of one element; no bytes are zero.
fn fill(attrs: Attrs<'_>) -> Result<(DType, Option<&[u8]>), OpError> {
    match (attrs.tensor("value"), attrs.get("value")) {
        (Some(tensor), _) if tensor.view().len() == 1 => Ok((tensor.dtype(), Some(tensor.bytes()))),
        (None, None) => Ok((DType::F32, None)),
        _ => Err(OpError::attribute("value", "is not a tensor of one element")),
    }
}
