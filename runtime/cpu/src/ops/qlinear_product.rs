//! Products of eight-bit matrices with constant weights: `QLinearMatMul` and onnxruntime's `QGemm`.

use super::qlinear::{Activation, Results, quantisation};
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::ops::common::qlinear::{Quantisation, centred, operand, result};
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_core::ops::gemm::transposes;
use sanderling_kernels::{PackedInt8, qproduct};

pub(super) struct Product {
    domain: &'static str,
    name: &'static str,
    /// Position of the bias, and of the result's scale.
    bias: Option<usize>,
    scale_y: usize,
}

pub(super) const Q_LINEAR_MAT_MUL: Product = Product {
    domain: "",
    name: "QLinearMatMul",
    bias: None,
    scale_y: 6,
};
pub(super) const Q_GEMM: Product = Product {
    domain: "com.microsoft",
    name: "QGemm",
    bias: Some(6),
    scale_y: 7,
};

/// Input positions; scales and zero points follow their tensors.
const A: usize = 0;
const B: usize = 3;

impl CpuOp for Product {
    fn domain(&self) -> &'static str {
        self.domain
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (a, b) = (cx.input(A)?, cx.input(B)?);
        let (turned_a, turned_b) = transposes(cx.attrs())?;
        let known = (
            Activation::new(cx, A)?,
            quantisation(cx, operand(B))?,
            quantisation(cx, result(self.scale_y))?,
        );
        let (Some(activation), Some(weights), Some(y)) = known else {
            return Ok(Choice::Reference);
        };
        let &[b0, b1] = &b.shape[..] else {
            return Ok(Choice::Reference);
        };
        let (k, channels) = if turned_b { (b1, b0) } else { (b0, b1) };
        if turned_a || cx.constant(B).is_none() || a.shape.last() != Some(&k) || k == 0 {
            return Ok(Choice::Reference);
        }
        let Some(bias) = self.bias(cx, channels)? else {
            return Ok(Choice::Reference);
        };
        let weights = weights.fit(channels)?;
        let (scale_y, zero_y) = y.single()?;
        let multipliers = (0..channels)
            .map(|channel| Multiplier::of_product(activation.scale, weights.of(channel).0, scale_y))
            .collect::<Result<Vec<_>, _>>()?;
        let packed = pack(cx, (k, channels), turned_b, &weights)?;
        let starts = packed.starts(Some(&bias), activation.zero, activation.bytes);
        Choice::kernel(Kernel {
            rows: a.len() / k,
            results: Results::new(cx, zero_y, starts, multipliers)?,
            activation,
            packed,
            sizes: (k, channels),
        })
    }
}

impl Product {
    /// The bias of each channel; none where it differs by row or a run computes it.
    fn bias(&self, cx: &PrepareCx<'_>, channels: usize) -> Result<Option<Vec<i32>>, OpError> {
        let Some(index) = self.bias.filter(|&index| cx.optional(index).is_some()) else {
            return Ok(Some(alloc::vec![0; channels]));
        };
        let Some(view) = cx.constant(index) else {
            return Ok(None);
        };
        let along_columns = view.shape().last().copied().unwrap_or(1) == view.len();
        Ok(match view.as_slice::<i32>()? {
            [one] => Some(alloc::vec![*one; channels]),
            all if along_columns && all.len() == channels => Some(all.to_vec()),
            _ => None,
        })
    }
}

/// Weights less their zero points, packed by output channel.
fn pack(
    cx: &PrepareCx<'_>,
    (k, channels): (usize, usize),
    turned: bool,
    weights: &Quantisation,
) -> Result<Rc<PackedInt8>, OpError> {
    let view = cx.constant(B).ok_or(OpError::NotConstant { index: B })?;
    let zero = cx.content(B + 2);
    let variant = format!("qlinear product {k}x{channels}, turned {turned}, {zero}");
    cx.shared(B, variant, PackedInt8::bytes_of(1, channels, k), || {
        let channel = |i: usize| if turned { i / k } else { i % channels };
        let values = centred(view, |i| weights.of(channel(i)).1)?;
        let at = |row: usize, i: usize| if turned { row * k + i } else { i * channels + row };
        // Within ±255.
        PackedInt8::new(1, channels, k, |row, i| values[at(row, i)] as i16).map_err(kernel_error)
    })
}

struct Kernel {
    rows: usize,
    sizes: (usize, usize),
    activation: Activation,
    packed: Rc<PackedInt8>,
    results: Results,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let (k, channels) = self.sizes;
        format!("int8 product {}x{k}x{channels}", self.rows)
    }

    fn reads(&self, input: usize) -> bool {
        input == A
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let x = self.activation.data(cx)?;
        let y = cx.bytes_mut(0)?;
        qproduct(cx.ctx(), self.rows, x, &self.packed, &self.results.view(), y).map_err(kernel_error)
    }
}
