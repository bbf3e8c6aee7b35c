//! Lists of axes and sizes, which older opsets have as attributes and newer ones as inputs.

use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx};
use crate::shape::normalise_axis;
use alloc::vec::Vec;

/// A list given by attribute or by input, as a shape rule sees it.
pub enum Given {
    /// Neither is there.
    Absent,
    /// The numbers.
    Known(Vec<i64>),
    /// An input whose data only a run knows.
    Later,
}

/// The list in input `index`, else in the attribute `name`.
///
/// # Errors
/// [`OpError::Attribute`] where the attribute is no list of integers.
pub fn given(cx: &InferCx<'_>, index: usize, name: &str) -> Result<Given, OpError> {
    if cx.optional(index).is_some() {
        return Ok(cx.ints(index).map_or(Given::Later, Given::Known));
    }
    Ok(from_attribute(cx.attrs(), name)?.map_or(Given::Absent, Given::Known))
}

/// As [`given()`], when all data is there.
///
/// # Errors
/// [`OpError::Data`] where the input holds no integers.
pub fn evaluated(cx: &EvalCx<'_, '_>, index: usize, name: &str) -> Result<Option<Vec<i64>>, OpError> {
    match cx.optional(index) {
        Some(view) => match view.to_i64s() {
            Some(list) => Ok(Some(list)),
            None => Err(OpError::Data {
                message: alloc::format!(
                    "input {index} must hold integers, it holds {}",
                    view.dtype().name()
                ),
            }),
        },
        None => from_attribute(cx.attrs, name),
    }
}

fn from_attribute(attrs: Attrs<'_>, name: &str) -> Result<Option<Vec<i64>>, OpError> {
    Ok(attrs.ints(name)?.map(|list| list.to_vec()))
}

/// Axes as indices, sorted, each once. Axis 0 of a scalar, which some exporters write, is none.
///
/// # Errors
/// [`OpError::Attribute`] for one outside of the rank or given twice.
pub fn normalise(axes: &[i64], rank: usize) -> Result<Vec<usize>, OpError> {
    let mut found = axes
        .iter()
        .map(|&axis| normalise_axis("axes", axis, rank))
        .collect::<Result<Vec<_>, _>>()?;
    found.retain(|&axis| axis < rank);
    found.sort_unstable();
    match found.windows(2).find(|w| w[0] == w[1]) {
        Some(w) => Err(OpError::attribute(
            "axes",
            alloc::format!("names axis {} twice", w[0]),
        )),
        None => Ok(found),
    }
}
