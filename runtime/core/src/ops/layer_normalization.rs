//! Normalisation over all axes from `axis` on, then scale and bias. ONNX `LayerNormalization` 17.
//!
//! Outputs 1 and 2 are the mean and one over the standard deviation, in binary32 (`stash_type` 1).

use super::common::broadcast::Rows;
use super::common::dtypes::{FLOATS, input_of, same_dtype, with_dtype};
use super::common::norm::{inverse_deviation, moments};
use super::common::number::Float;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, normalise_axis};
use crate::tensor::{TensorView, TensorViewMut};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `LayerNormalization`.
pub struct LayerNormalization;

impl Operator for LayerNormalization {
    fn name(&self) -> &'static str {
        "LayerNormalization"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(17)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        cx.input(1)?;
        same_dtype(cx, 1, ty.dtype)?;
        same_dtype(cx, 2, ty.dtype)?;
        if cx.attrs().int_or("stash_type", 1)? != 1 {
            return Err(OpError::unsupported(
                "LayerNormalization with a stash_type other than float32",
            ));
        }
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", -1)?, ty.rank())?;
        let one = |(i, dim): (usize, &Dim)| if i < axis { dim.clone() } else { Dim::Fixed(1) };
        let moments: Vec<Dim> = ty.shape.iter().enumerate().map(one).collect();
        cx.set_output(0, ty.dtype, ty.shape.clone());
        let stash = if ty.dtype == DType::F64 {
            DType::F64
        } else {
            DType::F32
        };
        cx.set_output(1, stash, moments.clone());
        cx.set_output(2, stash, moments);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(floats, dtype, F => normalise::<F>(cx))
        })
    }
}

fn normalise<F: Float>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let epsilon = cx.attrs.float_or("epsilon", 1e-5)?;
    let input = cx.input(0)?;
    let axis = normalise_axis("axis", cx.attrs.int_or("axis", -1)?, input.shape().len())?;
    let row_shape = &input.shape()[axis..];
    let len: usize = row_shape.iter().product();
    let scale = expanded::<F>(cx.input(1)?, row_shape)?;
    let bias = cx
        .optional(2)
        .map(|bias| expanded::<F>(bias, row_shape))
        .transpose()?;
    let x = input.as_slice::<F>()?;
    let (mut means, mut deviations) = (cx.take_output(1), cx.take_output(2));
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    if out.is_empty() {
        return Ok(());
    }
    for (i, (x, out)) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)).enumerate() {
        let (mean, variance) = moments(x);
        let factor = inverse_deviation(variance, epsilon);
        for (j, (o, &x)) in out.iter_mut().zip(x).enumerate() {
            let scaled = (x - mean) * factor * scale[j];
            *o = bias.as_ref().map_or(scaled, |bias| scaled + bias[j]);
        }
        store(&mut means, i, mean)?;
        store(&mut deviations, i, factor)?;
    }
    Ok(())
}

fn store<F: Float>(out: &mut Option<TensorViewMut<'_>>, i: usize, value: F) -> Result<(), OpError> {
    if let Some(out) = out {
        out.as_mut_slice::<F>()?[i] = value;
    }
    Ok(())
}

/// A scale or bias broadcast to the normalised axes.
fn expanded<F: Float>(view: TensorView<'_>, shape: &[usize]) -> Result<Vec<F>, OpError> {
    let values = view.as_slice::<F>()?;
    let rows = Rows::new(shape, [view.shape()])?;
    let mut out = Vec::with_capacity(shape.iter().product());
    if !shape.contains(&0) {
        rows.for_each(|_, [base]| out.extend((0..rows.len).map(|i| values[base + i * rows.step[0]])));
    }
    Ok(out)
}
