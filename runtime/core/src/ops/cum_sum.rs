//! Running sums along an axis; `exclusive` leaves the own element out, `reverse` runs from the end. ONNX `CumSum`
//! 11, 14.

use super::common::arg::along;
use super::common::dtypes::{INDICES, NUMBERS, input_of, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::unary::same_type;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::normalise_axis;
use core::ops::RangeInclusive;

/// ONNX `CumSum`.
pub struct CumSum;

impl Operator for CumSum {
    fn name(&self) -> &'static str {
        "CumSum"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(11)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        input_of(cx, 1, INDICES)?;
        same_type(cx, NUMBERS)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let dtype = cx.input(0)?.dtype();
            with_dtype!(numbers, dtype, N => sums::<N>(cx))
        })
    }
}

fn sums<N: Number>(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let axis = match cx.input(1)?.to_i64s().as_deref() {
        Some([axis]) => normalise_axis("axis", *axis, input.shape().len())?,
        _ => return Err(OpError::shape("the axis of CumSum is one number")),
    };
    let exclusive = cx.attrs.int_or("exclusive", 0)? != 0;
    let reverse = cx.attrs.int_or("reverse", 0)? != 0;
    let (len, behind) = along(input.shape(), axis);
    let x = input.as_slice::<N>()?;
    let mut out = cx.output()?;
    let out = out.as_mut_slice::<N>()?;
    if x.is_empty() {
        return Ok(());
    }
    for start in (0..x.len() / (len * behind)).flat_map(|b| (0..behind).map(move |i| b * len * behind + i)) {
        let mut sum = N::ZERO;
        for k in 0..len {
            let at = start + behind * if reverse { len - 1 - k } else { k };
            let next = sum.plus(x[at]);
            out[at] = if exclusive { sum } else { next };
            sum = next;
        }
    }
    Ok(())
}
