//! Normalisations: BatchNormalization at inference, LayerNormalization, and DequantizeLinear of what was not packed.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::shape::normalise_axis;
use sanderling_kernels::{Unary, layer_norm, scale_shift};

pub(super) struct BatchNormalization;

impl CpuOp for BatchNormalization {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        let known = (1..5).all(|i| cx.constant(i).is_some());
        let training = cx.attrs().int_or("training_mode", 0)? != 0 || cx.opset() < 9;
        if !cx.all(DType::F32) || !known || training || cx.output_count() != 1 || x.shape.len() < 2 {
            return Ok(Choice::Reference);
        }
        let list = |i: usize| {
            cx.constant(i)
                .ok_or(OpError::NotConstant { index: i })?
                .as_slice::<f32>()
        };
        let (gamma, beta, mean, variance) = (list(1)?, list(2)?, list(3)?, list(4)?);
        let epsilon = f64::from(cx.attrs().float_or("epsilon", 1e-5)?);
        let channels = x.shape[1];
        if [gamma, beta, mean, variance]
            .iter()
            .any(|list| list.len() != channels)
        {
            return Err(OpError::shape(
                "scale, shift, mean and variance must have one element for each channel",
            ));
        }
        // In binary64 and rounded once, as the compiler folds it.
        let scales: Vec<f64> = gamma
            .iter()
            .zip(variance)
            .map(|(&g, &v)| f64::from(g) / libm::sqrt(f64::from(v) + epsilon))
            .collect();
        let shift = (0..channels)
            .map(|c| (f64::from(beta[c]) - f64::from(mean[c]) * scales[c]) as f32)
            .collect();
        Choice::kernel(ScaleShift {
            dims: [x.shape[0], channels, x.shape[2..].iter().product()],
            scale: scales.iter().map(|&s| s as f32).collect(),
            shift,
            act: None,
        })
    }
}

struct ScaleShift {
    dims: [usize; 3],
    scale: Vec<f32>,
    shift: Vec<f32>,
    act: Option<Unary>,
}

impl CpuKernel for ScaleShift {
    fn describe(&self) -> String {
        String::from("scale and shift")
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn fuse(&mut self, next: Unary) -> bool {
        let free = self.act.is_none();
        self.act = self.act.or(Some(next));
        free
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y) = (cx.slice(0)?, cx.slice_mut(0)?);
        scale_shift(cx.ctx(), x, y, self.dims, &self.scale, &self.shift, self.act).map_err(kernel_error)
    }
}

pub(super) struct LayerNormalization;

impl CpuOp for LayerNormalization {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, scale) = (cx.input(0)?, cx.input(1)?);
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", -1)?, x.shape.len())?;
        let cols: usize = x.shape[axis..].iter().product();
        let whole = scale.len() == cols && cx.optional(2).is_none_or(|bias| bias.len() == cols);
        if !cx.all(DType::F32) || cx.output_count() != 1 || !whole {
            return Ok(Choice::Reference);
        }
        let eps = cx.attrs().float_or("epsilon", 1e-5)?;
        Choice::kernel(LayerNorm {
            rows: x.shape[..axis].iter().product(),
            cols,
            eps,
        })
    }
}

struct LayerNorm {
    rows: usize,
    cols: usize,
    eps: f32,
}

impl CpuKernel for LayerNorm {
    fn describe(&self) -> String {
        format!("layer norm of {} x {}", self.rows, self.cols)
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, scale, bias, y) = (
            cx.slice(0)?,
            cx.slice(1)?,
            cx.optional_slice(2)?,
            cx.slice_mut(0)?,
        );
        layer_norm(cx.ctx(), self.rows, self.cols, x, scale, bias, self.eps, y).map_err(kernel_error)
    }
}

/// Weights that a kernel packs from 8 bits never come here: nothing reads what this computes.
pub(super) struct DequantizeLinear;

impl CpuOp for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, scale) = (cx.input(0)?, cx.input(1)?);
        let floats = scale.dtype == DType::F32 && cx.output(0)?.dtype == DType::F32;
        let blocked = cx.attrs().int_or("block_size", 0)? != 0;
        let whole = cx.optional(2).is_none_or(|zero| zero.len() == scale.len());
        if !matches!(x.dtype, DType::I8 | DType::U8) || !floats || blocked || !whole || scale.shape.len() > 1
        {
            return Ok(Choice::Reference);
        }
        let one = scale.len() == 1;
        let axis = match one {
            true => 0,
            false => normalise_axis("axis", cx.attrs().int_or("axis", 1)?, x.shape.len())?,
        };
        let behind = if one {
            x.len()
        } else {
            x.shape[axis + 1..].iter().product()
        };
        Choice::kernel(Dequantize {
            signed: x.dtype == DType::I8,
            behind: behind.max(1),
        })
    }
}

struct Dequantize {
    signed: bool,
    /// Elements that one scale covers in a row.
    behind: usize,
}

impl CpuKernel for Dequantize {
    fn describe(&self) -> String {
        String::from("dequantise")
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, scales, y) = (cx.input(0)?.bytes(), cx.slice::<f32>(1)?, cx.slice_mut::<f32>(0)?);
        let zeros = cx.optional(2).map(|view| view.bytes());
        let widen = |byte: u8| {
            if self.signed {
                i32::from(byte as i8)
            } else {
                i32::from(byte)
            }
        };
        let rows = x.chunks(self.behind).zip(y.chunks_mut(self.behind));
        for ((x, y), i) in rows.zip((0..scales.len()).cycle()) {
            let zero = zeros
                .and_then(|zeros| zeros.get(i))
                .map_or(0, |&zero| widen(zero));
            y.iter_mut()
                .zip(x)
                .for_each(|(y, &x)| *y = (widen(x) - zero) as f32 * scales[i]);
        }
        Ok(())
    }
}
