//! The mean of each channel: onnxruntime's `QLinearGlobalAveragePool`.

use super::{LaunchOp, MAX_RANK, Signed, dtype, results};
use crate::layout::Layout;
use crate::lower::Lowering;
use crate::node::Seen;
use sanderling_core::OpError;
use sanderling_core::ops::common::qlinear::{Operand, operand, result};
use sanderling_core::ops::common::requantise::Multiplier;

const X: Operand = operand(0);
const Y: Operand = result(3);

pub(super) struct Mean;

impl LaunchOp for Mean {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        seen.attrs().int_or("channels_last", 0) == Ok(0)
            && seen
                .bytes(0)
                .is_some_and(|shape| (3..=MAX_RANK).contains(&shape.len()))
            && seen.output_bytes().is_some()
            && seen.has_single_scale(X)
            && seen.has_single_scale(Y)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let (scale_x, zero_x) = lowering.quantisation(X)?.single()?;
        let (scale_y, zero_y) = lowering.quantisation(Y)?.single()?;
        let signed = Signed::new(dtype(lowering, x)?, zero_x);
        let shape = lowering.shape(x)?;
        let pixels: usize = shape[2..].iter().product();
        let [y_zero, y_least, y_most] = results(dtype(lowering, y)?, zero_y)?;
        let layout = Layout::channels(&shape);
        let params = crate::kernel::Mean {
            x: 0,
            y: 0,
            batch: shape[0] as u32,
            channels: layout.packed() as u32,
            pixels: pixels as u32,
            flip: signed.flip,
            x_zero: signed.zero as u32,
            multiplier: Multiplier::of_mean(scale_x, scale_y, pixels)?.get().to_bits(),
            y_zero,
            y_least,
            y_most,
        };
        let threads = shape[0] * layout.packed();
        let result = Layout::channels(&lowering.shape(y)?);
        let places = [lowering.operand(x, &layout)?, lowering.result(y, result)];
        lowering.launch(threads, &places, &params);
        Ok(())
    }
}
