//! Gather: rows by index, of plain tensors and of 8-bit tables that are dequantised row by row.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx};
use alloc::format;
use alloc::string::String;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::gather::index;
use sanderling_core::shape::normalise_axis;

pub(super) struct Gather;

impl CpuOp for Gather {
    fn name(&self) -> &'static str {
        "Gather"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let (x, indices) = (cx.input(0)?, cx.input(1)?);
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 0)?, x.shape.len())?;
        let ours = matches!(indices.dtype, DType::I32 | DType::I64);
        if !ours || !x.dtype.bits().is_multiple_of(8) || x.dtype.bits() == 0 {
            return Ok(Choice::Reference);
        }
        let behind: usize = x.shape[axis + 1..].iter().product();
        Choice::kernel(Kernel {
            len: x.shape[axis],
            row: behind * x.dtype.bits() / 8,
            indices: indices.dtype,
        })
    }
}

struct Kernel {
    /// Elements along the axis.
    len: usize,
    /// Bytes behind one index.
    row: usize,
    indices: DType,
}

impl Kernel {
    fn gather(
        &self,
        x: &[u8],
        y: &mut [u8],
        indices: impl ExactSizeIterator<Item = i64> + Clone,
    ) -> Result<(), OpError> {
        let (row, count) = (self.row, indices.len());
        if row == 0 || count == 0 || self.len == 0 {
            return Ok(());
        }
        for (x, y) in x
            .chunks_exact(row * self.len)
            .zip(y.chunks_exact_mut(row * count))
        {
            for (y, i) in y.chunks_exact_mut(row).zip(indices.clone()) {
                y.copy_from_slice(&x[index(i, self.len)? * row..][..row]);
            }
        }
        Ok(())
    }
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        format!("rows of {} bytes", self.row)
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let (x, y) = (cx.input(0)?.bytes(), cx.bytes_mut(0)?);
        match self.indices {
            DType::I32 => self.gather(x, y, cx.slice::<i32>(1)?.iter().map(|&i| i64::from(i))),
            _ => self.gather(x, y, cx.slice::<i64>(1)?.iter().copied()),
        }
    }
}
