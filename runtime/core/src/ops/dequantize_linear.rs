//! (x − zero point) · scale. ONNX `DequantizeLinear` 10, 13 (`axis`), 19 (8-bit floats), 21 (4 and 16 bits,
//! `block_size`), 23 (`output_dtype`), 24, 25.
//!
//! The difference is taken exactly, rounded to binary32 and multiplied there; half precision rounds once more.

use super::common::codec::{Wide, Writer, reader};
use super::common::dtypes::{FLOATS, input_of, same_dtype};
use super::common::quantise::{Granularity, check_zero_point, check_zero_point_type};
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `DequantizeLinear`.
pub struct DequantizeLinear;

impl Operator for DequantizeLinear {
    fn name(&self) -> &'static str {
        "DequantizeLinear"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, scale) = (cx.input(0)?, input_of(cx, 1, FLOATS)?);
        reader(ty.dtype)?;
        same_dtype_as_first(cx, ty.dtype)?;
        if let (Some(input), Some(scale)) = (ty.concrete(), scale.concrete()) {
            Granularity::new(cx.attrs(), &input, &scale)?;
        }
        check_zero_point_type(cx)?;
        let dtype = output_dtype(cx.attrs(), scale.dtype)?;
        cx.set_output(0, dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (input, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
        check_zero_point(&scale, zero.as_ref())?;
        let granularity = Granularity::new(cx.attrs, input.shape(), scale.shape())?;
        let mut out = cx.output()?;
        let write = Writer::new(out.dtype())?;
        let (read, read_scale) = (reader(input.dtype())?, reader(scale.dtype())?);
        for i in 0..input.len() {
            let at = granularity.index(i);
            let zero = zero.map_or(Wide::Int(0), |zero| read(zero.bytes(), at));
            let scale = read_scale(scale.bytes(), at).to_f64() as f32;
            let product = difference(read(input.bytes(), i), zero) * scale;
            write.write(out.bytes_mut(), i, Wide::Float(product.into()));
        }
        Ok(())
    }
}

/// The zero point must be of the quantised dtype.
fn same_dtype_as_first(cx: &InferCx<'_>, dtype: DType) -> Result<(), OpError> {
    same_dtype(cx, 2, dtype)
}

/// `output_dtype`, or this default.
///
/// # Errors
/// [`OpError::Attribute`] where it names no dtype.
pub fn output_dtype(attrs: crate::Attrs<'_>, default: DType) -> Result<DType, OpError> {
    match attrs.int_or("output_dtype", 0)? {
        0 => Ok(default),
        code => i32::try_from(code)
            .ok()
            .and_then(DType::from_code)
            .ok_or_else(|| OpError::attribute("output_dtype", alloc::format!("names no dtype: {code}"))),
    }
}

fn difference(x: Wide, zero: Wide) -> f32 {
    match (x, zero) {
        (Wide::Int(x), Wide::Int(zero)) => (x - zero) as f32,
        (x, zero) => (x.to_f64() - zero.to_f64()) as f32,
    }
}
