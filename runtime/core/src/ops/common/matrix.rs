//! Matrix products.
//!
//! Each element of a product is the sum over k, ascending, of a·b, each rounded, starting from zero.

use super::number::Number;
use crate::error::OpError;
use crate::shape::{Dim, broadcast};
use alloc::format;
use alloc::vec::Vec;

/// Shape of MatMul's result: NumPy's `matmul` (1-D inputs are a row and a column; leading axes broadcast).
///
/// # Errors
/// [`OpError::Shape`] for scalars and for inner dimensions that differ.
pub fn output_shape(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>, OpError> {
    let (Some(k_a), Some(n)) = (a.last(), b.last()) else {
        return Err(OpError::shape("a matrix product takes no scalars"));
    };
    let k_b = if b.len() == 1 { n } else { &b[b.len() - 2] };
    super::dims::unify(k_a, k_b, "the inner dimensions of a matrix product")?;
    let leading = |shape: &[Dim]| shape[..shape.len().saturating_sub(2)].to_vec();
    let mut shape = broadcast(&leading(a), &leading(b))?;
    shape.extend(a.len().checked_sub(2).map(|m| a[m].clone()));
    shape.extend((b.len() >= 2).then(|| n.clone()));
    Ok(shape)
}

/// A batch of products: which matrices of the inputs each product takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rows of the result.
    pub m: usize,
    /// Inner dimension.
    pub k: usize,
    /// Columns of the result.
    pub n: usize,
    /// For each product, the index of its left and right matrix.
    pub pairs: Vec<(usize, usize)>,
}

impl Batch {
    /// For MatMul's inputs.
    ///
    /// # Errors
    /// [`OpError::Shape`] as [`output_shape`].
    pub fn new(a: &[usize], b: &[usize]) -> Result<Self, OpError> {
        let dims = |shape: &[usize]| shape.iter().map(|&n| Dim::from(n)).collect::<Vec<_>>();
        output_shape(&dims(a), &dims(b))?;
        let (m, k) = if a.len() == 1 {
            (1, a[0])
        } else {
            (a[a.len() - 2], a[a.len() - 1])
        };
        let n = if b.len() == 1 { 1 } else { b[b.len() - 1] };
        let leading = |shape: &[usize]| shape[..shape.len().saturating_sub(2)].to_vec();
        let (lead_a, lead_b) = (leading(a), leading(b));
        let rank = lead_a.len().max(lead_b.len());
        let at = |shape: &[usize], i: usize| (i + shape.len()).checked_sub(rank).map_or(1, |i| shape[i]);
        let out: Vec<usize> = (0..rank)
            .map(|i| {
                if at(&lead_a, i) == 1 {
                    at(&lead_b, i)
                } else {
                    at(&lead_a, i)
                }
            })
            .collect();
        let rows = super::broadcast::Rows::new(&out, [&lead_a, &lead_b])?;
        let mut pairs = Vec::new();
        if !out.contains(&0) {
            rows.for_each(|_, [a, b]| {
                pairs.extend((0..rows.len).map(|i| (a + i * rows.step[0], b + i * rows.step[1])));
            });
        }
        Ok(Self { m, k, n, pairs })
    }

    /// Multiplies every pair.
    pub fn multiply<T: Number>(&self, a: &[T], b: &[T], out: &mut [T]) {
        let (m, k, n) = (self.m, self.k, self.n);
        for (i, &(left, right)) in self.pairs.iter().enumerate() {
            let (a, b) = (&a[left * m * k..][..m * k], &b[right * k * n..][..k * n]);
            multiply(a, b, &mut out[i * m * n..][..m * n], (m, k, n));
        }
    }
}

/// `out` [m, n] = `a` [m, k] · `b` [k, n].
pub fn multiply<T: Number>(a: &[T], b: &[T], out: &mut [T], (m, k, n): (usize, usize, usize)) {
    out.fill(T::ZERO);
    if n == 0 || k == 0 {
        return;
    }
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(n)).take(m) {
        for (&x, b) in row.iter().zip(b.chunks_exact(n)) {
            out.iter_mut().zip(b).for_each(|(o, &y)| *o = o.plus(x.times(y)));
        }
    }
}

/// A matrix of `rows` × `cols`, transposed.
#[must_use]
pub fn transposed<T: Number>(matrix: &[T], rows: usize, cols: usize) -> Vec<T> {
    (0..cols)
        .flat_map(|c| (0..rows).map(move |r| matrix[r * cols + c]))
        .collect()
}

/// Sizes m, k, n of Gemm for its inputs' shapes, transposed or not.
///
/// # Errors
/// [`OpError::Shape`] for other ranks than 2 and inner dimensions that differ.
pub fn gemm_shape<'a>(
    a: &'a [Dim],
    b: &'a [Dim],
    (transpose_a, transpose_b): (bool, bool),
) -> Result<(&'a Dim, &'a Dim), OpError> {
    let ([a0, a1], [b0, b1]) = (a, b) else {
        return Err(OpError::shape(format!(
            "Gemm takes matrices, these have rank {} and {}",
            a.len(),
            b.len()
        )));
    };
    let (m, k_a) = if transpose_a { (a1, a0) } else { (a0, a1) };
    let (k_b, n) = if transpose_b { (b1, b0) } else { (b0, b1) };
    super::dims::unify(k_a, k_b, "the inner dimensions of Gemm")?;
    Ok((m, n))
}
