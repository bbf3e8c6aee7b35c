//! Places in the arena: where a value lies, and how one is lent out for writing while all others are read.

use crate::error::MicroError;
use crate::tensor::{Shape, Tensor};
use core::ops::Range;
use sanderling_flat::plan::{PlanView, ValueKind, ValueView};
use sanderling_flat::{DType, Tensors, ValueId};

/// Type and place of a value, from the plan alone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) dtype: DType,
    pub(crate) shape: Shape,
    pub(crate) bytes: Range<usize>,
}

/// Where an input, intermediate or output lies.
///
/// # Errors
/// [`MicroError::Value`] where its type is not fixed or the place is outside of the arena.
pub(crate) fn place<'a>(value: &ValueView<'a>, arena_len: usize) -> Result<Place, MicroError<'a>> {
    use sanderling_flat::plan::DimView;
    let refused = |what| MicroError::Value {
        name: value.name,
        what,
    };
    let dtype = value.dtype().ok_or(refused("its element type is open"))?;
    let dims = value.dims().map(|dim| match dim {
        DimView::Fixed(n) => n,
        _ => -1,
    });
    let shape = Shape::new(dims).ok_or(refused("its shape is open, or has too many dimensions"))?;
    let len = dtype
        .bytes_for(shape.elements())
        .ok_or(refused("it is of strings"))?;
    let start = value.arena_offset.and_then(|at| usize::try_from(at).ok());
    let start = start.ok_or(refused("it has no place in the arena"))?;
    let end = start.checked_add(len).filter(|&end| end <= arena_len);
    let end = end.ok_or(refused("its place is outside of the arena"))?;
    Ok(Place {
        dtype,
        shape,
        bytes: start..end,
    })
}

/// A constant of the bundle.
pub(crate) fn constant<'a>(
    tensors: &Tensors<'a>,
    index: u32,
    name: &'a str,
) -> Result<Tensor<'a>, MicroError<'a>> {
    let refused = |what| MicroError::Value { name, what };
    let found = tensors
        .get(index as usize)
        .ok_or(refused("the bundle lacks this tensor"))?;
    let dims = found.dims.iter().map(|dim| i64::try_from(dim).unwrap_or(-1));
    let shape = Shape::new(dims).ok_or(refused("it has too many dimensions"))?;
    Ok(Tensor {
        dtype: found.dtype,
        shape,
        bytes: found.data,
        constant: true,
    })
}

/// What a node reads: the arena without the output's place (and nothing of it while a plan is only checked).
#[derive(Clone, Copy)]
pub(crate) struct Memory<'x> {
    pub(crate) plan: PlanView<'x>,
    pub(crate) tensors: Tensors<'x>,
    pub(crate) arena_len: usize,
    /// Below the output's place.
    pub(crate) before: &'x [u8],
    /// Behind it, and where that begins.
    pub(crate) after: (usize, &'x [u8]),
}

impl<'x> Memory<'x> {
    pub(crate) fn tensor(&self, id: ValueId) -> Result<Tensor<'x>, MicroError<'x>> {
        let value = self.plan.value(id);
        if let ValueKind::Constant(index) = value.kind {
            return constant(&self.tensors, index, value.name);
        }
        let Place { dtype, shape, bytes } = place(&value, self.arena_len)?;
        let (start, after) = self.after;
        let found = match bytes.start.checked_sub(start) {
            Some(at) => after.get(at..at + bytes.len()),
            None => self.before.get(bytes),
        };
        Ok(Tensor {
            dtype,
            shape,
            bytes: found.unwrap_or(&[]),
            constant: false,
        })
    }
}

/// The place for writing, and the rest of the arena for reading.
pub(crate) fn lend(arena: &mut [u8], place: Range<usize>) -> Option<(&[u8], &mut [u8], &[u8])> {
    let (rest, after) = arena.split_at_mut_checked(place.end)?;
    let (before, out) = rest.split_at_mut_checked(place.start)?;
    Some((before, out, after))
}
