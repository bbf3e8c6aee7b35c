//! Moving elements without arithmetic: transpose, strided copy, gather. Any element type that is `Copy`.
//!
//! All are one walk over the output with the input's strides; what differs is the innermost loop. Where the output's
//! rows are contiguous in the input too, it copies slices; where the input is contiguous along another dimension (a
//! transpose), it takes blocks of 16×16, so that both sides are read and written by whole cache lines.

use crate::error::{Error, Result, holds, product, rule};
use crate::layout::{MAX_DIMS, Merged};
use crate::reduce::Axis;

/// Rows and columns of a block of a transpose.
const BLOCK: usize = 16;

/// `y[i₀, i₁, …] = x[…]` with dimension d of y being dimension `perm[d]` of x.
///
/// # Errors
/// Slices that are too short, a `perm` that is not a permutation of the dimensions.
pub fn transpose<T: Copy>(x: &[T], shape: &[usize], perm: &[usize], y: &mut [T]) -> Result<()> {
    const KERNEL: &str = "transpose";
    let rank = shape.len();
    rule(
        KERNEL,
        rank <= MAX_DIMS,
        "a tensor may have 16 dimensions at most",
    )?;
    let mut seen = [false; MAX_DIMS];
    let valid = perm.len() == rank
        && perm
            .iter()
            .all(|&p| p < rank && !core::mem::replace(&mut seen[p], true));
    rule(KERNEL, valid, "perm must name each dimension once")?;
    holds(KERNEL, "x", product(KERNEL, shape)?, x.len())?;
    let (mut dims, mut strides) = ([0; MAX_DIMS], [0isize; MAX_DIMS]);
    for (d, &p) in perm.iter().enumerate() {
        dims[d] = shape[p];
        strides[d] = shape[p + 1..].iter().product::<usize>() as isize;
    }
    strided_copy(x, 0, &dims[..rank], &strides[..rank], y)
}

/// `y[i₀, i₁, …] = x[offset + Σ iₖ·strides[k]]`, y contiguous: slices (negative strides go backwards), expansion
/// (stride 0), permutation.
///
/// # Errors
/// A y that is too short, offsets that reach outside x.
pub fn strided_copy<T: Copy>(
    x: &[T],
    offset: usize,
    shape: &[usize],
    strides: &[isize],
    y: &mut [T],
) -> Result<()> {
    const KERNEL: &str = "strided_copy";
    rule(
        KERNEL,
        strides.len() == shape.len(),
        "one stride for each dimension",
    )?;
    let len = product(KERNEL, shape)?;
    holds(KERNEL, "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    let merged = Merged::new(KERNEL, shape, [&|d| strides[d]])?;
    let [(least, greatest)] = merged.extents(KERNEL)?;
    let overflow = Error::Overflow { kernel: KERNEL };
    let start = isize::try_from(offset).map_err(|_| overflow)?;
    rule(
        KERNEL,
        start.checked_add(least).ok_or(overflow)? >= 0,
        "strides must not reach before the first element",
    )?;
    let last = start.checked_add(greatest).ok_or(overflow)? as usize;
    holds(KERNEL, "x", last.saturating_add(1), x.len())?;
    // SAFETY: every offset is between the extents, which lie in x; y holds the shape.
    unsafe { copy_rows(x.as_ptr().add(offset), &merged, &mut y[..len]) };
    Ok(())
}

/// # Safety
/// `x` is readable at all of `merged`'s offsets, and `y` has its shape.
unsafe fn copy_rows<T: Copy>(x: *const T, merged: &Merged<1>, y: &mut [T]) {
    let cols = merged.cols();
    let [stride] = merged.col_strides();
    let mut walk = merged.walk(0);
    if let Some((rows, row_stride, outer)) = merged.transposes() {
        let plane = rows * cols;
        for (i, y) in y.chunks_exact_mut(plane).enumerate() {
            debug_assert!(i < outer);
            // SAFETY: the plane's offsets are the rows' first offset plus multiples of the two strides.
            unsafe { transpose_plane(x.offset(walk.offsets[0]), rows, cols, row_stride, stride, y) };
            (0..rows).for_each(|_| walk.advance());
        }
        return;
    }
    for row in y.chunks_exact_mut(cols) {
        // SAFETY: by contract, for each column.
        unsafe {
            let from = x.offset(walk.offsets[0]);
            match stride {
                1 => core::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), cols),
                0 => row.fill(*from),
                _ => {
                    for (i, y) in row.iter_mut().enumerate() {
                        *y = *from.offset(i as isize * stride);
                    }
                }
            }
        }
        walk.advance();
    }
}

/// `y[r][c] = x[r · row_stride + c · col_stride]` in blocks.
///
/// # Safety
/// `x` is readable at these offsets; `y` has rows × cols elements.
unsafe fn transpose_plane<T: Copy>(
    x: *const T,
    rows: usize,
    cols: usize,
    row_stride: isize,
    col_stride: isize,
    y: &mut [T],
) {
    let y = y.as_mut_ptr();
    for r0 in (0..rows).step_by(BLOCK) {
        let r1 = (r0 + BLOCK).min(rows);
        for c0 in (0..cols).step_by(BLOCK) {
            let c1 = (c0 + BLOCK).min(cols);
            for r in r0..r1 {
                for c in c0..c1 {
                    // SAFETY: r < rows and c < cols.
                    unsafe {
                        *y.add(r * cols + c) = *x.offset(r as isize * row_stride + c as isize * col_stride)
                    };
                }
            }
        }
    }
}

/// `y[o, j, i] = x[o, indices[j], i]` over x [outer, len, inner]; negative indices count from the end.
///
/// # Errors
/// Slices that are too short, an index outside −len … len − 1.
pub fn gather<T: Copy>(axis: Axis, x: &[T], indices: &[i64], y: &mut [T]) -> Result<()> {
    const KERNEL: &str = "gather";
    let Axis { outer, len, inner } = axis;
    holds(KERNEL, "x", axis.elements(KERNEL)?, x.len())?;
    holds(
        KERNEL,
        "y",
        product(KERNEL, &[outer, indices.len(), inner])?,
        y.len(),
    )?;
    let size = i64::try_from(len).map_err(|_| Error::Overflow { kernel: KERNEL })?;
    rule(
        KERNEL,
        indices.iter().all(|&i| -size <= i && i < size),
        "indices must be in -len ..= len - 1",
    )?;
    if inner == 0 {
        return Ok(());
    }
    let at = |i: i64| (if i < 0 { i + size } else { i }) as usize;
    for o in 0..outer {
        let x = &x[o * len * inner..][..len * inner];
        let y = &mut y[o * indices.len() * inner..][..indices.len() * inner];
        if inner == 1 {
            y.iter_mut().zip(indices).for_each(|(y, &i)| *y = x[at(i)]);
        } else {
            for (y, &i) in y.chunks_exact_mut(inner).zip(indices) {
                y.copy_from_slice(&x[at(i) * inner..][..inner]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
