//! Elements added at (or, by negative pads, taken from) the ends of axes. ONNX `Pad` 1, 2 (lists as
//! attributes), 11 (as inputs), 13, 18 (`axes`), 19 (`wrap`), 21, 23, 24, 25.
//!
//! Modes: `constant`, `reflect` (the border not repeated), `edge`, `wrap`.

use super::common::axes::{Given, evaluated, given};
use super::common::codec::{Wide, Writer};
use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::{AxisMap, element_size, gather};
use super::common::since;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, MAX_ELEMENTS, normalise_axis, strides};
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Pad`.
pub struct Pad;

/// What stands outside of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One value.
    Constant,
    /// The input mirrored at its first and last element.
    Reflect,
    /// The first or last element.
    Edge,
    /// The input from its other end on.
    Wrap,
}

impl Mode {
    /// From the attribute `mode`.
    ///
    /// # Errors
    /// [`OpError::Attribute`] for another.
    pub fn new(attrs: Attrs<'_>) -> Result<Self, OpError> {
        match attrs.str_or("mode", "constant")? {
            "constant" => Ok(Self::Constant),
            "reflect" => Ok(Self::Reflect),
            "edge" => Ok(Self::Edge),
            "wrap" => Ok(Self::Wrap),
            other => Err(OpError::attribute("mode", format!("is '{other}'"))),
        }
    }

    /// The input's index for place `at` of an axis of `size` elements; none for the one value.
    fn index(self, at: i64, size: i64) -> Option<usize> {
        let inside = match self {
            Self::Constant => (0..size).contains(&at).then_some(at)?,
            Self::Edge => at.clamp(0, size - 1),
            Self::Wrap => at.rem_euclid(size),
            Self::Reflect if size == 1 => 0,
            Self::Reflect => {
                let period = 2 * (size - 1);
                let folded = at.rem_euclid(period);
                folded.min(period - folded)
            }
        };
        usize::try_from(inside).ok()
    }
}

/// Begin and end for every axis of the rank, from ONNX's list for some of them.
///
/// # Errors
/// [`OpError::Shape`] where the lists do not fit.
pub fn per_axis(pads: &[i64], axes: Option<Vec<i64>>, rank: usize) -> Result<Vec<(i64, i64)>, OpError> {
    let axes = axes.unwrap_or_else(|| (0..rank as i64).collect());
    if pads.len() != 2 * axes.len() {
        return Err(OpError::shape(format!(
            "{} pads are given for {} axes",
            pads.len(),
            axes.len()
        )));
    }
    if let Some(pad) = pads.iter().find(|pad| pad.unsigned_abs() > MAX_ELEMENTS) {
        return Err(OpError::shape(format!("a pad of {pad} is too many")));
    }
    let mut all = alloc::vec![(0, 0); rank];
    for (i, &axis) in axes.iter().enumerate() {
        all[normalise_axis("axes", axis, rank)?] = (pads[i], pads[axes.len() + i]);
    }
    Ok(all)
}

/// The attribute's name before opset 2.
fn list_name(opset: u16) -> &'static str {
    if opset < 2 { "paddings" } else { "pads" }
}

impl Operator for Pad {
    fn name(&self) -> &'static str {
        "Pad"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        Mode::new(cx.attrs())?;
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        let (pads, axes) = (given(cx, 1, list_name(cx.opset()))?, given(cx, 3, "axes")?);
        let shape = match (pads, axes) {
            (Given::Absent, _) => return Err(OpError::MissingInput { index: 1 }),
            (Given::Later, _) | (_, Given::Later) => alloc::vec![Dim::Unknown; ty.rank()],
            (Given::Known(pads), axes) => {
                let axes = if let Given::Known(axes) = axes {
                    Some(axes)
                } else {
                    None
                };
                let padded = |(dim, (begin, end)): (&Dim, (i64, i64))| match super::common::dims::add(
                    dim,
                    &Dim::Fixed(begin.saturating_add(end)),
                ) {
                    Dim::Fixed(n) if n < 0 => {
                        Err(OpError::shape(format!("pads take more than the {dim} there are")))
                    }
                    dim => Ok(dim),
                };
                ty.shape
                    .iter()
                    .zip(per_axis(&pads, axes, ty.rank())?)
                    .map(padded)
                    .collect::<Result<_, _>>()?
            }
        };
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let mut out = cx.output()?;
        if out.shape().contains(&0) {
            return Ok(());
        }
        let mode = Mode::new(cx.attrs)?;
        let list = evaluated(cx, 1, list_name(cx.opset))?.ok_or(OpError::MissingInput { index: 1 })?;
        let pads = per_axis(&list, evaluated(cx, 3, "axes")?, input.shape().len())?;
        let mut fill = alloc::vec![0; element_size(&input)?];
        match cx.optional(2) {
            Some(value) if value.bytes().len() == fill.len() => fill.copy_from_slice(value.bytes()),
            Some(_) => {
                return Err(OpError::shape(
                    "the padding's value is not one element of the input's dtype",
                ));
            }
            None => {
                let value = cx.attrs.float_or("value", 0.0)?;
                Writer::new(input.dtype())?.write(&mut fill, 0, Wide::Float(value.into()));
            }
        }
        let strides = strides(input.shape());
        let mut maps: Vec<AxisMap> = Vec::with_capacity(pads.len());
        for (axis, (&size, (begin, end))) in input.shape().iter().zip(pads).enumerate() {
            let size = size as i64;
            if size == 0 && mode != Mode::Constant && begin + end > 0 {
                return Err(OpError::shape(
                    "an axis of no elements can only be padded by a constant",
                ));
            }
            let place = |at: i64| mode.index(at, size).map(|i| i * strides[axis]);
            maps.push((-begin..size + end).map(place).collect());
        }
        gather(input, &mut out, &maps, &fill)
    }
}
