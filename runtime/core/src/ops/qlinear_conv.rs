//! Convolution of eight-bit tensors. ONNX `QLinearConv` 10. Arithmetic: docs/numerics.md.

use super::common::conv::{Geometry, convolve, output_shape};
use super::common::qlinear::{self, Operand, operand, result};
use super::common::requantise::{Multiplier, Requantise};
use super::common::since;
use super::conv::check_bias;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

const X: Operand = operand(0);
const W: Operand = operand(3);
const Y: Operand = result(6);
const BIAS: usize = 8;

/// ONNX `QLinearConv`.
pub struct QLinearConv;

impl Operator for QLinearConv {
    fn name(&self) -> &'static str {
        "QLinearConv"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (x, w, y) = (X.check(cx)?, W.check(cx)?, Y.check(cx)?);
        if let Some(bias) = cx.optional(BIAS) {
            if bias.dtype != DType::I32 {
                return Err(OpError::InputType {
                    index: BIAS,
                    expected: "int32",
                    found: bias.dtype,
                });
            }
            check_bias(Some(&bias.shape), &w.shape[..1.min(w.rank())])?;
        }
        let shape = output_shape(cx.attrs(), x, w)?;
        cx.set_output(0, y.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (x, w) = (cx.input(0)?, cx.input(3)?);
        let geometry = Geometry::new(cx.attrs, x.shape(), w.shape())?;
        let channels = geometry.groups * geometry.group_outputs;
        let (input, scale_x) = X.centred(cx)?;
        let weights = W.quantisation(cx)?.fit(channels)?;
        let (scale_y, zero_y) = Y.quantisation(cx)?.single()?;
        let of_channel = (w.len() / channels.max(1)).max(1);
        let centred_weights = qlinear::centred(w, |i| weights.of(i / of_channel).1)?;
        let bias = cx.optional(BIAS).map(|bias| bias.as_slice::<i32>()).transpose()?;
        let multipliers = (0..channels)
            .map(|channel| Multiplier::of_product(scale_x, weights.of(channel).0, scale_y))
            .collect::<Result<Vec<_>, _>>()?;
        let mut out = cx.output()?;
        let mut sums = alloc::vec![0i32; out.as_view().len()];
        convolve(
            &geometry,
            input.view().as_slice()?,
            &centred_weights,
            bias,
            &mut sums,
        );
        let output = Requantise::to(out.as_view().dtype(), zero_y)?;
        let plane = geometry.window_len().max(1);
        let values = sums
            .iter()
            .enumerate()
            .map(|(i, &acc)| output.apply(acc, multipliers[i / plane % channels]));
        qlinear::store(&mut out, values);
        Ok(())
    }
}
