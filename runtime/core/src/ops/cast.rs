//! Another dtype for each element. ONNX `Cast` 1 (dtype by name), 6, 9, 13, 19 (`saturate`), 21, 23, 24
//! (`round_mode`), 25.
//!
//! Floats become integers by truncation; what does not fit, which ONNX leaves open, saturates (from eight bits
//! on; in fewer it wraps). Integers become narrower integers by wrapping. Floats round to nearest even; eight-bit floats saturate unless `saturate = 0`.
//! Strings are not supported.

use super::common::codec::{Writer, reader};
use super::common::minifloat::{Overflow, PowerRounding};
use super::common::since;
use crate::attr::{AttrRef, Attrs};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use alloc::format;
use core::ops::RangeInclusive;
use sanderling_bundle::DType;

/// ONNX `Cast`.
pub struct Cast;

impl Operator for Cast {
    fn name(&self) -> &'static str {
        "Cast"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let target = target(cx.attrs())?;
        infer_cast(cx, target)
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        eval_cast(cx)
    }
}

/// The dtype named by `to`.
fn target(attrs: Attrs<'_>) -> Result<DType, OpError> {
    let unknown = |to: &dyn core::fmt::Display| OpError::attribute("to", format!("names no dtype: {to}"));
    match attrs.get("to") {
        Some(AttrRef::Int(code)) => i32::try_from(code)
            .ok()
            .and_then(DType::from_code)
            .ok_or_else(|| unknown(&code)),
        Some(AttrRef::String(_)) => {
            let name = attrs.str_or("to", "")?;
            let long = match name {
                "FLOAT" => "float32",
                "DOUBLE" => "float64",
                other => other,
            };
            let spelt = |d: &&DType| d.name().eq_ignore_ascii_case(long);
            DType::ALL
                .iter()
                .find(spelt)
                .copied()
                .ok_or_else(|| unknown(&name))
        }
        _ => Err(OpError::attribute("to", "is required and absent")),
    }
}

/// The shape rule of `Cast` and `CastLike`.
///
/// # Errors
/// [`OpError::Unsupported`] for dtypes that have no numbers.
pub fn infer_cast(cx: &mut InferCx<'_>, to: DType) -> Result<(), OpError> {
    let ty = cx.input(0)?;
    reader(ty.dtype)?;
    writer(cx.attrs(), to)?;
    let carries = matches!(to, DType::I64 | DType::I32) && ty.dtype.is_integer() && cx.data(0).is_none();
    if let Some(dims) = cx.dims(0).filter(|_| carries) {
        cx.set_output_dims(0, dims);
    }
    cx.set_output(0, to, ty.shape.clone());
    Ok(())
}

fn writer(attrs: Attrs<'_>, to: DType) -> Result<Writer, OpError> {
    let mut writer = Writer::new(to)?;
    if attrs.int_or("saturate", 1)? == 0 {
        writer.overflow = Overflow::Escape;
    }
    writer.e8m0 = match attrs.str_or("round_mode", "up")? {
        "up" => PowerRounding::Up,
        "down" => PowerRounding::Down,
        "nearest" => PowerRounding::Nearest,
        other => return Err(OpError::attribute("round_mode", format!("is '{other}'"))),
    };
    Ok(writer)
}

/// Converts the first input to the first output's dtype.
///
/// # Errors
/// [`OpError::Unsupported`] for dtypes that have no numbers.
pub fn eval_cast(cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
    let input = cx.input(0)?;
    let mut out = cx.output()?;
    if input.dtype() == out.dtype() {
        out.bytes_mut().copy_from_slice(input.bytes());
        return Ok(());
    }
    let (read, write) = (reader(input.dtype())?, writer(cx.attrs, out.dtype())?);
    let (from, to) = (input.bytes(), out.bytes_mut());
    (0..input.len()).for_each(|i| write.write(to, i, read(from, i)));
    Ok(())
}
