//! Channels to blocks of pixels: [N, C·b², H, W] to [N, C, H·b, W·b]. ONNX `DepthToSpace` 1, 11 (`mode`), 13.
//!
//! `DCR` (the default) has the block's place before the channel, `CRD` behind it.

use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::{gather, straight};
use super::common::since;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use alloc::format;
use core::ops::RangeInclusive;

/// ONNX `DepthToSpace`.
pub struct DepthToSpace;

/// The attribute `blocksize`.
///
/// # Errors
/// [`OpError::Attribute`] below 1.
pub fn block_size(attrs: Attrs<'_>) -> Result<usize, OpError> {
    let size = attrs.int("blocksize")?.and_then(|n| usize::try_from(n).ok());
    size.filter(|n| (1..1 << 16).contains(n))
        .ok_or_else(|| OpError::attribute("blocksize", "is required, from 1 on"))
}

/// A dimension divided.
///
/// # Errors
/// [`OpError::Shape`] where it does not divide.
pub fn divided(dim: &Dim, by: usize) -> Result<Dim, OpError> {
    super::common::dims::map(dim, |n| match n % by {
        0 => Ok(n / by),
        _ => Err(OpError::shape(format!("{n} does not divide by {by}"))),
    })
}

impl Operator for DepthToSpace {
    fn name(&self) -> &'static str {
        "DepthToSpace"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, block) = (input_of(cx, 0, WHOLE_BYTES)?, block_size(cx.attrs())?);
        let [n, c, h, w] = ty.shape.as_slice() else {
            return Err(OpError::shape(format!("{ty} is not [N, C, H, W]")));
        };
        let grown = |dim: &Dim| super::common::dims::mul(dim, &Dim::from(block));
        let shape = alloc::vec![n.clone(), divided(c, block * block)?, grown(h), grown(w)];
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (input, b) = (cx.input(0)?, block_size(cx.attrs)?);
        let mut out = cx.output()?;
        if out.shape().contains(&0) {
            return Ok(());
        }
        let &[n, c, h, w] = input.shape() else {
            return Err(OpError::shape("the input is not [N, C, H, W]"));
        };
        let depth = c / (b * b);
        let plane = h * w;
        // Distances between channels, block rows and block columns in the input.
        let (channel, row, column) = match cx.attrs.str_or("mode", "DCR")? {
            "DCR" => (plane, b * depth * plane, depth * plane),
            "CRD" => (b * b * plane, b * plane, plane),
            other => return Err(OpError::attribute("mode", format!("is '{other}'"))),
        };
        let maps = [
            straight(n, c * plane),
            straight(depth, channel),
            straight(h, w),
            straight(b, row),
            straight(w, 1),
            straight(b, column),
        ];
        gather(input, &mut out, &maps, &[])
    }
}
