//! Transposed convolution of one and two spatial axes.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::conv::Geometry;
use sanderling_core::ops::common::window::Axis;
use sanderling_kernels::{ConvTranspose2d, Unary, conv_transpose2d};

pub(super) struct ConvTranspose;

impl CpuOp for ConvTranspose {
    fn name(&self) -> &'static str {
        "ConvTranspose"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, w) = (cx.input(0)?, cx.input(1)?);
        let geometry = Geometry::transposed(cx.attrs(), &x.shape, &w.shape)?;
        match transposed_2d(&geometry).filter(|_| cx.all(DType::F32)) {
            Some(conv) => Choice::kernel(Kernel {
                scratch: conv.scratch_len(cx.ctx()),
                conv,
                act: None,
            }),
            None => Ok(Choice::Reference),
        }
    }
}

/// What a transposed convolution leaves out behind its last full step: ONNX's `output_padding`.
fn output_padding(axis: &Axis) -> Option<usize> {
    let full = (axis.output.checked_sub(1)? * axis.stride + (axis.kernel - 1) * axis.dilation + 1) as i64;
    usize::try_from(axis.input as i64 + axis.pad_begin + axis.pad_end - full).ok()
}

/// The geometry is that of the convolution it transposes: its output is what comes in here.
fn transposed_2d(geometry: &Geometry) -> Option<ConvTranspose2d> {
    let flat = Axis {
        input: 1,
        output: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        pad_begin: 0,
        pad_end: 0,
    };
    let [rows, cols] = match geometry.axes[..] {
        [cols] => [flat, cols],
        [rows, cols] => [rows, cols],
        _ => return None,
    };
    let pad = |pad: i64| usize::try_from(pad).ok();
    Some(ConvTranspose2d {
        batch: geometry.batch,
        in_channels: geometry.groups * geometry.group_inputs,
        out_channels: geometry.groups * geometry.group_outputs,
        in_h: rows.output,
        in_w: cols.output,
        kernel: [rows.kernel, cols.kernel],
        strides: [rows.stride, cols.stride],
        dilations: [rows.dilation, cols.dilation],
        pads: [
            pad(rows.pad_begin)?,
            pad(cols.pad_begin)?,
            pad(rows.pad_end)?,
            pad(cols.pad_end)?,
        ],
        output_padding: [output_padding(&rows)?, output_padding(&cols)?],
        groups: geometry.groups,
    })
}

struct Kernel {
    conv: ConvTranspose2d,
    act: Option<Unary>,
    scratch: usize,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let [h, w] = self.conv.kernel;
        let act = self.act.map_or(String::new(), |act| format!(", {act:?}"));
        format!("transposed conv {h}x{w}{act}")
    }

    fn scratch_len(&self) -> usize {
        self.scratch
    }

    fn fuse(&mut self, next: Unary) -> bool {
        let free = self.act.is_none();
        self.act = self.act.or(Some(next));
        free
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, w, bias) = (cx.slice(0)?, cx.slice(1)?, cx.optional_slice(2)?);
        let (y, scratch) = (cx.slice_mut(0)?, cx.scratch());
        conv_transpose2d(cx.ctx(), &self.conv, x, w, bias, self.act, y, scratch).map_err(kernel_error)
    }
}
