//! Broadcast and strided iteration: dimensions merged into as few as can be, then walked row by row.

use crate::error::{Error, Result, product, rule};

/// The most dimensions of a tensor.
pub(crate) const MAX_DIMS: usize = 16;

/// Dimensions of an output and the strides of `N` inputs, neighbouring ones merged where all inputs allow it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Merged<const N: usize> {
    dims: [usize; MAX_DIMS],
    strides: [[isize; N]; MAX_DIMS],
    rank: usize,
}

impl<const N: usize> Merged<N> {
    /// Merges; `strides[i]` is one stride for each dimension of input i.
    pub(crate) fn new(
        kernel: &'static str,
        shape: &[usize],
        strides: [&dyn Fn(usize) -> isize; N],
    ) -> Result<Self> {
        rule(
            kernel,
            shape.len() <= MAX_DIMS,
            "a tensor may have 16 dimensions at most",
        )?;
        let mut m = Merged {
            dims: [1; MAX_DIMS],
            strides: [[0; N]; MAX_DIMS],
            rank: 0,
        };
        for (d, &dim) in shape.iter().enumerate().filter(|&(_, &dim)| dim != 1) {
            let here: [isize; N] = core::array::from_fn(|i| strides[i](d));
            // The dimension before goes on where this one ends: they are one.
            let last = m.rank.wrapping_sub(1);
            let joins =
                m.rank > 0 && (0..N).all(|i| Some(m.strides[last][i]) == here[i].checked_mul(dim as isize));
            if joins {
                m.dims[last] *= dim;
                m.strides[last] = here;
            } else {
                m.dims[m.rank] = dim;
                m.strides[m.rank] = here;
                m.rank += 1;
            }
        }
        if m.rank == 0 {
            m.rank = 1;
            m.strides[0] = [1; N];
        }
        Ok(m)
    }

    /// The innermost dimension.
    pub(crate) fn cols(&self) -> usize {
        self.dims[self.rank - 1]
    }

    /// The product of the others.
    pub(crate) fn rows(&self) -> usize {
        self.dims[..self.rank - 1].iter().product()
    }

    /// The inputs' strides along the innermost dimension.
    pub(crate) fn col_strides(&self) -> [isize; N] {
        self.strides[self.rank - 1]
    }

    /// Walks the rows from the `start`th on.
    pub(crate) fn walk(&self, start: usize) -> Walk<'_, N> {
        let mut walk = Walk {
            merged: self,
            index: [0; MAX_DIMS],
            offsets: [0; N],
        };
        let mut rest = start;
        for d in (0..self.rank - 1).rev() {
            walk.index[d] = rest % self.dims[d];
            rest /= self.dims[d];
            for i in 0..N {
                walk.offsets[i] += walk.index[d] as isize * self.strides[d][i];
            }
        }
        walk
    }

    /// If input 0 is contiguous along the dimension before the innermost, but not along that: its length, its stride
    /// and how many such planes there are.
    pub(crate) fn transposes(&self) -> Option<(usize, isize, usize)> {
        let before = self.rank.checked_sub(2)?;
        let crosswise = self.strides[before][0] == 1 && self.strides[self.rank - 1][0] > 1;
        crosswise.then(|| (self.dims[before], 1, self.dims[..before].iter().product()))
    }

    /// The least and the greatest offset of each input.
    pub(crate) fn extents(&self, kernel: &'static str) -> Result<[(isize, isize); N]> {
        let mut extents = [(0isize, 0isize); N];
        for d in 0..self.rank {
            for (i, extent) in extents.iter_mut().enumerate() {
                let overflow = Error::Overflow { kernel };
                let last = isize::try_from(self.dims[d].saturating_sub(1)).map_err(|_| overflow)?;
                let span = last.checked_mul(self.strides[d][i]).ok_or(overflow)?;
                let end = if span < 0 { &mut extent.0 } else { &mut extent.1 };
                *end = end.checked_add(span).ok_or(overflow)?;
            }
        }
        Ok(extents)
    }
}

/// An odometer over rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a, const N: usize> {
    merged: &'a Merged<N>,
    index: [usize; MAX_DIMS],
    /// Where the present row starts in each input.
    pub(crate) offsets: [isize; N],
}

impl<const N: usize> Walk<'_, N> {
    /// Goes to the next row.
    #[inline(always)]
    pub(crate) fn advance(&mut self) {
        for d in (0..self.merged.rank - 1).rev() {
            self.index[d] += 1;
            let (dim, strides) = (self.merged.dims[d], &self.merged.strides[d]);
            if self.index[d] < dim {
                for (offset, stride) in self.offsets.iter_mut().zip(strides) {
                    *offset += stride;
                }
                return;
            }
            self.index[d] = 0;
            for (offset, stride) in self.offsets.iter_mut().zip(strides) {
                *offset -= (dim - 1) as isize * stride;
            }
        }
    }
}

/// The strides with which a tensor of shape `from` is read as one of shape `to` (NumPy's rule, which is ONNX's
/// multidirectional broadcast): dimensions are aligned at the end, and those of length 1 or missing repeat.
///
/// # Errors
/// Shapes that cannot be broadcast, or an `out` of another length than `to`.
pub fn broadcast_strides(from: &[usize], to: &[usize], out: &mut [usize]) -> Result<()> {
    const KERNEL: &str = "broadcast";
    rule(
        KERNEL,
        out.len() == to.len(),
        "one stride for each dimension of the result",
    )?;
    rule(
        KERNEL,
        from.len() <= to.len(),
        "the input may not have more dimensions than the result",
    )?;
    product(KERNEL, from)?;
    let missing = to.len() - from.len();
    out[..missing].fill(0);
    let mut stride = 1;
    for (d, &dim) in from.iter().enumerate().rev() {
        rule(
            KERNEL,
            dim == to[missing + d] || dim == 1,
            "dimensions must be equal or 1",
        )?;
        out[missing + d] = if dim == 1 { 0 } else { stride };
        stride *= dim;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcast_follows_numpy() {
        let mut out = [9; 4];
        broadcast_strides(&[3, 1, 5], &[2, 3, 4, 5], &mut out).unwrap();
        assert_eq!(out, [0, 5, 0, 1]);
        broadcast_strides(&[], &[2, 3, 4, 5], &mut out).unwrap();
        assert_eq!(out, [0; 4]);
        assert!(broadcast_strides(&[2], &[2, 3, 4, 5], &mut out).is_err());
        assert!(broadcast_strides(&[1, 2, 3, 4, 5], &[2, 3, 4, 5], &mut out).is_err());
    }

    #[test]
    fn contiguous_dimensions_become_one() {
        let strides = [60isize, 20, 5, 1];
        let bias = [0isize, 1, 0, 0];
        let m = Merged::new("test", &[2, 3, 4, 5], [&|d| strides[d], &|d| strides[d]]).unwrap();
        assert_eq!((m.rows(), m.cols(), m.col_strides()), (1, 120, [1, 1]));
        let m = Merged::new("test", &[2, 3, 4, 5], [&|d| strides[d], &|d| bias[d]]).unwrap();
        assert_eq!((m.rows(), m.cols(), m.col_strides()), (6, 20, [1, 0]));
        let mut walk = m.walk(0);
        for row in 0..6 {
            assert_eq!(walk.offsets, [row * 20, row % 3]);
            assert_eq!(m.walk(row as usize).offsets, walk.offsets);
            walk.advance();
        }
    }
}
