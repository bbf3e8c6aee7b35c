//! Moving elements: one function for transposing, slicing, padding, tiling, expanding, …
//!
//! All of these copy from places that are a sum over the axes of the output: the element at (i, j, …) comes from
//! `maps[0][i] + maps[1][j] + …`. A map entry may instead say that everything at that index is fill.

use crate::error::OpError;
use crate::tensor::{TensorView, TensorViewMut};
use alloc::vec::Vec;

/// Where along one axis elements come from: an offset in elements for each index, or fill.
pub type AxisMap = Vec<Option<usize>>;

/// The map of an axis of `len` steps of `stride` elements.
#[must_use]
pub fn straight(len: usize, stride: usize) -> AxisMap {
    (0..len).map(|i| Some(i * stride)).collect()
}

/// Fills `out` from `input` by one map for each of `out`'s axes; `fill` is one element's bytes.
///
/// The axes may be those of a finer shape with as many elements (as for space-to-depth). Without maps, the one
/// element is copied.
///
/// # Errors
/// [`OpError::Unsupported`] for packed dtypes; [`OpError::Data`] where a map points outside of the input.
pub fn gather(
    input: TensorView<'_>,
    out: &mut TensorViewMut<'_>,
    maps: &[AxisMap],
    fill: &[u8],
) -> Result<(), OpError> {
    let size = element_size(&input)?;
    let reach: Option<usize> = maps
        .iter()
        .map(|map| map.iter().flatten().max().copied())
        .sum::<Option<usize>>();
    let count: usize = maps.iter().map(Vec::len).product();
    let (src, dst) = (input.bytes(), out.bytes_mut());
    let inside = count == 0 || reach.is_none_or(|reach| (reach + 1) * size <= src.len());
    if !inside || dst.len() != count * size {
        return Err(OpError::Data {
            message: "elements are moved from outside of the input".into(),
        });
    }
    match size {
        1 => walk::<1>(src, dst, maps, fill),
        2 => walk::<2>(src, dst, maps, fill),
        4 => walk::<4>(src, dst, maps, fill),
        8 => walk::<8>(src, dst, maps, fill),
        _ => walk::<16>(src, dst, maps, fill),
    }
    Ok(())
}

/// Bytes of one element.
///
/// # Errors
/// [`OpError::Unsupported`] for packed dtypes.
pub fn element_size(view: &TensorView<'_>) -> Result<usize, OpError> {
    match view.dtype().bits() {
        bits if bits >= 8 => Ok(bits / 8),
        _ => Err(super::dtypes::no_code(view.dtype())),
    }
}

fn walk<const SIZE: usize>(src: &[u8], dst: &mut [u8], maps: &[AxisMap], fill: &[u8]) {
    let mut value = [0u8; SIZE];
    if fill.len() == SIZE {
        value.copy_from_slice(fill);
    }
    let single = [alloc::vec![Some(0)]];
    let (outer, inner) = match maps.split_last() {
        Some((inner, outer)) => (outer, inner),
        None => (&[] as &[AxisMap], &single[0]),
    };
    if inner.is_empty() {
        return;
    }
    let is_run = inner
        .windows(2)
        .all(|w| matches!(w, [Some(a), Some(b)] if *b == *a + 1));
    let mut index = alloc::vec![0usize; outer.len()];
    for row in dst.chunks_exact_mut(inner.len() * SIZE) {
        let base: Option<usize> = index.iter().zip(outer).map(|(&i, map)| map[i]).sum();
        match (base, inner[0]) {
            (Some(base), Some(first)) if is_run => {
                row.copy_from_slice(&src[(base + first) * SIZE..][..row.len()]);
            }
            (base, _) => copy_row::<SIZE>(src, row, base, inner, value),
        }
        advance(&mut index, |axis| outer[axis].len());
    }
}

fn copy_row<const SIZE: usize>(
    src: &[u8],
    row: &mut [u8],
    base: Option<usize>,
    inner: &AxisMap,
    fill: [u8; SIZE],
) {
    for (to, from) in row.as_chunks_mut::<SIZE>().0.iter_mut().zip(inner) {
        *to = match (base, from) {
            (Some(base), Some(from)) => {
                let mut element = [0; SIZE];
                element.copy_from_slice(&src[(base + from) * SIZE..][..SIZE]);
                element
            }
            _ => fill,
        };
    }
}

/// The next index in row-major order; wraps to all zeros after the last.
pub fn advance(index: &mut [usize], len: impl Fn(usize) -> usize) {
    for axis in (0..index.len()).rev() {
        index[axis] += 1;
        if index[axis] < len(axis) {
            return;
        }
        index[axis] = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use alloc::vec;

    #[test]
    fn transposes_and_fills() {
        let input = Tensor::from_slice(&[2, 3], &[1i16, 2, 3, 4, 5, 6]).unwrap();
        let mut out = Tensor::zeros(crate::DType::I16, &[3, 3]).unwrap();
        let maps = [straight(3, 1), vec![Some(0), None, Some(3)]];
        gather(input.view(), &mut out.view_mut(), &maps, &7i16.to_le_bytes()).unwrap();
        assert_eq!(out.view().as_slice::<i16>().unwrap(), [1, 7, 4, 2, 7, 5, 3, 7, 6]);
    }

    #[test]
    fn nothing_is_read_outside() {
        let input = Tensor::from_slice(&[2], &[1u8, 2]).unwrap();
        let mut out = Tensor::zeros(crate::DType::U8, &[3]).unwrap();
        assert!(gather(input.view(), &mut out.view_mut(), &[straight(3, 1)], &[0]).is_err());
    }
}
