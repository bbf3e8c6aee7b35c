//! Checks of the values that come in.
//!
//! Names and types are always held to what the model takes. What elements may be is policy: NaN and infinity, and
//! elements outside of a declared range, are refused or flagged, and counted in either case.

use crate::error::SessionError;
use crate::model::PortInfo;
use crate::options::OnBadInput;
use sanderling_core::{DType, Dim, TensorType, TensorView};

/// What was counted since the session was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counters {
    /// Runs that gave outputs.
    pub runs: u64,
    /// Inputs refused for their name, dtype or shape.
    pub wrong_type: u64,
    /// Inputs with NaN or infinity, refused or flagged.
    pub non_finite: u64,
    /// Inputs with elements outside of the declared range, refused or flagged.
    pub out_of_range: u64,
    /// Runs that failed after their inputs were accepted.
    pub failed: u64,
}

/// What was wrong with the inputs of a run that went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct InputFlags {
    /// Some element was NaN or infinite.
    pub non_finite: bool,
    /// Some element was outside of its declared range.
    pub out_of_range: bool,
}

impl InputFlags {
    /// Whether anything was wrong.
    #[must_use]
    pub fn any(self) -> bool {
        self.non_finite || self.out_of_range
    }
}

/// What to do with bad values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Policy {
    pub(crate) non_finite: OnBadInput,
    pub(crate) out_of_range: OnBadInput,
}

/// Holds a tensor's type to its port's.
pub(crate) fn check_type(port: &PortInfo, view: &TensorView<'_>) -> Result<(), SessionError> {
    let Some(ty) = &port.ty else { return Ok(()) };
    let dims_fit = ty.shape.iter().zip(view.shape()).all(|(dim, &n)| match dim {
        Dim::Fixed(want) => usize::try_from(*want) == Ok(n),
        Dim::Symbol(_) | Dim::Unknown => true,
    });
    if ty.dtype == view.dtype() && ty.rank() == view.shape().len() && dims_fit {
        return Ok(());
    }
    Err(SessionError::InputType {
        name: port.name.clone(),
        expected: ty.to_string(),
        found: TensorType::fixed(view.dtype(), view.shape()).to_string(),
    })
}

/// Holds a tensor's elements to the policy.
pub(crate) fn check_values(
    port: &PortInfo,
    view: &TensorView<'_>,
    policy: Policy,
    flags: &mut InputFlags,
    counters: &mut Counters,
) -> Result<(), SessionError> {
    let refuse = |element, range| {
        let value = element_at(view, element);
        Err(SessionError::InputValue {
            name: port.name.clone(),
            element,
            value,
            range,
        })
    };
    if let Some(element) = first_non_finite(view) {
        counters.non_finite += 1;
        flags.non_finite = true;
        if policy.non_finite == OnBadInput::Reject {
            return refuse(element, None);
        }
    }
    if let Some((element, range)) = port
        .range
        .and_then(|range| Some((first_outside(view, range)?, range)))
    {
        counters.out_of_range += 1;
        flags.out_of_range = true;
        if policy.out_of_range == OnBadInput::Reject {
            return refuse(element, Some(range));
        }
    }
    Ok(())
}

fn first_non_finite(view: &TensorView<'_>) -> Option<usize> {
    fn half(view: &TensorView<'_>, exponent: u16) -> Option<usize> {
        let words = view
            .bytes()
            .chunks_exact(2)
            .map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        words.into_iter().position(|bits| bits & exponent == exponent)
    }
    match view.dtype() {
        DType::F32 => view.as_slice::<f32>().ok()?.iter().position(|x| !x.is_finite()),
        DType::F64 => view.as_slice::<f64>().ok()?.iter().position(|x| !x.is_finite()),
        DType::F16 => half(view, 0x7c00),
        DType::BF16 => half(view, 0x7f80),
        _ => None,
    }
}

/// The first element outside of a range; NaN is [`first_non_finite`]'s.
fn first_outside(view: &TensorView<'_>, (low, high): (f64, f64)) -> Option<usize> {
    let outside = |x: f64| x < low || x > high;
    match view.dtype() {
        DType::F32 => view
            .as_slice::<f32>()
            .ok()?
            .iter()
            .position(|&x| outside(f64::from(x))),
        DType::I32 => view
            .as_slice::<i32>()
            .ok()?
            .iter()
            .position(|&x| outside(f64::from(x))),
        DType::U8 => view.bytes().iter().position(|&x| outside(f64::from(x))),
        _ => (0..view.len()).find(|&i| outside(element_at(view, i))),
    }
}

/// One element as a number, by its index in row-major order; NaN where there is none, and for types that have none.
#[must_use]
pub fn element_at(view: &TensorView<'_>, index: usize) -> f64 {
    fn read<T: sanderling_core::Element>(view: &TensorView<'_>, index: usize) -> Option<T> {
        view.as_slice::<T>().ok()?.get(index).copied()
    }
    let number = match view.dtype() {
        DType::F32 => read::<f32>(view, index).map(f64::from),
        DType::F64 => read::<f64>(view, index),
        DType::F16 => read::<half::f16>(view, index).map(f64::from),
        DType::BF16 => read::<half::bf16>(view, index).map(f64::from),
        DType::I8 => read::<i8>(view, index).map(f64::from),
        DType::I16 => read::<i16>(view, index).map(f64::from),
        DType::I32 => read::<i32>(view, index).map(f64::from),
        DType::I64 => read::<i64>(view, index).map(|n| n as f64),
        DType::U8 | DType::Bool => read::<u8>(view, index).map(f64::from),
        DType::U16 => read::<u16>(view, index).map(f64::from),
        DType::U32 => read::<u32>(view, index).map(f64::from),
        DType::U64 => read::<u64>(view, index).map(|n| n as f64),
        _ => None,
    };
    number.unwrap_or(f64::NAN)
}
