//! Joining along an axis: rows of bytes.

use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx};
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::shape::normalise_axis;

pub(super) struct Concat;

impl CpuOp for Concat {
    fn name(&self) -> &'static str {
        "Concat"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let output = cx.output(0)?;
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", 1)?, output.shape.len())?;
        if !output.dtype.bits().is_multiple_of(8) || output.dtype.bits() == 0 {
            return Ok(Choice::Reference);
        }
        if cx.input_count() == 1 {
            return Ok(Choice::Alias);
        }
        let size = output.dtype.bits() / 8;
        let row = |shape: &[usize]| size * shape[axis..].iter().product::<usize>();
        let parts = (0..cx.input_count()).map(|i| Ok(row(&cx.input(i)?.shape)));
        Choice::kernel(Kernel {
            row: row(&output.shape),
            parts: parts.collect::<Result<_, OpError>>()?,
        })
    }
}

struct Kernel {
    /// Bytes of the output from one row to the next.
    row: usize,
    /// Bytes that each input has in a row.
    parts: Vec<usize>,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        String::from("join")
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let y = cx.bytes_mut(0)?;
        let mut at = 0;
        for (input, &part) in self.parts.iter().enumerate() {
            if part == 0 || self.row == 0 {
                continue;
            }
            let x = cx.input(input)?.bytes();
            for (row, part) in y.chunks_exact_mut(self.row).zip(x.chunks_exact(part)) {
                row[at..at + part.len()].copy_from_slice(part);
            }
            at += part;
        }
        Ok(())
    }
}
