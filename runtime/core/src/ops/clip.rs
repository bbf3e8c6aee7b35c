//! Each element between two bounds. ONNX `Clip` 1, 6 (bounds as attributes), 11 (as inputs), 12 (integers), 13.
//!
//! min(max, max(x, min)), so that the upper bound wins where the lower one is above it. A bound left out does
//! not bind.

use super::common::dtypes::{NUMBERS, same_dtype, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::unary::{map, same_type};
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// ONNX `Clip`.
pub struct Clip;

impl Operator for Clip {
    fn name(&self) -> &'static str {
        "Clip"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        same_type(cx, NUMBERS)?;
        let dtype = cx.input(0)?.dtype;
        same_dtype(cx, 1, dtype)?;
        same_dtype(cx, 2, dtype)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => {
                let min = bound::<N>(cx, 1, "min")?;
                let max = bound::<N>(cx, 2, "max")?;
                map(cx, |x: N| {
                    let x = min.map_or(x, |min| x.greatest(min));
                    max.map_or(x, |max| x.least(max))
                })
            })
        })
    }
}

fn bound<N: Number>(cx: &EvalCx<'_, '_>, index: usize, name: &str) -> Result<Option<N>, OpError> {
    match cx.optional(index) {
        Some(view) => match view.as_slice::<N>()? {
            [bound] => Ok(Some(*bound)),
            other => Err(OpError::shape(alloc::format!(
                "the bound '{name}' has {} elements",
                other.len()
            ))),
        },
        None => Ok(cx.attrs.float(name)?.map(|x| N::from_f64(x.into()))),
    }
}
