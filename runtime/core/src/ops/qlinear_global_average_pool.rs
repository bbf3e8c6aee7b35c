//! The mean of each channel of an eight-bit tensor. onnxruntime `com.microsoft` `QLinearGlobalAveragePool` 1.
//! Arithmetic: docs/numerics.md.

use super::common::MICROSOFT;
use super::common::qlinear::{self, Operand, operand, result};
use super::common::requantise::{Multiplier, Requantise};
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use core::ops::RangeInclusive;

const X: Operand = operand(0);
const Y: Operand = result(3);

/// onnxruntime's `QLinearGlobalAveragePool`.
pub struct QLinearGlobalAveragePool;

/// Whether channels are the last axis instead of the second.
///
/// # Errors
/// [`OpError::Attribute`] for an attribute of another kind.
pub fn channels_last(attrs: Attrs<'_>) -> Result<bool, OpError> {
    Ok(attrs.int_or("channels_last", 0)? != 0)
}

impl Operator for QLinearGlobalAveragePool {
    fn domain(&self) -> &'static str {
        MICROSOFT
    }

    fn name(&self) -> &'static str {
        "QLinearGlobalAveragePool"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (x, y) = (X.check(cx)?, Y.check(cx)?);
        if x.rank() < 3 {
            return Err(OpError::shape(alloc::format!(
                "the input is {x}; it has a batch, channels and at least one spatial axis"
            )));
        }
        let kept = if channels_last(cx.attrs())? {
            x.rank() - 1
        } else {
            1
        };
        let one = |(axis, dim): (usize, &Dim)| {
            if axis == 0 || axis == kept {
                dim.clone()
            } else {
                Dim::from(1usize)
            }
        };
        let shape = x.shape.iter().enumerate().map(one).collect();
        cx.set_output(0, y.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (x, scale_x) = X.centred(cx)?;
        let (scale_y, zero_y) = Y.quantisation(cx)?.single()?;
        let last = channels_last(cx.attrs)?;
        let shape = x.shape();
        let channels = shape[if last { shape.len() - 1 } else { 1 }];
        let spatial = if last {
            &shape[1..shape.len() - 1]
        } else {
            &shape[2..]
        };
        let n: usize = spatial.iter().product();
        let multiplier = Multiplier::of_mean(scale_x, scale_y, n)?;
        let x = x.view();
        let x = x.as_slice::<i32>()?;
        let mut out = cx.output()?;
        let output = Requantise::to(out.as_view().dtype(), zero_y)?;
        // Where the elements of a channel start, and how far apart they are.
        let (behind, step) = if last { (1, channels) } else { (n, 1) };
        let sum = |plane: usize| -> i32 {
            let start = plane / channels * channels * n + plane % channels * behind;
            (0..n).map(|i| x[start + i * step]).sum()
        };
        let planes = shape[0] * channels;
        qlinear::store(
            &mut out,
            (0..planes).map(|plane| output.apply(sum(plane), multiplier)),
        );
        Ok(())
    }
}
