//! The input repeated along each axis. ONNX `Tile` 1 (one axis), 6 (a count for each), 13.

use super::common::dims;
use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::gather;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, strides};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Tile`.
pub struct Tile;

impl Operator for Tile {
    fn name(&self) -> &'static str {
        "Tile"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(6)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        cx.input(1)?;
        let shape = match cx.dims(1) {
            Some(repeats) if repeats.len() != ty.rank() => {
                return Err(OpError::shape(format!(
                    "{} repeats are given for {ty}",
                    repeats.len()
                )));
            }
            Some(repeats) if repeats.iter().any(|n| n.fixed().is_some_and(|n| n < 0)) => {
                return Err(OpError::shape("a repeat is negative"));
            }
            Some(repeats) => ty
                .shape
                .iter()
                .zip(&repeats)
                .map(|(dim, n)| dims::mul(dim, n))
                .collect(),
            None => alloc::vec![Dim::Unknown; ty.rank()],
        };
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let mut out = cx.output()?;
        if out.shape().contains(&0) {
            return Ok(());
        }
        let (from, to) = (input.shape(), out.shape());
        let along =
            |axis: usize, stride: usize| (0..to[axis]).map(|i| Some(i % from[axis] * stride)).collect();
        let maps: Vec<_> = strides(from)
            .into_iter()
            .enumerate()
            .map(|(axis, stride)| along(axis, stride))
            .collect();
        gather(input, &mut out, &maps, &[])
    }
}
