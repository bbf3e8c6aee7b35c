//! A new axis that holds the on value at each index and the off value elsewhere. ONNX `OneHot` 9, 11 (negative
//! indices). An index outside of −depth..depth gives off values alone.

use super::common::codec::reader;
use super::common::dtypes::{NUMBERS, WHOLE_BYTES, input_of};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use crate::tensor::TensorView;
use core::ops::RangeInclusive;

/// ONNX `OneHot`.
pub struct OneHot;

impl Operator for OneHot {
    fn name(&self) -> &'static str {
        "OneHot"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(9)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let indices = input_of(cx, 0, NUMBERS)?;
        input_of(cx, 1, NUMBERS)?;
        let values = input_of(cx, 2, WHOLE_BYTES)?;
        let axis = new_axis(cx.attrs().int_or("axis", -1)?, indices.rank())?;
        let dim = match cx.data(1) {
            Some(view) => Dim::from(depth(view)?),
            None => cx
                .dims(1)
                .and_then(|dims| dims.first().cloned())
                .unwrap_or(Dim::Unknown),
        };
        let mut shape = indices.shape.clone();
        shape.insert(axis, dim);
        cx.set_output(0, values.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (indices, values) = (cx.input(0)?, cx.input(2)?);
        let depth = depth(cx.input(1)?)?;
        let axis = new_axis(cx.attrs.int_or("axis", -1)?, indices.shape().len())?;
        let behind: usize = indices.shape()[axis..].iter().product();
        let (size, read) = (element_size(&values)?, reader(indices.dtype())?);
        let (off, on) = values.bytes().split_at_checked(size).ok_or_else(two_values)?;
        if on.len() != size {
            return Err(two_values());
        }
        let mut out = cx.output()?;
        for (i, to) in out.bytes_mut().chunks_exact_mut(size).enumerate() {
            let (before, k, after) = (i / (behind * depth), i / behind % depth, i % behind);
            let index = read(indices.bytes(), before * behind + after).to_f64();
            let index = if index < 0.0 { index + depth as f64 } else { index };
            to.copy_from_slice(if index == k as f64 { on } else { off });
        }
        Ok(())
    }
}

fn two_values() -> OpError {
    OpError::shape("OneHot takes two values: off and on")
}

fn depth(view: TensorView<'_>) -> Result<usize, OpError> {
    let depth = match view.len() {
        1 => reader(view.dtype())?(view.bytes(), 0).to_f64(),
        _ => return Err(OpError::shape("the depth of OneHot is one number")),
    };
    if (0.0..crate::shape::MAX_ELEMENTS as f64).contains(&depth) {
        Ok(depth as usize)
    } else {
        Err(OpError::Data {
            message: alloc::format!("a depth of {depth} cannot be"),
        })
    }
}

fn new_axis(axis: i64, rank: usize) -> Result<usize, OpError> {
    crate::shape::normalise_axis("axis", axis, rank + 1)
}
