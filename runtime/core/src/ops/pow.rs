//! a to the power b, with broadcasting, in a's dtype. ONNX `Pow` 1, 7, 12 (integers, mixed dtypes), 13, 15.
//!
//! Integers to integers are exact and wrap; other mixtures go through binary64.

use super::common::binary::{broadcast_shape, zip_inputs};
use super::common::broadcast::zip;
use super::common::codec::reader;
use super::common::dtypes::{NUMBERS, input_of, with_dtype};
use super::common::number::Number;
use super::common::since;
use super::common::widen::through_f32;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::tensor::{Tensor, TensorView};
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `Pow`.
pub struct Pow;

impl Operator for Pow {
    fn name(&self) -> &'static str {
        "Pow"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let base = input_of(cx, 0, NUMBERS)?;
        input_of(cx, 1, NUMBERS)?;
        let shape = broadcast_shape(cx)?;
        cx.set_output(0, base.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let (base, exponent) = (cx.input(0)?.dtype(), cx.input(1)?.dtype());
            match (base, exponent) {
                (DType::F32, DType::F32) => zip_inputs(cx, square_or_power::<f32>),
                (a, b) if a == b => {
                    with_dtype!(numbers, a, N => zip_inputs(cx, |a: N, b: N| a.power(b)))
                }
                (base, _) => {
                    let (x, exponent) = (cx.input(0)?, to_f64(cx.input(1)?)?);
                    let mut out = cx.output()?;
                    with_dtype!(numbers, base, N => {
                        let exponent = (exponent.view(), exponent.shape());
                        zip((x, x.shape()), exponent, &mut out, mixed::<N>)
                    })
                }
            }
        })
    }
}

/// Squares are by far the most common power, and exact by one product.
fn square_or_power<T: Number>(a: T, b: T) -> T {
    if b == T::ONE.plus(T::ONE) {
        a.times(a)
    } else {
        a.power(b)
    }
}

fn mixed<T: Number>(a: T, b: f64) -> T {
    if b == 2.0 {
        return a.times(a);
    }
    T::from_f64(libm::pow(a.to_f64(), b))
}

fn to_f64(view: TensorView<'_>) -> Result<Tensor, OpError> {
    let read = reader(view.dtype())?;
    let values: Vec<f64> = (0..view.len()).map(|i| read(view.bytes(), i).to_f64()).collect();
    Tensor::from_slice(view.shape(), &values)
}
