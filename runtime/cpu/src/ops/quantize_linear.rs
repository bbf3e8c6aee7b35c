//! From floats to eight bits, where a model's quantised part begins.

use super::qlinear::quantisation;
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx};
use alloc::string::String;
use sanderling_core::ops::common::qlinear::result;
use sanderling_core::{DType, OpError};

/// `QuantizeLinear` of binary32 with one known scale.
pub(super) struct QuantizeLinear;

impl CpuOp for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, scale, y) = (cx.input(0)?.dtype, cx.input(1)?, cx.output(0)?.dtype);
        let plain = x == DType::F32 && scale.dtype == DType::F32 && scale.len() == 1;
        let blocked = cx.attrs().int_or("block_size", 0)? != 0 || cx.attrs().int_or("precision", 0)? > 1;
        if !plain || blocked || !matches!(y, DType::U8 | DType::I8) {
            return Ok(Choice::Reference);
        }
        // A scale that is zero or infinite is the reference's.
        let Ok(Some(found)) = quantisation(cx, result(1)) else {
            return Ok(Choice::Reference);
        };
        let (scale, zero) = found.single()?;
        let (least, most) = if y == DType::U8 { (0, 255) } else { (-128, 127) };
        Choice::kernel(Quantise {
            scale,
            zero,
            bounds: ((least - zero) as f32, (most - zero) as f32),
        })
    }
}

struct Quantise {
    scale: f32,
    zero: i32,
    /// Of the rounded quotient.
    bounds: (f32, f32),
}

impl CpuKernel for Quantise {
    fn describe(&self) -> String {
        String::from("quantise")
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        // Adding and taking off 1.5 · 2²³ rounds to the nearest integer, halves to even, as both are below 2²².
        const ROUND: f32 = 12_582_912.0;
        let (x, y) = (cx.slice::<f32>(0)?, cx.bytes_mut(0)?);
        let (least, most) = self.bounds;
        for (y, &x) in y.iter_mut().zip(x) {
            let quotient = x / self.scale;
            let quotient = if quotient.is_nan() { 0.0 } else { quotient };
            let rounded = (quotient.clamp(least, most) + ROUND) - ROUND;
            *y = (rounded as i32 + self.zero) as u8;
        }
        Ok(())
    }
}
