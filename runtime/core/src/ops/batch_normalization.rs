//! Normalisation by known moments: (x − mean) · (scale ÷ √(variance + `epsilon`)) + bias, per channel.
//! ONNX `BatchNormalization` 1, 6, 7, 9, 14, 15.
//!
//! With `training_mode` (from opset 14) the moments are the batch's own, and outputs 1 and 2 are the running
//! moments moved towards them by `momentum`. Training of older opsets (`is_test = 0` before 7) and normalising
//! each activation by itself (`spatial = 0` before 9) are not supported.

use super::common::dtypes::{FLOATS, input_of, with_dtype};
use super::common::norm::moments;
use super::common::number::{Float, Number};
use super::common::since;
use super::common::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `BatchNormalization`.
pub struct BatchNormalization;

fn is_training(attrs: Attrs<'_>, opset: u16) -> Result<bool, OpError> {
    if opset < 9 && attrs.int_or("spatial", 1)? == 0 {
        return Err(OpError::unsupported("BatchNormalization with spatial = 0"));
    }
    if opset < 7 && attrs.int_or("is_test", 0)? == 0 {
        return Err(OpError::unsupported(
            "training by BatchNormalization before opset 14",
        ));
    }
    Ok(opset >= 14 && attrs.int_or("training_mode", 0)? != 0)
}

impl Operator for BatchNormalization {
    fn name(&self) -> &'static str {
        "BatchNormalization"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let training = is_training(cx.attrs(), cx.opset())?;
        let ty = input_of(cx, 0, FLOATS)?;
        let channels = ty.shape.get(1).cloned().unwrap_or(crate::Dim::Fixed(1));
        for index in 1..5 {
            let found = input_of(cx, index, FLOATS)?;
            let [len] = found.shape.as_slice() else {
                return Err(OpError::shape(alloc::format!(
                    "input {index} has rank {}, not 1",
                    found.rank()
                )));
            };
            super::common::dims::unify(len, &channels, "channels of BatchNormalization")?;
        }
        cx.set_output(0, ty.dtype, ty.shape.clone());
        if !training && (1..cx.output_count()).any(|_| cx.opset() >= 14) {
            return Err(OpError::unsupported(
                "running moments of BatchNormalization without training_mode",
            ));
        }
        for index in 1..cx.output_count() {
            let moment = cx.input(if index % 2 == 1 { 3 } else { 4 })?;
            cx.set_output(index, moment.dtype, moment.shape.clone());
        }
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let training = is_training(cx.attrs, cx.opset)?;
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => normalise::<F>(cx, training))
        })
    }
}

fn normalise<F: Float>(cx: &mut EvalCx<'_, '_>, training: bool) -> Result<(), OpError> {
    let epsilon = F::of(cx.attrs.float_or("epsilon", 1e-5)?);
    let input = cx.input(0)?;
    let x = input.as_slice::<F>()?;
    let per_channel = |index: usize| to_vec::<F>(cx, index);
    let (scale, bias) = (per_channel(1)?, per_channel(2)?);
    let (mut mean, mut variance) = (per_channel(3)?, per_channel(4)?);
    let channels = mean.len();
    let plane: usize = input.shape().get(2..).map_or(1, |rest| rest.iter().product());
    if training {
        let momentum = F::of(cx.attrs.float_or("momentum", 0.9)?);
        let own: Vec<(F, F)> = (0..channels)
            .map(|c| moments(&channel(x, channels, plane, c)))
            .collect();
        for (index, running, own) in [
            (1, &mean, own.iter().map(|m| m.0).collect::<Vec<_>>()),
            (2, &variance, own.iter().map(|m| m.1).collect::<Vec<_>>()),
        ] {
            if let Some(mut out) = cx.take_output(index) {
                let out = out.as_mut_slice::<F>()?;
                for ((o, &running), &own) in out.iter_mut().zip(running).zip(&own) {
                    *o = running * momentum + own * (F::ONE - momentum);
                }
            }
        }
        (mean, variance) = own.into_iter().unzip();
    }
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    if out.is_empty() {
        return Ok(());
    }
    for (i, (x, out)) in x.chunks_exact(plane).zip(out.chunks_exact_mut(plane)).enumerate() {
        let c = i % channels;
        let (mean, factor) = (mean[c], scale[c] / (variance[c] + epsilon).sqrt());
        out.iter_mut()
            .zip(x)
            .for_each(|(o, &x)| *o = (x - mean) * factor + bias[c]);
    }
    Ok(())
}

/// Scales and moments may be of another float dtype than the input (opset 15).
fn to_vec<F: Float>(cx: &EvalCx<'_, '_>, index: usize) -> Result<Vec<F>, OpError> {
    let view = cx.input(index)?;
    with_dtype!(floats, view.dtype(), G => {
        Ok(view.as_slice::<G>()?.iter().map(|&x| F::lit(x.to_f64())).collect())
    })
}

fn channel<F: Float>(x: &[F], channels: usize, plane: usize, c: usize) -> Vec<F> {
    x.chunks_exact(plane.max(1))
        .skip(c)
        .step_by(channels.max(1))
        .flatten()
        .copied()
        .collect()
}
