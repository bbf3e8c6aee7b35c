//! Enlarging by whole or broken factors. ONNX `Upsample` 1 (two factors as attributes), 7 (`scales` as
//! attribute), 9 (as input); replaced by `Resize` in opset 10.
//!
//! Coordinates are x ÷ scale; `nearest` rounds down.

use super::common::dtypes::{FLOATS, WHOLE_BYTES, input_of, with_dtype};
use super::common::gather::gather;
use super::common::number::Float;
use super::common::resize::{Coordinates, Filter, Nearest, Resample, resample};
use super::common::widen::through_f32;
use super::resize::scaled;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, strides};
use crate::tensor::TensorView;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Upsample`.
pub struct Upsample;

/// The scales, where they are known.
fn scales(attrs: Attrs<'_>, input: Option<TensorView<'_>>, rank: usize) -> Result<Option<Vec<f32>>, OpError> {
    let list = match (input, attrs.floats("scales")?) {
        (Some(view), _) => view.as_slice::<f32>()?.to_vec(),
        (None, Some(list)) => list.to_vec(),
        (None, None) => match (attrs.float("height_scale")?, attrs.float("width_scale")?) {
            (Some(height), Some(width)) => alloc::vec![1.0, 1.0, height, width],
            _ => return Ok(None),
        },
    };
    if list.len() != rank || list.iter().any(|&scale| !scale.is_finite() || scale <= 0.0) {
        return Err(OpError::shape(format!(
            "the scales {list:?} are not {rank} positive numbers"
        )));
    }
    Ok(Some(list))
}

fn filter(attrs: Attrs<'_>) -> Result<Filter, OpError> {
    match attrs.str_or("mode", "nearest")? {
        "nearest" => Ok(Filter::Nearest(Nearest::Floor)),
        "linear" | "bilinear" => Ok(Filter::Linear),
        other => Err(OpError::attribute("mode", format!("is '{other}'"))),
    }
}

impl Operator for Upsample {
    fn name(&self) -> &'static str {
        "Upsample"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=9
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let class = if filter(cx.attrs())? == Filter::Linear {
            FLOATS
        } else {
            WHOLE_BYTES
        };
        let ty = input_of(cx, 0, class)?;
        let shape = match scales(cx.attrs(), cx.data(1), ty.rank())? {
            Some(list) => {
                let one = |(dim, &scale): (&Dim, &f32)| match scale {
                    1.0 => Ok(dim.clone()),
                    scale => super::common::dims::map(dim, |n| scaled(n, scale)),
                };
                ty.shape.iter().zip(&list).map(one).collect::<Result<_, _>>()?
            }
            None if cx.optional(1).is_some() => alloc::vec![Dim::Unknown; ty.rank()],
            None => return Err(OpError::attribute("scales", "is required and absent")),
        };
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        if cx
            .outputs
            .first()
            .and_then(Option::as_ref)
            .is_some_and(|out| out.shape().contains(&0))
        {
            return Ok(());
        }
        let filter = filter(cx.attrs)?;
        let scales = scales(cx.attrs, cx.optional(1), input.shape().len())?
            .ok_or(OpError::MissingInput { index: 1 })?;
        let one = |(&n, &scale): (&usize, &f32)| {
            Ok(Resample {
                input: n,
                output: scaled(n, scale)?,
                scale,
                coordinates: Coordinates::Asymmetric,
                filter,
                antialias: false,
                exclude_outside: false,
            })
        };
        let axes: Vec<Resample> = input
            .shape()
            .iter()
            .zip(&scales)
            .map(one)
            .collect::<Result<_, OpError>>()?;
        if filter == Filter::Linear {
            return through_f32(cx, |cx| {
                let dtype = cx.input(0)?.dtype();
                with_dtype!(floats, dtype, F => linear::<F>(cx, &axes))
            });
        }
        let along = |(axis, stride): (&Resample, usize)| -> Vec<Option<usize>> {
            axis.nearest(Nearest::Floor)
                .into_iter()
                .map(|at| at.map(|at| at * stride))
                .collect()
        };
        let maps: Vec<_> = axes.iter().zip(strides(input.shape())).map(along).collect();
        gather(input, &mut cx.output()?, &maps, &[])
    }
}

fn linear<F: Float>(cx: &mut EvalCx<'_, '_>, axes: &[Resample]) -> Result<(), OpError> {
    let mut shape = cx.input(0)?.shape().to_vec();
    let mut values = cx.input(0)?.as_slice::<F>()?.to_vec();
    for (i, axis) in axes.iter().enumerate().filter(|(_, axis)| !axis.is_identity()) {
        values = resample(axis, shape[i + 1..].iter().product(), &values, F::ZERO);
        shape[i] = axis.output;
    }
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<F>()?;
    if out.len() != values.len() {
        return Err(OpError::shape("an axis of no elements cannot be enlarged"));
    }
    out.copy_from_slice(&values);
    Ok(())
}
