//! The greatest of each window, over one or two axes of eight-bit tensors: `MaxPool`.

use super::{LaunchOp, Signed, dtype, fits_words};
use crate::layout::Layout;
use crate::lower::Lowering;
use crate::node::Seen;
use alloc::vec::Vec;
use sanderling_core::ops::common::window::{Axis, Window, spatial};
use sanderling_core::{Attrs, OpError};

pub(super) struct MaxPool;

fn axes(attrs: Attrs<'_>, shape: &[usize]) -> Result<Vec<Axis>, OpError> {
    let sizes = spatial(shape)?;
    Window::new(attrs, sizes.len(), None)?.axes(sizes)
}

/// Whether each window meets the input: what one that does not gives, the kernel does not know. Where the kernel's elements
/// are no further apart than the input is long they cannot step over it, so the first and the last window tell.
fn meets(axis: &Axis) -> bool {
    let first_end = (axis.kernel as i64 - 1) * axis.dilation as i64 - axis.pad_begin;
    let last_begin = (axis.output as i64 - 1) * axis.stride as i64 - axis.pad_begin;
    axis.dilation <= axis.input && first_end >= 0 && last_begin < axis.input as i64
}

impl LaunchOp for MaxPool {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        let (Some(x), Some(_)) = (seen.bytes(0), seen.output_bytes()) else {
            return false;
        };
        matches!(x.len(), 3 | 4)
            && axes(seen.attrs(), &x)
                .is_ok_and(|axes| axes.iter().all(|axis| fits_words(axis) && meets(axis)))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let shape = lowering.shape(x)?;
        let axes = axes(lowering.node().attrs(), &shape)?;
        let row = Axis {
            input: 1,
            output: 1,
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad_begin: 0,
            pad_end: 0,
        };
        let [h, w] = match axes[..] {
            [h, w] => [h, w],
            [w] => [row, w],
            _ => return Err(OpError::unsupported("a window of more than two axes")),
        };
        let layout = Layout::channels(&shape);
        let result = Layout::channels(&lowering.shape(y)?);
        let params = crate::kernel::MaxPool {
            x: 0,
            y: 0,
            batch: shape[0] as u32,
            in_h: h.input as u32,
            in_w: w.input as u32,
            channels: layout.packed() as u32,
            out_h: h.output as u32,
            out_w: w.output as u32,
            kernel_h: h.kernel as u32,
            kernel_w: w.kernel as u32,
            stride_h: h.stride as u32,
            stride_w: w.stride as u32,
            pad_h: h.pad_begin as u32,
            pad_w: w.pad_begin as u32,
            dilation_h: h.dilation as u32,
            dilation_w: w.dilation as u32,
            flip: Signed::new(dtype(lowering, x)?, 0).flip,
        };
        let threads = result.words();
        let places = [lowering.operand(x, &layout)?, lowering.result(y, result)];
        lowering.launch(threads, &places, &params);
        Ok(())
    }
}
