//! Axes in another order. ONNX `Transpose` 1, 13, 21, 23, 24, 25.

use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::{gather, straight};
use super::common::since;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::strides;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Transpose`.
pub struct Transpose;

/// The input's axis for each axis of the output: `perm`, or all reversed.
///
/// # Errors
/// [`OpError::Attribute`] where `perm` is no permutation.
pub fn permutation(attrs: Attrs<'_>, rank: usize) -> Result<Vec<usize>, OpError> {
    let Some(perm) = attrs.ints("perm")? else {
        return Ok((0..rank).rev().collect());
    };
    let axes: Vec<usize> = perm
        .iter()
        .map(|axis| usize::try_from(axis).unwrap_or(usize::MAX))
        .collect();
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    if sorted.into_iter().eq(0..rank) {
        Ok(axes)
    } else {
        Err(OpError::attribute(
            "perm",
            format!("is {:?}, no permutation of {rank} axes", perm.to_vec()),
        ))
    }
}

impl Operator for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        let shape = permutation(cx.attrs(), ty.rank())?
            .iter()
            .map(|&axis| ty.shape[axis].clone())
            .collect();
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let mut out = cx.output()?;
        if out.shape().contains(&0) {
            return Ok(());
        }
        let (shape, strides) = (input.shape(), strides(input.shape()));
        let axes = permutation(cx.attrs, shape.len())?;
        let maps: Vec<_> = axes
            .iter()
            .map(|&axis| straight(shape[axis], strides[axis]))
            .collect();
        gather(input, &mut out, &maps, &[])
    }
}
