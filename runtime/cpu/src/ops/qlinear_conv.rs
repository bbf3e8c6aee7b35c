//! Convolution of eight-bit tensors over one and two spatial axes.

use super::conv::conv_2d;
use super::qlinear::{Activation, Results, quantisation};
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::ops::common::conv::Geometry;
use sanderling_core::ops::common::qlinear::{Quantisation, centred, operand, result};
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_kernels::{Conv2d, PackedInt8, qconv2d, qconv2d_scratch_len};

pub(super) struct QLinearConv;

/// Input positions; scales and zero points follow their tensors.
const X: usize = 0;
const W: usize = 3;
const SCALE_Y: usize = 6;
const BIAS: usize = 8;

impl CpuOp for QLinearConv {
    fn name(&self) -> &'static str {
        "QLinearConv"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, w) = (cx.input(X)?, cx.input(W)?);
        let geometry = Geometry::new(cx.attrs(), &x.shape, &w.shape)?;
        let bias_later = cx.optional(BIAS).is_some() && cx.constant(BIAS).is_none();
        let known = (
            Activation::new(cx, X)?,
            quantisation(cx, operand(W))?,
            quantisation(cx, result(SCALE_Y))?,
            conv_2d(x, &geometry),
        );
        let (Some(activation), Some(weights), Some(y), Some(conv)) = known else {
            return Ok(Choice::Reference);
        };
        if cx.constant(W).is_none() || bias_later {
            return Ok(Choice::Reference);
        }
        let weights = weights.fit(conv.out_channels)?;
        let (scale_y, zero_y) = y.single()?;
        let multipliers = (0..conv.out_channels)
            .map(|channel| Multiplier::of_product(activation.scale, weights.of(channel).0, scale_y))
            .collect::<Result<Vec<_>, _>>()?;
        let packed = pack(cx, &conv, &weights)?;
        let bias = cx.constant(BIAS);
        let bias = bias.as_ref().map(|bias| bias.as_slice::<i32>()).transpose()?;
        let starts = packed.starts(bias, activation.zero, activation.bytes);
        Choice::kernel(Kernel {
            scratch: qconv2d_scratch_len(cx.ctx(), &conv),
            results: Results::new(cx, zero_y, starts, multipliers)?,
            activation,
            conv,
            packed,
        })
    }
}

/// Weights less their zero points, packed.
fn pack(cx: &PrepareCx<'_>, conv: &Conv2d, weights: &Quantisation) -> Result<Rc<PackedInt8>, OpError> {
    let view = cx.constant(W).ok_or(OpError::NotConstant { index: W })?;
    let rows = conv.out_channels / conv.groups;
    let k = view.len() / conv.out_channels.max(1);
    let bytes = PackedInt8::bytes_of(conv.groups, rows, k);
    let zero = cx.content(W + 2);
    let variant = format!(
        "qlinear conv {:?} in {} groups, {zero}",
        view.shape(),
        conv.groups
    );
    cx.shared(W, variant, bytes, || {
        let values = centred(view, |i| weights.of(i / k.max(1)).1)?;
        // Within ±255.
        let weight = |row, i| values[row * k + i] as i16;
        PackedInt8::for_conv(cx.isa(), conv, weight).map_err(kernel_error)
    })
}

struct Kernel {
    conv: Conv2d,
    activation: Activation,
    packed: Rc<PackedInt8>,
    results: Results,
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
        let depthwise = if groups > 1 && groups == in_channels {
            " depthwise"
        } else {
            ""
        };
        format!("int8{depthwise} conv {h}x{w}/{sh}x{sw}")
    }

    fn scratch_len(&self) -> usize {
        self.scratch
    }

    fn reads(&self, input: usize) -> bool {
        input == X
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let x = self.activation.data(cx)?;
        let (y, scratch) = (cx.bytes_mut(0)?, cx.scratch());
        let results = self.results.view();
        qconv2d(cx.ctx(), &self.conv, x, &self.packed, &results, y, scratch).map_err(kernel_error)
    }
}
