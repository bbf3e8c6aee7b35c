//! Walking several tensors as one shape, NumPy style.
//!
//! Each input gets a stride per axis of the output, 0 where it is broadcast. Neighbouring axes that all inputs
//! step through alike are merged, so that equal shapes become one long row and the inner loops are simple.

use crate::error::OpError;
use crate::shape::strides as row_major;
use crate::tensor::{Element, TensorView, TensorViewMut};
use alloc::format;
use alloc::vec::Vec;

/// Rows of a broadcast walk over `N` inputs.
pub struct Rows<const N: usize> {
    outer: Vec<usize>,
    strides: [Vec<usize>; N],
    /// Elements of a row.
    pub len: usize,
    /// Step of each input along a row: 1, or 0 where it is broadcast.
    pub step: [usize; N],
}

impl<const N: usize> Rows<N> {
    /// For inputs of these shapes and an output of shape `out`.
    ///
    /// # Errors
    /// [`OpError::Shape`] where an input does not broadcast to `out`.
    pub fn new(out: &[usize], inputs: [&[usize]; N]) -> Result<Self, OpError> {
        let mut full: [Vec<usize>; N] = core::array::from_fn(|_| Vec::new());
        for (strides, shape) in full.iter_mut().zip(inputs) {
            *strides = broadcast_strides(shape, out)?;
        }
        let mut merged: Vec<(usize, [usize; N])> = Vec::new();
        for axis in (0..out.len()).rev() {
            let here: [usize; N] = core::array::from_fn(|i| full[i][axis]);
            let dim = out[axis];
            match merged.last_mut() {
                _ if dim == 1 => {}
                Some((len, inner)) if (0..N).all(|i| here[i] == inner[i] * *len) => *len *= dim,
                _ => merged.push((dim, here)),
            }
        }
        let (len, step) = if merged.is_empty() {
            (1, [0; N])
        } else {
            merged.remove(0)
        };
        merged.reverse();
        Ok(Self {
            outer: merged.iter().map(|(len, _)| *len).collect(),
            strides: core::array::from_fn(|i| merged.iter().map(|(_, s)| s[i]).collect()),
            len,
            step,
        })
    }

    /// Calls `f` with the index of each row and where it starts in each input.
    pub fn for_each(&self, mut f: impl FnMut(usize, [usize; N])) {
        let rows: usize = self.outer.iter().product();
        let mut index = alloc::vec![0usize; self.outer.len()];
        let mut base = [0usize; N];
        for row in 0..rows {
            f(row, base);
            for axis in (0..self.outer.len()).rev() {
                index[axis] += 1;
                (0..N).for_each(|i| base[i] += self.strides[i][axis]);
                if index[axis] < self.outer[axis] {
                    break;
                }
                (0..N).for_each(|i| base[i] -= self.strides[i][axis] * self.outer[axis]);
                index[axis] = 0;
            }
        }
    }
}

fn broadcast_strides(shape: &[usize], out: &[usize]) -> Result<Vec<usize>, OpError> {
    let refused = || OpError::shape(format!("shape {shape:?} does not broadcast to {out:?}"));
    let missing = out.len().checked_sub(shape.len()).ok_or_else(refused)?;
    let own = row_major(shape);
    (0..out.len())
        .map(|axis| match axis.checked_sub(missing) {
            None => Ok(0),
            Some(i) if shape[i] == out[axis] => Ok(if shape[i] == 1 { 0 } else { own[i] }),
            Some(i) if shape[i] == 1 => Ok(0),
            Some(_) => Err(refused()),
        })
        .collect()
}

/// `out = f(a, b)`, elementwise over broadcast inputs.
///
/// # Errors
/// As [`Rows::new`] and [`TensorView::as_slice`].
pub fn zip<A: Element, B: Element, R: Element>(
    (a, a_shape): (TensorView<'_>, &[usize]),
    (b, b_shape): (TensorView<'_>, &[usize]),
    out: &mut TensorViewMut<'_>,
    f: impl Fn(A, B) -> R,
) -> Result<(), OpError> {
    let rows = Rows::new(out.shape(), [a_shape, b_shape])?;
    let (a, b) = (a.as_slice::<A>()?, b.as_slice::<B>()?);
    let out = out.as_mut_slice::<R>()?;
    let len = rows.len;
    if out.is_empty() {
        return Ok(());
    }
    rows.for_each(|row, [at_a, at_b]| {
        let out = &mut out[row * len..][..len];
        if rows.step == [1, 1] {
            let inputs = a[at_a..][..len].iter().zip(&b[at_b..][..len]);
            out.iter_mut().zip(inputs).for_each(|(o, (&x, &y))| *o = f(x, y));
        } else {
            let at = |i: usize| (a[at_a + i * rows.step[0]], b[at_b + i * rows.step[1]]);
            out.iter_mut()
                .zip((0..len).map(at))
                .for_each(|(o, (x, y))| *o = f(x, y));
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;
    use alloc::vec;

    #[test]
    fn axes_are_merged() {
        let rows = Rows::new(&[2, 3, 4], [&[2, 3, 4], &[2, 3, 4]]).unwrap();
        assert_eq!((rows.len, rows.step, rows.outer.len()), (24, [1, 1], 0));
        let rows = Rows::new(&[2, 3, 4], [&[2, 3, 4], &[]]).unwrap();
        assert_eq!((rows.len, rows.step), (24, [1, 0]));
        let rows = Rows::new(&[2, 3, 4, 5], [&[2, 3, 4, 5], &[3, 1, 1]]).unwrap();
        assert_eq!(
            (rows.len, rows.step, rows.outer.clone()),
            (20, [1, 0], vec![2, 3])
        );
        assert!(Rows::new(&[2, 3], [&[2]]).is_err());
    }

    #[test]
    fn both_sides_may_broadcast() {
        let a = Tensor::from_slice(&[2, 1], &[10i32, 20]).unwrap();
        let b = Tensor::from_slice(&[3], &[1i32, 2, 3]).unwrap();
        let mut out = Tensor::zeros(crate::DType::I32, &[2, 3]).unwrap();
        zip(
            (a.view(), a.shape()),
            (b.view(), b.shape()),
            &mut out.view_mut(),
            |x: i32, y: i32| x + y,
        )
        .unwrap();
        assert_eq!(out.view().as_slice::<i32>().unwrap(), [11, 12, 13, 21, 22, 23]);
    }
}
