//! Convolution of one and two spatial axes, with what onnxruntime fuses behind it.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, ValueType, kernel_error};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::activation::Activation;
use sanderling_core::ops::common::conv::Geometry;
use sanderling_core::ops::common::window::Axis;
use sanderling_kernels::{Conv2d, ConvWeights, PackedConv, Unary, conv2d};

pub(super) struct Conv {
    domain: &'static str,
    name: &'static str,
}

pub(super) const CONV: Conv = Conv {
    domain: "",
    name: "Conv",
};
pub(super) const FUSED_CONV: Conv = Conv {
    domain: "com.microsoft",
    name: "FusedConv",
};

/// Input positions.
const X: usize = 0;
const WEIGHTS: usize = 1;
const BIAS: usize = 2;
const RESIDUAL: usize = 3;

impl CpuOp for Conv {
    fn domain(&self) -> &'static str {
        self.domain
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, w) = (cx.input(X)?, cx.input(WEIGHTS)?);
        let act = match Activation::new(cx.attrs()) {
            Ok(activation) => fused(activation),
            Err(_) => return Ok(Choice::Reference),
        };
        let geometry = Geometry::new(cx.attrs(), &x.shape, &w.shape)?;
        let Some(conv) = conv_2d(x, &geometry).filter(|_| cx.all(DType::F32)) else {
            return Ok(Choice::Reference);
        };
        let weights = pack(cx, &conv, w)?;
        Choice::kernel(Kernel {
            scratch: conv.scratch_len(cx.ctx()),
            conv,
            weights,
            act,
        })
    }
}

/// An activation as kernels have it.
pub(super) fn fused(activation: Activation) -> Option<Unary> {
    Some(match activation {
        Activation::Identity => return None,
        Activation::Relu => Unary::Relu,
        Activation::Tanh => Unary::Tanh,
        Activation::Sigmoid => Unary::Sigmoid,
        Activation::LeakyRelu(alpha) => Unary::LeakyRelu { alpha },
        Activation::Clip(min, max) => Unary::Clip { min, max },
        Activation::HardSigmoid(alpha, beta) => Unary::HardSigmoid { alpha, beta },
    })
}

/// One spatial axis as the row of an image. Negative pads, which crop, and more than two axes are not the kernel's.
pub(super) fn conv_2d(x: &ValueType, geometry: &Geometry) -> Option<Conv2d> {
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
        // A column of pixels lies in memory as a row does, and rows are what vectors run along.
        [rows, cols] if cols == flat => [cols, rows],
        [rows, cols] => [rows, cols],
        _ => return None,
    };
    let pad = |pad: i64| usize::try_from(pad).ok();
    Some(Conv2d {
        batch: geometry.batch,
        in_channels: x.shape[1],
        out_channels: geometry.groups * geometry.group_outputs,
        in_h: rows.input,
        in_w: cols.input,
        kernel: [rows.kernel, cols.kernel],
        strides: [rows.stride, cols.stride],
        dilations: [rows.dilation, cols.dilation],
        pads: [
            pad(rows.pad_begin)?,
            pad(cols.pad_begin)?,
            pad(rows.pad_end)?,
            pad(cols.pad_end)?,
        ],
        groups: geometry.groups,
    })
}

/// Weights that are known are packed; depthwise ones are used as they lie.
fn pack(cx: &PrepareCx<'_>, conv: &Conv2d, w: &ValueType) -> Result<Option<Rc<PackedConv>>, OpError> {
    let isa = cx.isa();
    let layout = format!("{:?} in {} groups", w.shape, conv.groups);
    if let Some(q) = cx.quantised(WEIGHTS).filter(|q| matches!(q.axis, None | Some(0))) {
        let make =
            || PackedConv::from_int8(isa, conv, q.data, q.scales, &q.zero_points).map_err(kernel_error);
        return cx
            .shared(WEIGHTS, format!("int8 conv {layout}"), w.len(), make)
            .map(Some);
    }
    let depthwise = conv.groups > 1 && conv.groups == conv.in_channels;
    match cx.constant(WEIGHTS) {
        Some(view) if !depthwise => {
            let make = || PackedConv::new(isa, conv, view.as_slice()?).map_err(kernel_error);
            cx.shared(WEIGHTS, format!("conv {layout}"), w.bytes, make)
                .map(Some)
        }
        _ => Ok(None),
    }
}

struct Kernel {
    conv: Conv2d,
    weights: Option<Rc<PackedConv>>,
    act: Option<Unary>,
    scratch: usize,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let Conv2d {
            kernel: [h, w],
            strides: [sh, sw],
            groups,
            in_channels,
            ..
        } = self.conv;
        let kind = if groups > 1 && groups == in_channels {
            "depthwise"
        } else {
            "conv"
        };
        let act = self.act.map_or(String::new(), |act| format!(", {act:?}"));
        let packed = if self.weights.is_some() { ", packed" } else { "" };
        format!("{kind} {h}x{w}/{sh}x{sw}{packed}{act}")
    }

    fn scratch_len(&self) -> usize {
        self.scratch
    }

    fn reads(&self, input: usize) -> bool {
        input != WEIGHTS || self.weights.is_none()
    }

    fn fuse(&mut self, next: Unary) -> bool {
        let free = self.act.is_none();
        self.act = self.act.or(Some(next));
        free
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let weights = match &self.weights {
            Some(packed) => ConvWeights::Packed(packed),
            None => ConvWeights::Plain(cx.slice(WEIGHTS)?),
        };
        let (x, bias, residual) = (
            cx.slice(X)?,
            cx.optional_slice(BIAS)?,
            cx.optional_slice(RESIDUAL)?,
        );
        let (y, scratch) = (cx.slice_mut(0)?, cx.scratch());
        conv2d(
            cx.ctx(),
            &self.conv,
            x,
            weights,
            bias,
            residual,
            self.act,
            y,
            scratch,
        )
        .map_err(kernel_error)
    }
}
