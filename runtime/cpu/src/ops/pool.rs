//! Pooling over one and two spatial axes.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::window::{Axis, Window, spatial};
use sanderling_kernels::{Pool2d, avg_pool2d, max_pool2d};

pub(super) struct Pool {
    name: &'static str,
    max: bool,
}

pub(super) const AVERAGE_POOL: Pool = Pool {
    name: "AveragePool",
    max: false,
};
pub(super) const MAX_POOL: Pool = Pool {
    name: "MaxPool",
    max: true,
};

impl CpuOp for Pool {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        let sizes = spatial(&x.shape)?;
        let window = Window::new(cx.attrs(), sizes.len(), None)?;
        let axes = window.axes(sizes)?;
        let flat = Axis {
            input: 1,
            output: 1,
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad_begin: 0,
            pad_end: 0,
        };
        let [rows, cols] = match axes[..] {
            [cols] => [flat, cols],
            [rows, cols] => [rows, cols],
            _ => return Ok(Choice::Reference),
        };
        let pads = [rows.pad_begin, cols.pad_begin, rows.pad_end, cols.pad_end];
        // Places are the reference's, as are pads that crop.
        if !cx.all(DType::F32) || cx.output_count() != 1 || pads.iter().any(|&pad| pad < 0) {
            return Ok(Choice::Reference);
        }
        let pool = Pool2d {
            planes: x.shape[0] * x.shape[1],
            in_h: rows.input,
            in_w: cols.input,
            kernel: [rows.kernel, cols.kernel],
            strides: [rows.stride, cols.stride],
            dilations: [rows.dilation, cols.dilation],
            // Not negative, as was just checked.
            pads: pads.map(|pad| pad as usize),
            ceil_mode: window.ceil_mode,
        };
        if pool.out_hw() != Some((rows.output, cols.output)) {
            return Ok(Choice::Reference);
        }
        let include_pad = cx.attrs().int_or("count_include_pad", 0)? != 0;
        Choice::kernel(Kernel {
            scratch: pool.scratch_len(cx.ctx()),
            pool,
            max: self.max,
            include_pad,
        })
    }
}

struct Kernel {
    pool: Pool2d,
    max: bool,
    include_pad: bool,
    scratch: usize,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let [h, w] = self.pool.kernel;
        format!("{} pool {h}x{w}", if self.max { "max" } else { "average" })
    }

    fn scratch_len(&self) -> usize {
        self.scratch
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y, scratch) = (cx.slice(0)?, cx.slice_mut(0)?, cx.scratch());
        let result = match self.max {
            true => max_pool2d(cx.ctx(), &self.pool, x, y, scratch),
            false => avg_pool2d(cx.ctx(), &self.pool, self.include_pad, x, y, scratch),
        };
        result.map_err(kernel_error)
    }
}
