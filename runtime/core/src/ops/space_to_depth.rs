//! Blocks of pixels to channels: [N, C, H·b, W·b] to [N, b²·C, H, W], the block's place first. ONNX
//! `SpaceToDepth` 1, 13.

use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::{gather, straight};
use super::common::since;
use super::depth_to_space::{block_size, divided};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use core::ops::RangeInclusive;

/// ONNX `SpaceToDepth`.
pub struct SpaceToDepth;

impl Operator for SpaceToDepth {
    fn name(&self) -> &'static str {
        "SpaceToDepth"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, block) = (input_of(cx, 0, WHOLE_BYTES)?, block_size(cx.attrs())?);
        let [n, c, h, w] = ty.shape.as_slice() else {
            return Err(OpError::shape(alloc::format!("{ty} is not [N, C, H, W]")));
        };
        let channels = super::common::dims::mul(c, &Dim::from(block * block));
        cx.set_output(
            0,
            ty.dtype,
            alloc::vec![n.clone(), channels, divided(h, block)?, divided(w, block)?],
        );
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
        let maps = [
            straight(n, c * h * w),
            straight(b, w),
            straight(b, 1),
            straight(c, h * w),
            straight(h / b, b * w),
            straight(w / b, b),
        ];
        gather(input, &mut out, &maps, &[])
    }
}
