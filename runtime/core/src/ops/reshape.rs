//! Another shape for the same elements. ONNX `Reshape` 1 (shape as attribute), 5 (as input), 13, 14
//! (`allowzero`), 19, 21, 23, 24, 25.
//!
//! In the shape, 0 keeps the input's dimension (unless `allowzero`), and one −1 takes what is left. Names of
//! dimensions are carried through and cancelled where they stand on both sides.

use super::common::axes::{Given, given};
use super::common::dims::missing_factor;
use super::common::since;
use super::identity::copy_bytes;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use alloc::format;
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Reshape`.
pub struct Reshape;

impl Operator for Reshape {
    fn name(&self) -> &'static str {
        "Reshape"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        let wanted = match cx.dims(1) {
            Some(dims) => dims,
            None => match given(cx, 1, "shape")? {
                Given::Known(list) => list.into_iter().map(Dim::Fixed).collect(),
                Given::Absent => return Err(OpError::MissingInput { index: 1 }),
                Given::Later => {
                    // The rank is the length of the list, where that is known.
                    if let Some([Dim::Fixed(rank)]) = cx.optional(1).map(|ty| ty.shape.as_slice()) {
                        let rank = usize::try_from(*rank).unwrap_or(0);
                        cx.set_output(0, ty.dtype, alloc::vec![Dim::Unknown; rank]);
                    }
                    return Ok(());
                }
            },
        };
        let allow_zero = cx.attrs().int_or("allowzero", 0)? != 0;
        let shape = resolve(&ty.shape, &wanted, allow_zero)?;
        if let (Some(dims), true) = (cx.dims(0), cx.data(0).is_none()) {
            cx.set_output_dims(0, dims);
        }
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        copy_bytes(cx)
    }
}

/// The shape that `wanted` asks for an input of shape `from`.
///
/// # Errors
/// [`OpError::Shape`] where it does not hold as many elements, or has more than one −1.
pub fn resolve(from: &[Dim], wanted: &[Dim], allow_zero: bool) -> Result<Vec<Dim>, OpError> {
    let mut shape = Vec::with_capacity(wanted.len());
    let mut open = None;
    for (i, dim) in wanted.iter().enumerate() {
        match dim {
            Dim::Fixed(0) if !allow_zero => shape.push(from.get(i).cloned().ok_or_else(|| {
                OpError::shape(format!(
                    "the shape keeps dimension {i} of an input of rank {}",
                    from.len()
                ))
            })?),
            Dim::Fixed(-1) if open.is_none() => {
                open = Some(i);
                shape.push(Dim::Fixed(1));
            }
            Dim::Fixed(n) if *n < 0 => {
                return Err(OpError::shape(format!("the shape asks for a dimension of {n}")));
            }
            dim => shape.push(dim.clone()),
        }
    }
    match open {
        Some(i) => {
            let rest: Vec<Dim> = shape
                .iter()
                .enumerate()
                .filter(|(j, _)| *j != i)
                .map(|(_, d)| d.clone())
                .collect();
            shape[i] = missing_factor(from, &rest)?;
        }
        None if from.iter().chain(&shape).all(|dim| dim.fixed().is_some()) => {
            let count = |dims: &[Dim]| dims.iter().filter_map(Dim::fixed).fold(1, i64::saturating_mul);
            if count(from) != count(&shape) {
                return Err(OpError::shape(format!(
                    "{} elements do not take the shape {:?}",
                    count(from),
                    shape.iter().filter_map(Dim::fixed).collect::<Vec<_>>()
                )));
            }
        }
        // One unknown dimension among known ones is what the others leave.
        None => {
            let unknown: Vec<usize> = (0..shape.len()).filter(|&i| shape[i] == Dim::Unknown).collect();
            if let [i] = unknown[..] {
                let rest: Vec<Dim> = shape
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(_, d)| d.clone())
                    .collect();
                shape[i] = missing_factor(from, &rest).unwrap_or(Dim::Unknown);
            }
        }
    }
    Ok(shape)
}
