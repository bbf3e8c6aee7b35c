//! Resampling to another size. ONNX `Resize` 10, 11 (coordinates, cubic, crop), 13, 18 (`antialias`, `axes`,
//! `keep_aspect_ratio_policy`), 19 (`half_pixel_symmetric`).
//!
//! The filters and their order: see [`super::common::resize`]. `nearest` moves elements of any dtype; the
//! others take floats. Where `align_corners` meets a scale whose size is rounded down, coordinates follow the
//! scale, as in ONNX's reference (onnxruntime follows the size).

use super::common::dtypes::{FLOATS, WHOLE_BYTES, input_of, with_dtype};
use super::common::gather::{element_size, gather, straight};
use super::common::number::Float;
use super::common::resize::{Coordinates, Filter, Nearest, Resample, resample};
use super::common::since;
use super::common::widen::through_f32;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, normalise_axis, strides};
use crate::tensor::TensorView;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Resize`.
pub struct Resize;

/// Inputs by position: opset 10 has the scales where the region of interest is since.
struct Slots {
    roi: usize,
    scales: usize,
    sizes: usize,
}

fn slots(opset: u16) -> Slots {
    match opset {
        ..=10 => Slots {
            roi: usize::MAX,
            scales: 1,
            sizes: usize::MAX,
        },
        _ => Slots {
            roi: 1,
            scales: 2,
            sizes: 3,
        },
    }
}

impl Operator for Resize {
    fn name(&self) -> &'static str {
        "Resize"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let filter = filter(cx.attrs(), cx.opset())?;
        let class = if matches!(filter, Filter::Nearest(_)) {
            WHOLE_BYTES
        } else {
            FLOATS
        };
        let ty = input_of(cx, 0, class)?;
        let at = slots(cx.opset());
        let axes = axes(cx.attrs(), ty.rank())?;
        let mut shape = ty.shape.clone();
        let given = |index: usize| cx.optional(index).is_some_and(|ty| ty.shape != [Dim::Fixed(0)]);
        if given(at.sizes) {
            let sizes = cx
                .dims(at.sizes)
                .filter(|_| policy(cx.attrs()) == Ok(Policy::Stretch));
            match (sizes, ty.concrete(), cx.ints(at.sizes)) {
                (Some(sizes), ..) => axes
                    .iter()
                    .zip(sizes)
                    .for_each(|(&axis, size)| shape[axis] = size),
                (None, Some(input), Some(sizes)) => {
                    let resamples = by_sizes(cx.attrs(), &input, &axes, &sizes)?;
                    axes.iter()
                        .zip(resamples)
                        .for_each(|(&axis, (size, _))| shape[axis] = size.into());
                }
                _ => axes.iter().for_each(|&axis| shape[axis] = Dim::Unknown),
            }
        } else {
            let scales = match cx.data(at.scales) {
                Some(view) => Some(floats(view)?),
                None if cx.optional(at.scales).is_some() => None,
                None => return Err(OpError::MissingInput { index: at.scales }),
            };
            for (i, &axis) in axes.iter().enumerate() {
                shape[axis] = match scales
                    .as_ref()
                    .map(|scales| scale_at(scales, i, axes.len()))
                    .transpose()?
                {
                    Some(1.0) => continue,
                    Some(scale) => super::common::dims::map(&shape[axis], |n| scaled(n, scale))?,
                    None => Dim::Unknown,
                };
            }
        }
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let resamples = plan(cx.attrs, cx.opset, cx.input(0)?.shape(), cx.inputs)?;
        match resamples.first().map(|first| first.filter) {
            Some(Filter::Nearest(_)) => nearest(cx, &resamples),
            _ => through_f32(cx, |cx| {
                let dtype = cx.input(0)?.dtype();
                with_dtype!(floats, dtype, F => filtered::<F>(cx, &resamples))
            }),
        }
    }
}

/// How each axis of an input of this shape is resampled; `inputs` are the node's, the first is not looked at.
///
/// # Errors
/// [`OpError`] where scales or sizes are absent or do not fit.
pub fn plan(
    attrs: Attrs<'_>,
    opset: u16,
    shape: &[usize],
    inputs: &[Option<TensorView<'_>>],
) -> Result<Vec<Resample>, OpError> {
    let at = slots(opset);
    let axes = axes(attrs, shape.len())?;
    let given = |index: usize| {
        inputs
            .get(index)
            .copied()
            .flatten()
            .filter(|view| !view.is_empty())
    };
    let sized: Vec<(usize, f32)> = match given(at.sizes) {
        Some(sizes) => by_sizes(attrs, shape, &axes, &sizes.to_i64s().unwrap_or_default())?,
        None => {
            let scales = given(at.scales).ok_or(OpError::MissingInput { index: at.scales })?;
            let scales = floats(scales)?;
            let one = |(i, &axis): (usize, &usize)| {
                let scale = scale_at(&scales, i, axes.len())?;
                Ok((scaled(shape[axis], scale)?, scale))
            };
            axes.iter().enumerate().map(one).collect::<Result<_, OpError>>()?
        }
    };
    let roi = given(at.roi).map(floats).transpose()?;
    let filter = filter(attrs, opset)?;
    let identity = |n: usize| Resample {
        input: n,
        output: n,
        scale: 1.0,
        coordinates: Coordinates::Asymmetric,
        filter,
        antialias: attrs.int_or("antialias", 0) == Ok(1),
        exclude_outside: attrs.int_or("exclude_outside", 0) == Ok(1),
    };
    let mut resamples: Vec<Resample> = shape.iter().map(|&n| identity(n)).collect();
    for (i, (&axis, (output, scale))) in axes.iter().zip(sized).enumerate() {
        let coordinates = coordinates(attrs, opset, roi.as_deref(), i, axes.len())?;
        let own = resamples[axis];
        resamples[axis] = Resample {
            output,
            scale,
            coordinates,
            ..own
        };
        if let (..=10, Filter::Nearest(_)) = (opset, filter) {
            // onnxruntime's original rule: down when growing, up when shrinking.
            let rounding = if scale < 1.0 {
                Nearest::Ceil
            } else {
                Nearest::Floor
            };
            resamples[axis].filter = Filter::Nearest(rounding);
        }
    }
    Ok(resamples)
}

/// Moves elements to their nearest place.
fn nearest(cx: &mut EvalCx<'_, '_>, resamples: &[Resample]) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let mut out = cx.output()?;
    if out.shape().contains(&0) {
        return Ok(());
    }
    let strides = strides(input.shape());
    let map = |(axis, &stride): (&Resample, &usize)| match (axis.is_identity(), axis.filter) {
        (false, Filter::Nearest(rounding)) => axis
            .nearest(rounding)
            .into_iter()
            .map(|at| at.map(|at| at * stride))
            .collect(),
        _ => straight(axis.input, stride),
    };
    let maps: Vec<_> = resamples.iter().zip(&strides).map(map).collect();
    let outside = cx.attrs.float_or("extrapolation_value", 0.0)?;
    let mut fill = alloc::vec![0u8; element_size(&input)?];
    if let Ok(writer) = super::common::codec::Writer::new(input.dtype()) {
        writer.write(&mut fill, 0, super::common::codec::Wide::Float(outside.into()));
    }
    gather(input, &mut out, &maps, &fill)
}

fn filtered<F: Float>(cx: &mut EvalCx<'_, '_>, resamples: &[Resample]) -> Result<(), OpError> {
    let mut out = cx.output()?;
    if out.shape().contains(&0) {
        return Ok(());
    }
    let outside = F::of(cx.attrs.float_or("extrapolation_value", 0.0)?);
    let mut values = cx.input(0)?.as_slice::<F>()?.to_vec();
    let mut shape = cx.input(0)?.shape().to_vec();
    for (axis, along) in resamples
        .iter()
        .enumerate()
        .filter(|(_, along)| !along.is_identity())
    {
        let behind = shape[axis + 1..].iter().product();
        values = resample(along, behind, &values, outside);
        shape[axis] = along.output;
    }
    let out = out.as_mut_slice::<F>()?;
    if out.len() != values.len() {
        return Err(OpError::shape("an axis of no elements cannot be resampled"));
    }
    out.copy_from_slice(&values);
    Ok(())
}

fn floats(view: TensorView<'_>) -> Result<Vec<f32>, OpError> {
    let read = super::common::codec::reader(view.dtype())?;
    Ok((0..view.len())
        .map(|i| read(view.bytes(), i).to_f64() as f32)
        .collect())
}

fn axes(attrs: Attrs<'_>, rank: usize) -> Result<Vec<usize>, OpError> {
    match attrs.ints("axes")? {
        Some(list) => list
            .iter()
            .map(|axis| normalise_axis("axes", axis, rank))
            .collect(),
        None => Ok((0..rank).collect()),
    }
}

fn scale_at(scales: &[f32], i: usize, axes: usize) -> Result<f32, OpError> {
    match scales.get(i) {
        Some(&scale) if scales.len() == axes && scale > 0.0 && scale.is_finite() => Ok(scale),
        _ => Err(OpError::shape(format!(
            "the scales {scales:?} are not {axes} positive numbers"
        ))),
    }
}

/// ⌊size · scale⌋.
///
/// # Errors
/// [`OpError::Shape`] for a size beyond what a tensor may have.
pub fn scaled(size: usize, scale: f32) -> Result<usize, OpError> {
    let scaled = libm::floor(size as f64 * f64::from(scale));
    if scaled <= crate::shape::MAX_ELEMENTS as f64 {
        Ok(scaled as usize)
    } else {
        Err(OpError::shape(format!(
            "{size} elements scaled by {scale} are too many"
        )))
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Policy {
    Stretch,
    NotLarger,
    NotSmaller,
}

fn policy(attrs: Attrs<'_>) -> Result<Policy, OpError> {
    match attrs.str_or("keep_aspect_ratio_policy", "stretch")? {
        "stretch" => Ok(Policy::Stretch),
        "not_larger" => Ok(Policy::NotLarger),
        "not_smaller" => Ok(Policy::NotSmaller),
        other => Err(OpError::attribute(
            "keep_aspect_ratio_policy",
            format!("is '{other}'"),
        )),
    }
}

/// Sizes and scales of the axes for the sizes asked for.
fn by_sizes(
    attrs: Attrs<'_>,
    shape: &[usize],
    axes: &[usize],
    sizes: &[i64],
) -> Result<Vec<(usize, f32)>, OpError> {
    let wanted: Option<Vec<usize>> = sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
    let Some(wanted) = wanted.filter(|wanted| wanted.len() == axes.len()) else {
        return Err(OpError::shape(format!(
            "the sizes {sizes:?} are not {} sizes",
            axes.len()
        )));
    };
    let ratios = axes
        .iter()
        .zip(&wanted)
        .map(|(&axis, &size)| size as f32 / shape[axis] as f32);
    let common = match policy(attrs)? {
        Policy::Stretch => return Ok(wanted.iter().copied().zip(ratios).collect()),
        Policy::NotLarger => ratios.fold(f32::INFINITY, f32::min),
        Policy::NotSmaller => ratios.fold(0.0, f32::max),
    };
    // Halves go up here: the specification's round_int.
    let rounded = |axis: usize| libm::floorf(common * shape[axis] as f32 + 0.5) as usize;
    Ok(axes.iter().map(|&axis| (rounded(axis), common)).collect())
}

fn filter(attrs: Attrs<'_>, opset: u16) -> Result<Filter, OpError> {
    match attrs.str_or("mode", "nearest")? {
        "nearest" => Ok(Filter::Nearest(
            match attrs.str_or("nearest_mode", "round_prefer_floor")? {
                _ if opset <= 10 => Nearest::Floor,
                "round_prefer_floor" => Nearest::RoundPreferFloor,
                "round_prefer_ceil" => Nearest::RoundPreferCeil,
                "floor" => Nearest::Floor,
                "ceil" => Nearest::Ceil,
                other => return Err(OpError::attribute("nearest_mode", format!("is '{other}'"))),
            },
        )),
        "linear" | "bilinear" => Ok(Filter::Linear),
        "cubic" => Ok(Filter::Cubic(attrs.float_or("cubic_coeff_a", -0.75)?)),
        other => Err(OpError::attribute("mode", format!("is '{other}'"))),
    }
}

fn coordinates(
    attrs: Attrs<'_>,
    opset: u16,
    roi: Option<&[f32]>,
    i: usize,
    axes: usize,
) -> Result<Coordinates, OpError> {
    if opset <= 10 {
        return Ok(Coordinates::Asymmetric);
    }
    Ok(
        match attrs.str_or("coordinate_transformation_mode", "half_pixel")? {
            "half_pixel" => Coordinates::HalfPixel,
            "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
            "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
            "align_corners" => Coordinates::AlignCorners,
            "asymmetric" => Coordinates::Asymmetric,
            "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNearest,
            "tf_crop_and_resize" => match roi {
                Some(roi) if roi.len() == 2 * axes => Coordinates::Crop {
                    start: roi[i],
                    end: roi[axes + i],
                },
                _ => {
                    return Err(OpError::shape(format!(
                        "a crop takes a region of {} numbers",
                        2 * axes
                    )));
                }
            },
            other => {
                return Err(OpError::attribute(
                    "coordinate_transformation_mode",
                    format!("is '{other}'"),
                ));
            }
        },
    )
}
