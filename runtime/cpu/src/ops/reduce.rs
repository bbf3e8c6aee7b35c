//! Reductions over axes that lie side by side, and pooling of whole planes.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::axes::normalise;
use sanderling_kernels::{Axis, reduce};

/// Which axes are reduced.
enum Over {
    /// Those of attribute or input.
    Axes,
    /// Everything behind the channels.
    Planes,
}

pub(super) struct Reduce {
    name: &'static str,
    function: sanderling_kernels::Reduce,
    over: Over,
}

macro_rules! reductions {
    ($($row:ident = $name:literal, $function:ident;)*) => {
        $(pub(super) const $row: Reduce =
            Reduce { name: $name, function: sanderling_kernels::Reduce::$function, over: Over::Axes };)*
    };
}

reductions! {
    REDUCE_L1 = "ReduceL1", L1;
    REDUCE_L2 = "ReduceL2", L2;
    REDUCE_LOG_SUM = "ReduceLogSum", LogSum;
    REDUCE_LOG_SUM_EXP = "ReduceLogSumExp", LogSumExp;
    REDUCE_MAX = "ReduceMax", Max;
    REDUCE_MEAN = "ReduceMean", Mean;
    REDUCE_MIN = "ReduceMin", Min;
    REDUCE_PROD = "ReduceProd", Prod;
    REDUCE_SUM = "ReduceSum", Sum;
    REDUCE_SUM_SQUARE = "ReduceSumSquare", SumSquare;
}

pub(super) const GLOBAL_AVERAGE_POOL: Reduce = Reduce {
    name: "GlobalAveragePool",
    function: sanderling_kernels::Reduce::Mean,
    over: Over::Planes,
};
pub(super) const GLOBAL_MAX_POOL: Reduce = Reduce {
    name: "GlobalMaxPool",
    function: sanderling_kernels::Reduce::Max,
    over: Over::Planes,
};

impl CpuOp for Reduce {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        if x.dtype != DType::F32 {
            return Ok(Choice::Reference);
        }
        let Some(axes) = self.axes(cx, x.shape.len())? else {
            return Ok(Choice::Reference);
        };
        if axes.is_empty() && self.function == sanderling_kernels::Reduce::Sum {
            return Ok(Choice::Alias);
        }
        match side_by_side(&x.shape, &axes) {
            Some(axis) if !axes.is_empty() => Choice::kernel(Kernel {
                function: self.function,
                axis,
            }),
            _ => Ok(Choice::Reference),
        }
    }
}

impl Reduce {
    /// Sorted; none where only a run knows them.
    fn axes(&self, cx: &PrepareCx<'_>, rank: usize) -> Result<Option<Vec<usize>>, OpError> {
        if matches!(self.over, Over::Planes) {
            return Ok(Some((2..rank).collect()));
        }
        let list = match cx.optional(1) {
            Some(_) => match cx.ints(1) {
                Some(list) => list,
                None => return Ok(None),
            },
            None => cx
                .attrs()
                .ints("axes")?
                .map(|list| list.to_vec())
                .unwrap_or_default(),
        };
        if list.is_empty() && cx.attrs().int_or("noop_with_empty_axes", 0)? == 0 {
            return Ok(Some((0..rank).collect()));
        }
        normalise(&list, rank).map(Some)
    }
}

/// The axes as one, where nothing but axes of one element lies between them.
fn side_by_side(shape: &[usize], axes: &[usize]) -> Option<Axis> {
    let (first, last) = (*axes.first()?, *axes.last()?);
    let between = (first..=last).all(|axis| axes.contains(&axis) || shape[axis] == 1);
    between.then(|| Axis {
        outer: shape[..first].iter().product(),
        len: shape[first..=last].iter().product(),
        inner: shape[last + 1..].iter().product(),
    })
}

struct Kernel {
    function: sanderling_kernels::Reduce,
    axis: Axis,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        let Axis { outer, len, inner } = self.axis;
        format!("{:?} of {outer}x{len}x{inner}", self.function)
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        reduce(cx.ctx(), self.function, self.axis, cx.slice(0)?, cx.slice_mut(0)?).map_err(kernel_error)
    }
}
