//! Between the dtypes that models cast on their way; other pairs are the reference's.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx};
use alloc::format;
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::tensor::Element;

pub(super) struct Cast;

impl CpuOp for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (from, to) = (cx.input(0)?.dtype, cx.output(0)?.dtype);
        if from == to {
            return Ok(Choice::Alias);
        }
        match conversion(from, to) {
            Some(run) => Choice::kernel(Kernel { from, to, run }),
            None => Ok(Choice::Reference),
        }
    }
}

type Run = fn(&mut RunCx<'_, '_>) -> Result<(), OpError>;

/// Rust's `as` is ONNX's Cast for these: floats truncate and saturate, wide integers wrap.
macro_rules! as_cast {
    ($from:ty, $to:ty) => {
        |cx| convert::<$from, $to>(cx, |x| x as $to)
    };
}

fn conversion(from: DType, to: DType) -> Option<Run> {
    use DType::{Bool, F32, I8, I32, I64, U8};
    Some(match (from, to) {
        (U8 | Bool, F32) => as_cast!(u8, f32),
        (I8, F32) => as_cast!(i8, f32),
        (I32, F32) => as_cast!(i32, f32),
        (I64, F32) => as_cast!(i64, f32),
        (F32, I32) => as_cast!(f32, i32),
        (F32, I64) => as_cast!(f32, i64),
        (U8 | Bool, I32) => as_cast!(u8, i32),
        (U8 | Bool, I64) => as_cast!(u8, i64),
        (I32, I64) => as_cast!(i32, i64),
        (I64, I32) => as_cast!(i64, i32),
        _ => return None,
    })
}

fn convert<A: Element, B: Element>(cx: &mut RunCx<'_, '_>, f: impl Fn(A) -> B) -> Result<(), OpError> {
    let (x, y) = (cx.slice::<A>(0)?, cx.slice_mut::<B>(0)?);
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
    Ok(())
}

struct Kernel {
    from: DType,
    to: DType,
    run: Run,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        format!("{} to {}", self.from.name(), self.to.name())
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        (self.run)(cx)
    }
}
