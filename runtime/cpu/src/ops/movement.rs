//! Operators that move elements of any type: Transpose, Slice, Expand.

use super::by_size;
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, ValueType, kernel_error};
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::ops::common::slicing::Spec;
use sanderling_core::ops::transpose::permutation;
use sanderling_core::shape::strides;
use sanderling_kernels::{broadcast_strides, strided_copy, transpose};

fn movable(ty: &ValueType) -> bool {
    matches!(ty.dtype.bits(), 8 | 16 | 32 | 64)
}

fn misfit(_: bytemuck::PodCastError) -> OpError {
    OpError::shape("the bytes are not whole elements")
}

pub(super) struct Transpose;

impl CpuOp for Transpose {
    fn name(&self) -> &'static str {
        "Transpose"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        if !movable(x) {
            return Ok(Choice::Reference);
        }
        let perm = permutation(cx.attrs(), x.shape.len())?;
        // Axes of one element may go anywhere: memory stays as it is.
        let moved: Vec<usize> = perm.iter().copied().filter(|&axis| x.shape[axis] != 1).collect();
        if moved.is_sorted() {
            return Ok(Choice::Alias);
        }
        Choice::kernel(TransposeKernel {
            bits: x.dtype.bits(),
            shape: x.shape.clone(),
            perm,
        })
    }
}

struct TransposeKernel {
    bits: usize,
    shape: Box<[usize]>,
    perm: Vec<usize>,
}

impl CpuKernel for TransposeKernel {
    fn describe(&self) -> String {
        alloc::format!("transpose {:?}", self.perm)
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y) = (cx.input(0)?.bytes(), cx.bytes_mut(0)?);
        by_size!(self.bits, T => {
            let x: &[T] = bytemuck::try_cast_slice(x).map_err(misfit)?;
            let y: &mut [T] = bytemuck::try_cast_slice_mut(y).map_err(misfit)?;
            transpose(x, &self.shape, &self.perm, y).map_err(kernel_error)
        })
    }
}

pub(super) struct Expand;

impl CpuOp for Expand {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        if x.bytes == y.bytes {
            return Ok(Choice::Alias);
        }
        if !movable(x) {
            return Ok(Choice::Reference);
        }
        let mut from = alloc::vec![0; y.shape.len()];
        broadcast_strides(&x.shape, &y.shape, &mut from).map_err(kernel_error)?;
        let strides = from.into_iter().map(|stride| stride as isize).collect();
        Choice::kernel(Strided {
            what: "expand",
            bits: x.dtype.bits(),
            offset: 0,
            shape: y.shape.clone(),
            strides,
        })
    }
}

pub(super) struct Slice;

impl CpuOp for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, y) = (cx.input(0)?, cx.output(0)?);
        let list = |index: usize, name: &str| -> Result<Option<Vec<i64>>, OpError> {
            match cx.optional(index) {
                Some(_) => cx.ints(index).map(Some).ok_or(OpError::NotConstant { index }),
                None => Ok(cx.attrs().ints(name)?.map(|list| list.to_vec())),
            }
        };
        let lists = (list(1, "starts")?, list(2, "ends")?);
        let (Some(starts), Some(ends), true) = (lists.0, lists.1, movable(x)) else {
            return Ok(Choice::Reference);
        };
        let spec = Spec::new(starts, ends, list(3, "axes")?, list(4, "steps")?, x.shape.len())?;
        let mut from: Vec<isize> = strides(&x.shape)
            .into_iter()
            .map(|stride| stride as isize)
            .collect();
        let mut offset = 0isize;
        for (i, &axis) in spec.axes.iter().enumerate() {
            let cut = spec.cut(i, x.shape[axis]);
            if cut.len > 0 {
                offset += cut.start as isize * from[axis];
            }
            from[axis] *= cut.step as isize;
        }
        if x.shape == y.shape && spec.steps.iter().all(|&step| step == 1) {
            return Ok(Choice::Alias);
        }
        let offset =
            usize::try_from(offset).map_err(|_| OpError::shape("the slice begins before its input"))?;
        Choice::kernel(Strided {
            what: "slice",
            bits: x.dtype.bits(),
            offset,
            shape: y.shape.clone(),
            strides: from,
        })
    }
}

/// A copy out of a strided view.
struct Strided {
    what: &'static str,
    bits: usize,
    offset: usize,
    shape: Box<[usize]>,
    strides: Vec<isize>,
}

impl CpuKernel for Strided {
    fn describe(&self) -> String {
        String::from(self.what)
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y) = (cx.input(0)?.bytes(), cx.bytes_mut(0)?);
        by_size!(self.bits, T => {
            let x: &[T] = bytemuck::try_cast_slice(x).map_err(misfit)?;
            let y: &mut [T] = bytemuck::try_cast_slice_mut(y).map_err(misfit)?;
            strided_copy(x, self.offset, &self.shape, &self.strides, y).map_err(kernel_error)
        })
    }
}
