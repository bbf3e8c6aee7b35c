//! saturate(round(x ÷ scale) + zero point), halves to even. ONNX `QuantizeLinear` 10, 13 (`axis`), 19 (8-bit
//! floats), 21 (4 and 16 bits, `block_size`, `output_dtype`), 23 (`precision`), 24, 25.
//!
//! The quotient is a binary32 division (binary64 where x and scale are, or `precision` says so;
//! a quotient of sixteen bits is refused). To small floats it is rounded to their
//! precision instead of to an integer. NaN becomes the zero point.

use super::common::codec::{Wide, Writer, reader};
use super::common::dtypes::{NUMBERS, input_of};
use super::common::minifloat::Overflow;
use super::common::quantise::{Granularity, check_zero_point, check_zero_point_type};
use super::common::since;
use super::dequantize_linear::output_dtype;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `QuantizeLinear`.
pub struct QuantizeLinear;

impl Operator for QuantizeLinear {
    fn name(&self) -> &'static str {
        "QuantizeLinear"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(10)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (ty, scale) = (input_of(cx, 0, NUMBERS)?, input_of(cx, 1, NUMBERS)?);
        if let (Some(input), Some(scale)) = (ty.concrete(), scale.concrete()) {
            Granularity::new(cx.attrs(), &input, &scale)?;
        }
        check_zero_point_type(cx)?;
        double_precision(cx.attrs(), [ty.dtype, scale.dtype])?;
        let dtype = match cx.optional(2) {
            Some(zero) => zero.dtype,
            None => output_dtype(cx.attrs(), DType::U8)?,
        };
        if integer_range(dtype).is_none() {
            Writer::new(dtype)?;
        }
        cx.set_output(0, dtype, ty.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (input, scale, zero) = (cx.input(0)?, cx.input(1)?, cx.optional(2));
        check_zero_point(&scale, zero.as_ref())?;
        let granularity = Granularity::new(cx.attrs, input.shape(), scale.shape())?;
        let double = double_precision(cx.attrs, [input.dtype(), scale.dtype()])?;
        let mut out = cx.output()?;
        let mut write = Writer::new(out.dtype())?;
        if cx.attrs.int_or("saturate", 1)? == 0 {
            write.overflow = Overflow::Escape;
        }
        let range = integer_range(out.dtype());
        let (read, read_scale) = (reader(input.dtype())?, reader(scale.dtype())?);
        let read_zero = zero
            .map(|zero| Ok::<_, OpError>((reader(zero.dtype())?, zero.bytes())))
            .transpose()?;
        for i in 0..input.len() {
            let at = granularity.index(i);
            let (x, scale) = (
                read(input.bytes(), i).to_f64(),
                read_scale(scale.bytes(), at).to_f64(),
            );
            let quotient = if double {
                x / scale
            } else {
                f64::from(x as f32 / scale as f32)
            };
            let zero = read_zero.map_or(Wide::Int(0), |(read, bytes)| read(bytes, at));
            let value = match (range, zero) {
                (Some((min, max)), Wide::Int(zero)) => {
                    // A float that is out of i64's range saturates here, and again to the dtype below.
                    let rounded = i128::from(libm::rint(quotient) as i64);
                    Wide::Int((rounded + zero).clamp(min, max))
                }
                (_, zero) => Wide::Float(quotient + zero.to_f64()),
            };
            write.write(out.bytes_mut(), i, value);
        }
        Ok(())
    }
}

/// Whether the quotient is of binary64: `precision` says so, or x and scale both are and it says nothing.
fn double_precision(attrs: Attrs<'_>, dtypes: [DType; 2]) -> Result<bool, OpError> {
    let code = attrs.int_or("precision", 0)?;
    match i32::try_from(code).ok().and_then(DType::from_code) {
        Some(DType::F64) => Ok(true),
        Some(DType::F32) => Ok(false),
        _ if code == 0 => Ok(dtypes == [DType::F64; 2]),
        Some(dtype) => Err(OpError::unsupported(alloc::format!(
            "a quotient of {} (`precision`)",
            dtype.name()
        ))),
        None => Err(OpError::attribute(
            "precision",
            alloc::format!("names no dtype: {code}"),
        )),
    }
}

/// Least and greatest value of an integer dtype.
fn integer_range(dtype: DType) -> Option<(i128, i128)> {
    let bits = dtype.bits() as u32;
    match dtype {
        DType::U2 | DType::U4 | DType::U8 | DType::U16 | DType::U32 | DType::U64 => {
            Some((0, (1i128 << bits) - 1))
        }
        DType::I2 | DType::I4 | DType::I8 | DType::I16 | DType::I32 | DType::I64 => {
            Some((-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1))
        }
        _ => None,
    }
}
