//! Clip of floats and integers between bounds that are known before a run.

use super::elementwise::map;
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx};
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::tensor::Element;
use sanderling_kernels::Unary;

pub(super) struct Clip;

impl CpuOp for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let later = (1..3).any(|i| cx.optional(i).is_some() && cx.constant(i).is_none());
        match cx.input(0)?.dtype {
            _ if later => Ok(Choice::Reference),
            DType::F32 => {
                let min = bound(cx, 1, cx.attrs().float_or("min", f32::NEG_INFINITY)?)?;
                let max = bound(cx, 2, cx.attrs().float_or("max", f32::INFINITY)?)?;
                map(Unary::Clip { min, max })
            }
            DType::U8 => Choice::kernel(Whole::<u8> {
                min: bound(cx, 1, u8::MIN)?,
                max: bound(cx, 2, u8::MAX)?,
            }),
            DType::I8 => Choice::kernel(Whole::<i8> {
                min: bound(cx, 1, i8::MIN)?,
                max: bound(cx, 2, i8::MAX)?,
            }),
            DType::I32 => Choice::kernel(Whole::<i32> {
                min: bound(cx, 1, i32::MIN)?,
                max: bound(cx, 2, i32::MAX)?,
            }),
            DType::I64 => Choice::kernel(Whole::<i64> {
                min: bound(cx, 1, i64::MIN)?,
                max: bound(cx, 2, i64::MAX)?,
            }),
            _ => Ok(Choice::Reference),
        }
    }
}

/// Bounds are attributes up to opset 10, then inputs; one that is left out does not bind.
fn bound<T: Element>(cx: &PrepareCx<'_>, index: usize, default: T) -> Result<T, OpError> {
    match cx.constant(index) {
        Some(view) => match view.as_slice::<T>()? {
            [bound] => Ok(*bound),
            _ => Err(OpError::shape("a bound of Clip has one element")),
        },
        None => Ok(default),
    }
}

/// Integers.
struct Whole<T> {
    min: T,
    max: T,
}

impl<T: Element + Ord> CpuKernel for Whole<T> {
    fn describe(&self) -> String {
        String::from("clip integers")
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y) = (cx.slice::<T>(0)?, cx.slice_mut::<T>(0)?);
        // The upper bound wins where the lower one is above it.
        y.iter_mut()
            .zip(x)
            .for_each(|(y, &x)| *y = x.max(self.min).min(self.max));
        Ok(())
    }
}
