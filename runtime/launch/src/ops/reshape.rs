//! The same elements under another shape: `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`, `Identity`.

use super::LaunchOp;
use crate::layout::Layout;
use crate::lower::Lowering;
use crate::node::Seen;
use sanderling_core::OpError;

pub(super) struct Reshape;

impl LaunchOp for Reshape {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        let few = |shape: Option<alloc::vec::Vec<usize>>| shape.is_some_and(|shape| shape.len() <= 5);
        few(seen.bytes(0)) && few(seen.output_bytes())
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let x_shape = lowering.shape(x)?;
        let x_layout = lowering
            .layout(x)
            .cloned()
            .unwrap_or_else(|| Layout::usual(&x_shape));
        let y_layout = Layout::usual(&lowering.shape(y)?);
        let ([x0, x1, x2, x3, x4], x_axis) = five(&x_layout);
        let ([y0, y1, y2, y3, y4], y_axis) = five(&y_layout);
        let params = crate::kernel::Reshape {
            x: 0,
            y: 0,
            words: y_layout.words() as u32,
            x_axis,
            y_axis,
            x0,
            x1,
            x2,
            x3,
            x4,
            y0,
            y1,
            y2,
            y3,
            y4,
        };
        let threads = y_layout.words();
        let places = [lowering.operand(x, &x_layout)?, lowering.result(y, y_layout)];
        lowering.launch(threads, &places, &params);
        Ok(())
    }
}

/// Five axes, leading ones added, and which is packed.
fn five(layout: &Layout) -> ([u32; 5], u32) {
    let pad = 5 - layout.shape().len().min(5);
    let mut dims = [1; 5];
    for (dim, &size) in dims[pad..].iter_mut().zip(layout.shape()) {
        *dim = size as u32;
    }
    (dims, (layout.axis() + pad) as u32)
}
