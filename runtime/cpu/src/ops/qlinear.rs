//! What the quantised operators share: scales and zero points that are known before a run become multipliers and starts.
//!
//! Where a scale or zero point is computed by the graph, the reference runs the node.

use crate::op::{PrepareCx, RunCx};
use alloc::vec::Vec;
use sanderling_core::ops::common::qlinear::{Operand, Quantisation};
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_core::{DType, OpError};
use sanderling_kernels::{Bytes, QuantBytes, Requantise};

/// Scales and zero points of an operand; none where a run computes them.
pub(super) fn quantisation(cx: &PrepareCx<'_>, operand: Operand) -> Result<Option<Quantisation>, OpError> {
    let zero = operand.scale + 1;
    let computed = cx.optional(zero).is_some() && cx.constant(zero).is_none();
    match cx.constant(operand.scale) {
        Some(scale) if !computed => Quantisation::new(scale, cx.constant(zero)).map(Some),
        _ => Ok(None),
    }
}

/// A computed operand with one scale.
#[derive(Debug, Clone, Copy)]
pub(super) struct Activation {
    /// Position of the tensor.
    input: usize,
    pub(super) scale: f32,
    pub(super) zero: u8,
    pub(super) bytes: Bytes,
}

impl Activation {
    /// The operand whose tensor is this input; none where its scale is not one known number.
    pub(super) fn new(cx: &PrepareCx<'_>, input: usize) -> Result<Option<Self>, OpError> {
        let operand = sanderling_core::ops::common::qlinear::operand(input);
        let Some(Ok((scale, zero))) = quantisation(cx, operand)?.map(|found| found.single()) else {
            return Ok(None);
        };
        Ok(Some(Self {
            input,
            scale,
            // The low byte is the two's complement of both types.
            zero: zero as u8,
            bytes: reading(cx.input(input)?.dtype),
        }))
    }

    /// For a run.
    pub(super) fn data<'a>(&self, cx: &RunCx<'a, '_>) -> Result<QuantBytes<'a>, OpError> {
        Ok(QuantBytes {
            data: cx.input(self.input)?.bytes(),
            bytes: self.bytes,
            zero: self.zero,
        })
    }
}

/// How a tensor's bytes are read; the shape rules let u8 and i8 pass.
fn reading(dtype: DType) -> Bytes {
    if dtype == DType::I8 {
        Bytes::Signed
    } else {
        Bytes::Unsigned
    }
}

/// What sums become, with the memory for it.
#[derive(Debug, Clone)]
pub(super) struct Results {
    starts: Vec<i32>,
    multipliers: Vec<f32>,
    zero: i32,
    least: i32,
    most: i32,
}

impl Results {
    /// For output 0 with this zero point.
    pub(super) fn new(
        cx: &PrepareCx<'_>,
        zero: i32,
        starts: Vec<i32>,
        multipliers: Vec<Multiplier>,
    ) -> Result<Self, OpError> {
        let (least, most) = match reading(cx.output(0)?.dtype) {
            Bytes::Unsigned => (0, 255),
            Bytes::Signed => (-128, 127),
        };
        Ok(Self {
            starts,
            multipliers: multipliers.into_iter().map(Multiplier::get).collect(),
            zero,
            least,
            most,
        })
    }

    pub(super) fn view(&self) -> Requantise<'_> {
        Requantise {
            starts: &self.starts,
            multipliers: &self.multipliers,
            zero: self.zero,
            least: self.least,
            most: self.most,
        }
    }
}
