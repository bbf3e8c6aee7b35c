//! Matrix multiplication: `out = act(alpha · A·B + bias + residual)`.
//!
//! # Mental model
//!
//! The loops are BLIS's (Van Zee and van de Geijn, ACM TOMS 41(3), 2015). The innermost piece, the *tile*
//! ([`tile`]), keeps an MR×NR corner of the output in registers and walks along k; around it, B is cut into blocks of
//! KC×NC whose KC×NR panels fit the L1 cache and A into blocks of MC×KC that fit L2. Panels are what packing makes:
//! B's as `[k][NR]`, A's as `[k][MR]`, zero-padded. Weights are packed once ([`PackedA`], [`PackedB`]); activations
//! are packed block by block into the caller's scratch, or read in place where their rows are contiguous.
//!
//! Where a right-hand operand comes from is a [`Source`]: a strided matrix, packed weights, 8-bit weights that are
//! expanded a panel at a time, or an image seen through a convolution's window (`conv`).
//!
//! # Numbers
//!
//! Every output is one chain of multiply-adds over k in ascending order, started from zero: blocking along k reloads
//! the partial sum, so block sizes, tile shapes, tails and threads cannot be seen. With fused multiply-add the
//! bytes are therefore the same on all instruction sets that have it. Then, once: `fma(sum, alpha, bias)`, plus the
//! residual, then the activation.
//!
//! Error bound of a chain (Higham, *Accuracy and Stability*, §3.1): |Δ| ≤ γ_k · Σ|a||b|, γ_k = k·u / (1 − k·u),
//! u = 2⁻²⁴ (twice that without fused multiply-add); tested against f64.

mod nest;
mod operand;
mod pack;
#[cfg(test)]
mod tests;
mod tile;

pub(crate) use nest::{Problem, Source, run, scratch_len};
use operand::extent;
pub use operand::{Bias, Epilogue, Lhs, MatRef, PackedA, PackedB, QuantAxis, QuantData, QuantMat, Rhs};

use crate::ctx::{Ctx, Parts};
use crate::error::{Error, Result, holds, product, rule};

/// Several products of one shape; each stride is in elements from one matrix to the next, 0 repeats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Products.
    pub count: usize,
    /// From one A to the next.
    pub lhs_stride: usize,
    /// From one B to the next.
    pub rhs_stride: usize,
    /// From one output (and residual) to the next.
    pub out_stride: usize,
}

/// Scratch that [`gemm`] needs for an [m, k]·[k, n] product, in f32.
pub fn gemm_scratch_len(ctx: Ctx<'_>, m: usize, n: usize, k: usize) -> usize {
    scratch_len(ctx, m.max(n), m.max(n), k)
}

/// `out[m, n] = act(alpha · lhs[m, k] · rhs[k, n] + bias + residual)`; rows of `out` are `out_row_stride` apart.
///
/// # Errors
/// Operands whose inner dimensions differ, slices that are too short, weights packed for another instruction set.
pub fn gemm(
    ctx: Ctx<'_>,
    lhs: Lhs<'_>,
    rhs: Rhs<'_>,
    out: &mut [f32],
    out_row_stride: usize,
    epilogue: &Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<()> {
    let (m, k, n) = (lhs.rows(), lhs.cols(), rhs.cols());
    rule("gemm", k == rhs.rows(), "the columns of A must be the rows of B")?;
    lhs.check(ctx.isa)?;
    rhs.check(ctx.isa)?;
    if let (Lhs::Plain(a), Rhs::Plain(b), 1) = (lhs, rhs, n)
        && out_row_stride == 1
        && a.col_stride == 1
    {
        // A column of output: the same numbers as a row of the transposed product, which fills whole vectors.
        let epilogue = Epilogue {
            bias: epilogue.bias.transposed(),
            ..*epilogue
        };
        let problem = Problem::new("gemm", 1, m, k, out.len(), m, &epilogue)?;
        return run(
            ctx,
            &problem,
            Lhs::Plain(b.transposed()),
            &Source::Matrix(a.transposed()),
            out,
            scratch,
        );
    }
    let problem = Problem::new("gemm", m, n, k, out.len(), out_row_stride, epilogue)?;
    let source = match rhs {
        Rhs::Plain(b) => Source::Matrix(b),
        Rhs::Packed(b) => Source::Packed(b),
    };
    run(ctx, &problem, lhs, &source, out, scratch)
}

/// Scratch that [`gemm_batched`] needs for `count` products [m, k]·[k, n], in f32.
pub fn gemm_batched_scratch_len(ctx: Ctx<'_>, count: usize, m: usize, n: usize, k: usize) -> usize {
    gemm_scratch_len(ctx, m, n, k).max(gemm_scratch_len(ctx, m.saturating_mul(count), n, k))
}

/// `batch.count` products of one shape; `lhs` and `rhs` describe the first of each, their slices hold all.
///
/// A residual is laid out as `out`; a bias serves every product. Outputs may lie one after the other or, as the heads
/// of an attention do, side by side in common rows.
///
/// # Errors
/// As [`gemm`]; outputs that overlap.
pub fn gemm_batched(
    ctx: Ctx<'_>,
    batch: Batch,
    lhs: MatRef<'_>,
    rhs: MatRef<'_>,
    out: &mut [f32],
    out_row_stride: usize,
    epilogue: &Epilogue<'_>,
    scratch: &mut [f32],
) -> Result<()> {
    const KERNEL: &str = "gemm_batched";
    let Batch {
        count,
        lhs_stride,
        rhs_stride,
        out_stride,
    } = batch;
    if count == 0 {
        return Ok(());
    }
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    rule(KERNEL, k == rhs.rows, "the columns of A must be the rows of B")?;
    let stacked = rhs_stride == 0
        && lhs_stride == product(KERNEL, &[m, lhs.row_stride])?
        && out_stride == product(KERNEL, &[m, out_row_stride])?
        && !matches!(epilogue.bias, Bias::PerRow(_));
    if stacked {
        let lhs = MatRef {
            rows: product(KERNEL, &[m, count])?,
            ..lhs
        };
        return gemm(
            ctx,
            Lhs::Plain(lhs),
            Rhs::Plain(rhs),
            out,
            out_row_stride,
            epilogue,
            scratch,
        );
    }
    let size = extent(m, n, out_row_stride, 1)?;
    check_batch(batch, &lhs, &rhs, out.len(), out_row_stride, epilogue.residual)?;
    let product = |i: usize| {
        let lhs = MatRef {
            data: &lhs.data[i * lhs_stride..],
            ..lhs
        };
        let rhs = MatRef {
            data: &rhs.data[i * rhs_stride..],
            ..rhs
        };
        let epilogue = Epilogue {
            residual: epilogue.residual.map(|r| &r[i * out_stride..]),
            ..*epilogue
        };
        let problem = Problem::new(KERNEL, m, n, k, size, out_row_stride, &epilogue)?;
        Ok((problem, lhs, Source::Matrix(rhs)))
    };
    product(0)?;
    nest::run_batch(
        ctx,
        count,
        [m, n, k],
        &product,
        &Parts::new(out),
        out_stride,
        scratch,
    )
}

/// Checks that every matrix of a batch lies in its slice, and that outputs do not overlap.
fn check_batch(
    batch: Batch,
    lhs: &MatRef<'_>,
    rhs: &MatRef<'_>,
    out: usize,
    out_row_stride: usize,
    residual: Option<&[f32]>,
) -> Result<()> {
    const KERNEL: &str = "gemm_batched";
    let Batch {
        count,
        lhs_stride,
        rhs_stride,
        out_stride,
    } = batch;
    let (m, n, k) = (lhs.rows, rhs.cols, lhs.cols);
    let size = extent(m, n, out_row_stride, 1)?;
    let one_after_the_other = out_stride >= size;
    let side_by_side = out_stride >= n && extent(count, n, out_stride, 1)? <= out_row_stride;
    rule(
        KERNEL,
        count == 1 || one_after_the_other || side_by_side,
        "outputs must not overlap",
    )?;
    let spans = |stride, size| {
        let first = product(KERNEL, &[count - 1, stride])?;
        usize::checked_add(first, size).ok_or(Error::Overflow { kernel: KERNEL })
    };
    holds(
        KERNEL,
        "lhs",
        spans(lhs_stride, extent(m, k, lhs.row_stride, lhs.col_stride)?)?,
        lhs.data.len(),
    )?;
    holds(
        KERNEL,
        "rhs",
        spans(rhs_stride, extent(k, n, rhs.row_stride, rhs.col_stride)?)?,
        rhs.data.len(),
    )?;
    holds(KERNEL, "out", spans(out_stride, size)?, out)?;
    holds(KERNEL, "residual", out, residual.map_or(out, <[f32]>::len))
}
