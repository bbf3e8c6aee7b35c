//! Where elements are not zero: a column of indices for each, in row-major order. ONNX `NonZero` 9, 13.

use super::common::codec::{Wide, reader};
use super::common::dtypes::{PLAIN, input_of};
use super::common::gather::advance;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use crate::tensor::TensorView;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `NonZero`.
pub struct NonZero;

impl Operator for NonZero {
    fn name(&self) -> &'static str {
        "NonZero"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(9)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, PLAIN)?;
        let count = match cx.data(0) {
            Some(view) => Dim::from(places(view)?.len()),
            None => Dim::Unknown,
        };
        // A scalar counts as one element of one axis.
        cx.set_output(0, DType::I64, alloc::vec![Dim::from(ty.rank().max(1)), count]);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let places = places(cx.input(0)?)?;
        let mut out = cx.output()?;
        let out = out.as_mut_slice::<i64>()?;
        for (column, place) in places.iter().enumerate() {
            for (axis, &at) in place.iter().enumerate() {
                out[axis * places.len() + column] = at as i64;
            }
        }
        Ok(())
    }
}

/// The index of each element that is not zero.
fn places(view: TensorView<'_>) -> Result<Vec<Vec<usize>>, OpError> {
    let read = reader(view.dtype())?;
    let shape = if view.shape().is_empty() {
        &[1][..]
    } else {
        view.shape()
    };
    let mut index = alloc::vec![0usize; shape.len()];
    let mut found = Vec::new();
    for i in 0..view.len() {
        if !matches!(read(view.bytes(), i), Wide::Int(0) | Wide::Float(0.0)) {
            found.push(index.clone());
        }
        advance(&mut index, |axis| shape[axis]);
    }
    Ok(found)
}
