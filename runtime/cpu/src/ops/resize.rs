//! Resampling of the last two axes: nearest of any type, linear of floats.

use super::by_size;
use crate::op::{Choice, CpuKernel, CpuOp, PrepareCx, RunCx, kernel_error};
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::DType;
use sanderling_core::OpError;
use sanderling_core::ops::common::resize::{Filter, Resample};
use sanderling_core::ops::resize::plan;
use sanderling_kernels::{Tap, resize_linear, resize_nearest};

pub(super) struct Resize;

impl CpuOp for Resize {
    fn name(&self) -> &'static str {
        "Resize"
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let x = cx.input(0)?;
        let known = (1..cx.input_count()).all(|i| cx.optional(i).is_none() || cx.constant(i).is_some());
        if !known || !matches!(x.dtype.bits(), 8 | 16 | 32 | 64) {
            return Ok(Choice::Reference);
        }
        let inputs: Vec<_> = (0..cx.input_count()).map(|i| cx.constant(i)).collect();
        let resamples = plan(cx.attrs(), cx.opset(), &x.shape, &inputs)?;
        let Some((planes, [rows, cols])) = last_two(&resamples) else {
            return Ok(Choice::Reference);
        };
        let planes = x.shape[..planes].iter().product();
        let image = [rows.input, cols.input];
        let tables = match rows.filter {
            Filter::Nearest(_) => nearest(rows)
                .zip(nearest(cols))
                .map(|(r, c)| Tables::Nearest(r, c)),
            Filter::Linear if x.dtype == DType::F32 => {
                linear(rows).zip(linear(cols)).map(|(r, c)| Tables::Linear(r, c))
            }
            _ => None,
        };
        match tables {
            Some(tables) => Choice::kernel(Kernel {
                bits: x.dtype.bits(),
                planes,
                image,
                tables,
            }),
            None => Ok(Choice::Reference),
        }
    }
}

/// The last two axes, and how many there are before them, where those stay.
fn last_two(resamples: &[Resample]) -> Option<(usize, [&Resample; 2])> {
    let (before, [rows, cols]) = resamples.split_last_chunk::<2>()?;
    before
        .iter()
        .all(Resample::is_identity)
        .then_some((before.len(), [rows, cols]))
}

/// The input of each output; none where one lies outside.
fn nearest(axis: &Resample) -> Option<Vec<u32>> {
    let Filter::Nearest(rounding) = axis.filter else {
        return None;
    };
    if axis.is_identity() {
        return (0..axis.input).map(|i| u32::try_from(i).ok()).collect();
    }
    axis.nearest(rounding)
        .into_iter()
        .map(|at| u32::try_from(at?).ok())
        .collect()
}

/// The two inputs of each output; none for a filter of more taps, as antialiasing makes them.
fn linear(axis: &Resample) -> Option<Vec<Tap>> {
    let index = |i: usize| u32::try_from(i).ok();
    if axis.is_identity() {
        return (0..axis.input)
            .map(|i| {
                Some(Tap {
                    lo: index(i)?,
                    hi: index(i)?,
                    t: 0.0,
                })
            })
            .collect();
    }
    let tap = |taps: Option<Vec<(usize, f32)>>| {
        let taps: Vec<(usize, f32)> = taps?.into_iter().filter(|&(_, weight)| weight != 0.0).collect();
        match taps[..] {
            [(at, 1.0)] => Some(Tap {
                lo: index(at)?,
                hi: index(at)?,
                t: 0.0,
            }),
            [(lo, a), (hi, t)] if (a + t - 1.0).abs() < 1e-6 => Some(Tap {
                lo: index(lo)?,
                hi: index(hi)?,
                t,
            }),
            _ => None,
        }
    };
    axis.taps().into_iter().map(tap).collect()
}

enum Tables {
    Nearest(Vec<u32>, Vec<u32>),
    Linear(Vec<Tap>, Vec<Tap>),
}

struct Kernel {
    bits: usize,
    planes: usize,
    image: [usize; 2],
    tables: Tables,
}

impl CpuKernel for Kernel {
    fn describe(&self) -> String {
        String::from(match self.tables {
            Tables::Nearest(..) => "nearest",
            Tables::Linear(..) => "linear",
        })
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let misfit = |_: bytemuck::PodCastError| OpError::shape("the bytes are not whole elements");
        match &self.tables {
            Tables::Linear(rows, cols) => {
                let (x, y) = (cx.slice(0)?, cx.slice_mut(0)?);
                resize_linear(cx.ctx(), self.planes, self.image, x, rows, cols, y).map_err(kernel_error)
            }
            Tables::Nearest(rows, cols) => {
                let (x, y) = (cx.input(0)?.bytes(), cx.bytes_mut(0)?);
                by_size!(self.bits, T => {
                    let x: &[T] = bytemuck::try_cast_slice(x).map_err(misfit)?;
                    let y: &mut [T] = bytemuck::try_cast_slice_mut(y).map_err(misfit)?;
                    resize_nearest(self.planes, self.image, x, rows, cols, y).map_err(kernel_error)
                })
            }
        }
    }
}
