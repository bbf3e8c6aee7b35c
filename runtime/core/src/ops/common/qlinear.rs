//! What the quantised operators share: operands with their scale and zero point, centred values, eight-bit results.
//!
//! An operand is three inputs in a row: the tensor, its scale, its zero point. Values are centred (the zero point
//! taken off) into int32, computed with by the same loops as everything else, where sums wrap, and requantised.

use super::dtypes::Class;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx};
use crate::shape::TensorType;
use crate::tensor::{Tensor, TensorView, TensorViewMut};
use alloc::format;
use alloc::vec::Vec;
use sanderling_bundle::DType;

/// u8 and i8.
pub const EIGHT_BITS: Class = Class {
    name: "uint8 or int8",
    holds: |d| matches!(d, DType::U8 | DType::I8),
};

/// Where an operand's inputs are.
#[derive(Debug, Clone, Copy)]
pub struct Operand {
    /// The tensor; none for the result, which has a scale and a zero point only.
    pub value: Option<usize>,
    /// Its scale; its zero point follows.
    pub scale: usize,
}

/// The operand whose tensor is this input.
#[must_use]
pub const fn operand(value: usize) -> Operand {
    Operand {
        value: Some(value),
        scale: value + 1,
    }
}

/// The result, whose scale is this input.
#[must_use]
pub const fn result(scale: usize) -> Operand {
    Operand { value: None, scale }
}

/// Scales and zero points: each one for all, or one a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantisation {
    scales: Vec<f32>,
    zeros: Vec<i32>,
}

impl Quantisation {
    /// Of a scale and a zero point, left out for 0.
    ///
    /// # Errors
    /// [`OpError`] for other types than binary32 and eight bits, scales that are not positive and finite, and as
    /// many zero points as fit neither one for all nor one a scale.
    pub fn new(scale: TensorView<'_>, zero: Option<TensorView<'_>>) -> Result<Self, OpError> {
        let scales = scale.as_slice::<f32>()?.to_vec();
        if let Some(wrong) = scales.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(OpError::Data {
                message: format!("a scale is {wrong}; scales are positive and finite"),
            });
        }
        let zeros = match zero {
            Some(zero) => centred(zero, |_| 0)?,
            None => alloc::vec![0],
        };
        if zeros.len() != scales.len() && zeros.len() != 1 && scales.len() != 1 {
            return Err(OpError::shape(format!(
                "{} zero points for {} scales",
                zeros.len(),
                scales.len()
            )));
        }
        Ok(Self { scales, zeros })
    }

    /// The scale and zero point of a channel.
    #[must_use]
    pub fn of(&self, channel: usize) -> (f32, i32) {
        let at = |len: usize| if len == 1 { 0 } else { channel };
        (
            self.scales[at(self.scales.len())],
            self.zeros[at(self.zeros.len())],
        )
    }

    /// The only scale and zero point.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] where there is one a channel.
    pub fn single(&self) -> Result<(f32, i32), OpError> {
        match (&self.scales[..], &self.zeros[..]) {
            (&[scale], &[zero]) => Ok((scale, zero)),
            _ => Err(OpError::unsupported(
                "a scale for each channel of a computed tensor",
            )),
        }
    }

    /// Holds that there is one for all, or `channels`.
    ///
    /// # Errors
    /// [`OpError::Shape`].
    pub fn fit(self, channels: usize) -> Result<Self, OpError> {
        for (len, what) in [(self.scales.len(), "scales"), (self.zeros.len(), "zero points")] {
            if len != 1 && len != channels {
                return Err(OpError::shape(format!("{len} {what} for {channels} channels")));
            }
        }
        Ok(self)
    }
}

impl Operand {
    /// Holds the types of the three inputs; gives the tensor's (the zero point's for the result).
    ///
    /// # Errors
    /// [`OpError`] naming the input.
    pub fn check<'a>(&self, cx: &InferCx<'a>) -> Result<&'a TensorType, OpError> {
        let zero = self.scale + 1;
        let typed = self.value.unwrap_or(zero);
        let ty = super::dtypes::input_of(cx, typed, EIGHT_BITS)?;
        self.check_scale(cx)?;
        super::dtypes::same_dtype(cx, zero, ty.dtype)?;
        Ok(ty)
    }

    /// Holds the type of the scale.
    ///
    /// # Errors
    /// [`OpError`] naming the input.
    pub fn check_scale(&self, cx: &InferCx<'_>) -> Result<(), OpError> {
        if cx.input(self.scale)?.dtype != DType::F32 {
            return Err(OpError::InputType {
                index: self.scale,
                expected: "float32",
                found: cx.input(self.scale)?.dtype,
            });
        }
        Ok(())
    }

    /// Its scales and zero points.
    ///
    /// # Errors
    /// As [`Quantisation::new`].
    pub fn quantisation(&self, cx: &EvalCx<'_, '_>) -> Result<Quantisation, OpError> {
        Quantisation::new(cx.input(self.scale)?, cx.optional(self.scale + 1))
    }

    /// The tensor, centred, under its own shape, and its scale.
    ///
    /// # Errors
    /// As [`Quantisation::single`].
    pub fn centred(&self, cx: &EvalCx<'_, '_>) -> Result<(Tensor, f32), OpError> {
        let view = cx.input(self.value.unwrap_or(self.scale + 1))?;
        let (scale, zero) = self.quantisation(cx)?.single()?;
        let values = centred(view, |_| zero)?;
        Ok((Tensor::from_slice(view.shape(), &values)?, scale))
    }
}

/// An eight-bit tensor's elements less the zero point of each.
///
/// # Errors
/// [`OpError::Unsupported`] for other dtypes.
pub fn centred(view: TensorView<'_>, zero: impl Fn(usize) -> i32) -> Result<Vec<i32>, OpError> {
    let read: fn(u8) -> i32 = match view.dtype() {
        DType::U8 => i32::from,
        DType::I8 => |byte| i32::from(byte as i8),
        other => return Err(super::dtypes::no_code(other)),
    };
    let bytes = view.bytes().iter().enumerate();
    Ok(bytes.map(|(i, &byte)| read(byte) - zero(i)).collect())
}

/// Writes values that are in the range of the output's dtype, u8 or i8.
pub fn store(out: &mut TensorViewMut<'_>, values: impl Iterator<Item = i32>) {
    // The low byte is the two's complement of both types.
    let bytes = out.bytes_mut().iter_mut().zip(values);
    bytes.for_each(|(byte, value)| *byte = value as u8);
}
