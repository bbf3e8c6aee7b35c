//! The k greatest (or least) elements along an axis and where they are. ONNX `TopK` 1 (k as attribute), 10 (as
//! input), 11 (`largest`, `sorted`), 24.
//!
//! Always sorted; of equal elements the one of the lower index comes first; NaN counts as the greatest.

use super::common::arg::along;
use super::common::dtypes::{NUMBERS, input_of, with_dtype};
use super::common::number::{Number, is_nan};
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, normalise_axis};
use crate::tensor::TensorView;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `TopK`.
pub struct TopK;

impl Operator for TopK {
    fn name(&self) -> &'static str {
        "TopK"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, NUMBERS)?;
        if ty.shape.is_empty() {
            return Err(OpError::shape("a scalar has no greatest elements"));
        }
        let axis = normalise_axis("axis", cx.attrs().int_or("axis", -1)?, ty.rank())?;
        let mut shape = ty.shape.clone();
        shape[axis] = match (cx.optional(1), cx.data(1)) {
            (None, _) => Dim::from(checked(cx.attrs().int("k")?, &shape[axis])?),
            (_, Some(view)) => Dim::from(checked(one(view), &shape[axis])?),
            (Some(_), None) => cx
                .dims(1)
                .and_then(|dims| dims.first().cloned())
                .unwrap_or(Dim::Unknown),
        };
        cx.set_output(0, ty.dtype, shape.clone());
        cx.set_output(1, DType::I64, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => select::<N>(cx))
        })
    }
}

fn one(view: TensorView<'_>) -> Option<i64> {
    view.to_i64s()?.first().copied()
}

fn checked(k: Option<i64>, dim: &Dim) -> Result<usize, OpError> {
    let fits = |k: &usize| dim.fixed().is_none_or(|len| *k as i64 <= len);
    k.and_then(|k| usize::try_from(k).ok())
        .filter(fits)
        .ok_or_else(|| {
            OpError::shape(alloc::format!(
                "{k:?} elements cannot be taken of an axis of {dim}"
            ))
        })
}

fn select<N: Number>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let axis = normalise_axis("axis", cx.attrs.int_or("axis", -1)?, input.shape().len())?;
    let largest = cx.attrs.int_or("largest", 1)? != 0;
    let (len, behind) = along(input.shape(), axis);
    let x = input.as_slice::<N>()?;
    let (mut values, mut places) = (cx.take_output(0), cx.take_output(1));
    let k = values
        .as_ref()
        .or(places.as_ref())
        .map_or(0, |out| out.shape()[axis]);
    if x.is_empty() || k == 0 {
        return Ok(());
    }
    for (before, after) in (0..x.len() / (len * behind)).flat_map(|b| (0..behind).map(move |i| (b, i))) {
        let at = |place: usize| x[(before * len + place) * behind + after];
        let mut order: Vec<usize> = (0..len).collect();
        order.sort_by(|&a, &b| {
            let by_value = rank(at(a), at(b));
            if largest { by_value.reverse() } else { by_value }.then(a.cmp(&b))
        });
        for (i, &place) in order.iter().take(k).enumerate() {
            let to = (before * k + i) * behind + after;
            if let Some(values) = &mut values {
                values.as_mut_slice::<N>()?[to] = at(place);
            }
            if let Some(places) = &mut places {
                places.as_mut_slice::<i64>()?[to] = place as i64;
            }
        }
    }
    Ok(())
}

fn rank<N: Number>(a: N, b: N) -> Ordering {
    a.partial_cmp(&b).unwrap_or_else(|| is_nan(a).cmp(&is_nan(b)))
}
