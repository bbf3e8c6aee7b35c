//! Walking through tensors of other shapes than the output's: broadcast, transposed, cut.

use crate::error::Fault;
use crate::tensor::{MAX_RANK, Shape};

/// Row-major distances of a shape's axes.
pub(super) fn strides(shape: &Shape) -> [isize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    let mut behind = 1;
    for axis in (0..shape.rank()).rev() {
        strides[axis] = behind;
        behind *= shape.dim(axis) as isize;
    }
    strides
}

/// Distances in a tensor of `from` for the axes of `to`, to which it is broadcast.
///
/// # Errors
/// [`Fault::Shape`] where it cannot be.
pub(super) fn broadcast(from: &Shape, to: &Shape) -> Result<[isize; MAX_RANK], Fault> {
    let refused = Fault::Shape("an input cannot be broadcast to the output");
    let missing = to.rank().checked_sub(from.rank()).ok_or(refused)?;
    let own = strides(from);
    let mut strides = [0; MAX_RANK];
    for axis in 0..from.rank() {
        match from.dim(axis) {
            1 => {}
            n if n == to.dim(axis + missing) => strides[axis + missing] = own[axis],
            _ => return Err(refused),
        }
    }
    Ok(strides)
}

/// What two shapes are broadcast to, where [`broadcast`] takes both there; none for what is too large for a shape.
pub(super) fn joined(a: &Shape, b: &Shape) -> Option<Shape> {
    let rank = a.rank().max(b.rank());
    let dim = |shape: &Shape, axis: usize| {
        (axis + shape.rank())
            .checked_sub(rank)
            .map_or(1, |at| shape.dim(at))
    };
    let dims = (0..rank).map(|axis| match (dim(a, axis), dim(b, axis)) {
        (1, n) | (n, _) => n as i64,
    });
    Shape::new(dims)
}

/// The offsets in `N` tensors of each element of a shape, in row-major order.
pub(super) struct Walk<const N: usize> {
    shape: Shape,
    index: [u32; MAX_RANK],
    strides: [[isize; MAX_RANK]; N],
    at: [isize; N],
    left: usize,
}

impl<const N: usize> Walk<N> {
    pub(super) fn new(shape: Shape, start: [isize; N], strides: [[isize; MAX_RANK]; N]) -> Self {
        Self {
            shape,
            index: [0; MAX_RANK],
            strides,
            at: start,
            left: shape.elements(),
        }
    }
}

impl<const N: usize> Iterator for Walk<N> {
    type Item = [usize; N];

    fn next(&mut self) -> Option<[usize; N]> {
        self.left = self.left.checked_sub(1)?;
        let found = self.at.map(|at| at as usize);
        for axis in (0..self.shape.rank()).rev() {
            let dim = self.shape.dim(axis);
            self.index[axis] += 1;
            if (self.index[axis] as usize) < dim {
                for (at, strides) in self.at.iter_mut().zip(&self.strides) {
                    *at += strides[axis];
                }
                break;
            }
            self.index[axis] = 0;
            for (at, strides) in self.at.iter_mut().zip(&self.strides) {
                *at -= strides[axis] * (dim as isize - 1);
            }
        }
        Some(found)
    }
}
