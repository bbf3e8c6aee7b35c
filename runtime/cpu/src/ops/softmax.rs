//! Softmax and LogSoftmax.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::softmax::split;
use sanderling_kernels::{Axis, log_softmax, softmax, softmax_inplace};

pub(super) struct Softmax {
    name: &'static str,
    log: bool,
}

pub(super) const LOG_SOFTMAX: Softmax = Softmax {
    name: "LogSoftmax",
    log: true,
};
pub(super) const SOFTMAX: Softmax = Softmax {
    name: "Softmax",
    log: false,
};

impl CpuOp for Softmax {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        if x.dtype != DType::F32 {
            return Ok(Choice::Reference);
        }
        let [outer, len, inner] = split(cx.attrs(), cx.opset(), &x.shape)?;
        Choice::kernel(Kernel {
            log: self.log,
            axis: Axis { outer, len, inner },
        })
    }
}

struct Kernel {
    log: bool,
    axis: Axis,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        String::from(if self.log { "log softmax" } else { "softmax" })
    }

    fn in_place(&self, input: usize) -> bool {
        input == 0 && !self.log
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (ctx, y) = (cx.ctx(), cx.slice_mut(0)?);
        let result = match (cx.in_place(), self.log) {
            (Some(_), _) => softmax_inplace(ctx, self.axis, y),
            (None, true) => log_softmax(ctx, self.axis, cx.slice(0)?, y),
            (None, false) => softmax(ctx, self.axis, cx.slice(0)?, y),
        };
        result.map_err(kernel_error)
    }
}
