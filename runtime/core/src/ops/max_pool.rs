//! The greatest of each window, and where it is. ONNX `MaxPool` 1, 8 (`Indices`), 10 (`ceil_mode`,
//! `dilations`), 11, 12 (8-bit integers), 22.
//!
//! `Indices` count through the whole input tensor, row-major, or with `storage_order = 1` column-major within
//! each channel.

use super::common::dtypes::{NUMBERS, input_of, with_dtype};
use super::common::pool::{max, output_shape};
use super::common::since;
use super::common::widen::through_f32;
use super::common::window::{Window, spatial};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `MaxPool`.
pub struct MaxPool;

impl Operator for MaxPool {
    fn name(&self) -> &'static str {
        "MaxPool"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, NUMBERS)?;
        let shape = output_shape(cx, ty)?;
        cx.set_output(0, ty.dtype, shape.clone());
        cx.set_output(1, DType::I64, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let input = cx.input(0)?;
            let sizes = spatial(input.shape())?;
            let axes = Window::new(cx.attrs, sizes.len(), None)?.axes(sizes)?;
            let indices = cx.take_output(1);
            let mut out = cx.output()?;
            let mut places = alloc::vec![0i64; out.as_view().len()];
            with_dtype!(numbers, input.dtype(), N => {
                max::<N>(&axes, input.as_slice()?, out.as_mut_slice()?, &mut places);
                Ok(())
            })?;
            let Some(mut indices) = indices else { return Ok(()) };
            if cx.attrs.int_or("storage_order", 0)? != 0 {
                places
                    .iter_mut()
                    .for_each(|place| *place = column_major(*place, sizes));
            }
            indices.as_mut_slice::<i64>()?.copy_from_slice(&places);
            Ok(())
        })
    }
}

/// The same place, counted with the first spatial axis fastest.
fn column_major(place: i64, sizes: &[usize]) -> i64 {
    let plane: i64 = sizes.iter().product::<usize>() as i64;
    if place < 0 || plane == 0 {
        return place;
    }
    let mut rest = place % plane;
    let mut index = alloc::vec![0i64; sizes.len()];
    for (i, &size) in index.iter_mut().zip(sizes).rev() {
        *i = rest % size as i64;
        rest /= size as i64;
    }
    let within = index
        .iter()
        .zip(sizes)
        .rev()
        .fold(0, |at, (&i, &size)| at * size as i64 + i);
    place / plane * plane + within
}
