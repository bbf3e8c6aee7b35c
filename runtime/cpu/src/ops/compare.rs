//! Comparisons: two tensors of one type, a bool for each pair.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::boxed::Box;
use alloc::string::String;
use core::cmp::Ordering;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::tensor::Element;
use sanderling_kernels::{broadcast_strides, zip_broadcast};

/// A comparison, by what it makes of an ordering. NaN has none, and compares as false.
pub(super) struct Compare {
    name: &'static str,
    holds: fn(Ordering) -> bool,
}

pub(super) const EQUAL: Compare = Compare {
    name: "Equal",
    holds: Ordering::is_eq,
};
pub(super) const GREATER: Compare = Compare {
    name: "Greater",
    holds: Ordering::is_gt,
};
pub(super) const GREATER_OR_EQUAL: Compare = Compare {
    name: "GreaterOrEqual",
    holds: Ordering::is_ge,
};
pub(super) const LESS: Compare = Compare {
    name: "Less",
    holds: Ordering::is_lt,
};
pub(super) const LESS_OR_EQUAL: Compare = Compare {
    name: "LessOrEqual",
    holds: Ordering::is_le,
};

impl CpuOp for Compare {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (a, b, output) = (cx.input(0)?, cx.input(1)?, cx.output(0)?);
        let ours = matches!(a.dtype, DType::F32 | DType::I32 | DType::I64 | DType::U8);
        if !ours || a.dtype != b.dtype || cx.opset() < 7 {
            return Ok(Choice::Reference);
        }
        let strides = |shape: &[usize]| -> Result<Box<[usize]>, OpError> {
            let mut strides = alloc::vec![0; output.shape.len()];
            broadcast_strides(shape, &output.shape, &mut strides).map_err(kernel_error)?;
            Ok(strides.into())
        };
        Choice::kernel(Kernel {
            name: self.name,
            holds: self.holds,
            dtype: a.dtype,
            shape: output.shape.clone(),
            strides: [strides(&a.shape)?, strides(&b.shape)?],
        })
    }
}

struct Kernel {
    name: &'static str,
    holds: fn(Ordering) -> bool,
    dtype: DType,
    shape: Box<[usize]>,
    strides: [Box<[usize]>; 2],
}

impl Kernel {
    fn compare<T: Element + PartialOrd>(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (a, b, y) = (cx.slice::<T>(0)?, cx.slice::<T>(1)?, cx.bytes_mut(0)?);
        let [sa, sb] = &self.strides;
        let truth = |x: T, y: T| u8::from(x.partial_cmp(&y).is_some_and(self.holds));
        // Equality, the common case, is inlined: the loop then vectorises.
        if self.name == EQUAL.name {
            return zip_broadcast(&self.shape, a, sa, b, sb, y, |x, y| u8::from(x == y))
                .map_err(kernel_error);
        }
        zip_broadcast(&self.shape, a, sa, b, sb, y, truth).map_err(kernel_error)
    }
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        String::from(self.name)
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        match self.dtype {
            DType::F32 => self.compare::<f32>(cx),
            DType::I32 => self.compare::<i32>(cx),
            DType::I64 => self.compare::<i64>(cx),
            _ => self.compare::<u8>(cx),
        }
    }
}
