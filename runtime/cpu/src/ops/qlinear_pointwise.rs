//! Sums, products, means and tables of eight-bit tensors.

use super::qlinear::{Activation, Results, quantisation};
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, ValueType, kernel_error};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use sanderling_core::OpError;
use sanderling_core::ops::common::qlinear::result;
use sanderling_core::ops::common::requantise::{Addition, Multiplier};
use sanderling_core::ops::qlinear_global_average_pool::channels_last;
use sanderling_kernels::{Pair, broadcast_strides, lookup, qmean, qpair};

const MICROSOFT: &str = "com.microsoft";

/// From the scales of a, b and y: what is computed, and the multiplier behind it.
type Make = fn(f32, f32, f32) -> Result<(Pair, Multiplier), OpError>;

/// `QLinearAdd` and `QLinearMul`.
pub(super) struct Pairwise {
    name: &'static str,
    make: Make,
}

pub(super) const Q_LINEAR_ADD: Pairwise = Pairwise {
    name: "QLinearAdd",
    make: |a, b, y| {
        let sum = Addition::new(a, b, y)?;
        let pair = Pair::Add {
            first: sum.a,
            second: sum.b,
        };
        Ok((pair, sum.multiplier))
    },
};
pub(super) const Q_LINEAR_MUL: Pairwise = Pairwise {
    name: "QLinearMul",
    make: |a, b, y| Ok((Pair::Mul, Multiplier::of_product(a, b, y)?)),
};

impl CpuOp for Pairwise {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let known = (
            Activation::new(cx, 0)?,
            Activation::new(cx, 3)?,
            quantisation(cx, result(6))?,
        );
        let (Some(a), Some(b), Some(y)) = known else {
            return Ok(Choice::Reference);
        };
        let (scale_y, zero_y) = y.single()?;
        let (op, multiplier) = (self.make)(a.scale, b.scale, scale_y)?;
        let shape = cx.output(0)?.shape.clone();
        let strides = |ty: &ValueType| -> Result<Box<[usize]>, OpError> {
            let mut strides = vec![0; shape.len()];
            broadcast_strides(&ty.shape, &shape, &mut strides).map_err(kernel_error)?;
            Ok(strides.into())
        };
        Choice::kernel(PairKernel {
            op,
            strides: [strides(cx.input(0)?)?, strides(cx.input(3)?)?],
            shape,
            operands: [a, b],
            results: Results::new(cx, zero_y, vec![0], vec![multiplier])?,
        })
    }
}

struct PairKernel {
    op: Pair,
    shape: Box<[usize]>,
    operands: [Activation; 2],
    strides: [Box<[usize]>; 2],
    results: Results,
}

impl CpuKernel for PairKernel {
    fn describe(&self) -> String {
        match self.op {
            Pair::Add { .. } => String::from("int8 add"),
            Pair::Mul => String::from("int8 mul"),
        }
    }

    fn reads(&self, input: usize) -> bool {
        input == 0 || input == 3
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let [a, b] = &self.operands;
        let (a, b) = ((a.data(cx)?, &*self.strides[0]), (b.data(cx)?, &*self.strides[1]));
        let y = cx.bytes_mut(0)?;
        qpair(cx.ctx(), self.op, &self.shape, a, b, &self.results.view(), y).map_err(kernel_error)
    }
}

/// `QLinearGlobalAveragePool` of channels before pixels.
pub(super) struct QLinearGlobalAveragePool;

impl CpuOp for QLinearGlobalAveragePool {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "QLinearGlobalAveragePool"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (Some(x), Some(y)) = (Activation::new(cx, 0)?, quantisation(cx, result(3))?) else {
            return Ok(Choice::Reference);
        };
        if channels_last(cx.attrs())? {
            return Ok(Choice::Reference);
        }
        let (scale_y, zero_y) = y.single()?;
        let shape = &cx.input(0)?.shape;
        let (planes, len) = (shape[..2].iter().product(), shape[2..].iter().product());
        let multiplier = Multiplier::of_mean(x.scale, scale_y, len)?;
        Choice::kernel(Mean {
            planes,
            len,
            x,
            results: Results::new(cx, zero_y, vec![0], vec![multiplier])?,
        })
    }
}

struct Mean {
    planes: usize,
    len: usize,
    x: Activation,
    results: Results,
}

impl CpuKernel for Mean {
    fn describe(&self) -> String {
        format!("int8 mean of {}x{}", self.planes, self.len)
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let x = self.x.data(cx)?;
        let y = cx.bytes_mut(0)?;
        qmean(cx.ctx(), self.planes, self.len, x, &self.results.view(), y).map_err(kernel_error)
    }
}

/// Our `LookupTable`.
pub(super) struct LookupTable;

impl CpuOp for LookupTable {
    fn domain(&self) -> &'static str {
        sanderling_core::ops::common::SANDERLING
    }

    fn name(&self) -> &'static str {
        "LookupTable"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        if cx.input(1)?.len() != 256 {
            return Ok(Choice::Reference);
        }
        Choice::kernel(Lookup)
    }
}

struct Lookup;

impl CpuKernel for Lookup {
    fn describe(&self) -> String {
        String::from("int8 table")
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, table) = (cx.input(0)?.bytes(), cx.input(1)?.bytes());
        lookup(cx.ctx(), x, table, cx.bytes_mut(0)?).map_err(kernel_error)
    }
}
