//! Panels: `[k][width]` strips of a [k, outer] matrix, contiguous in the order in which a tile reads them.
//!
//! A B panel is made of NR columns of B; an A panel of MR columns of Aᵀ. Both are this one function, over a view
//! whose rows are k. Columns beyond the matrix are zero.

use alloc::vec::Vec;
use core::ops::Range;

use sanderling_simd::Isa;

use super::operand::{MatRef, QuantAxis, QuantMat};
use crate::error::{Result, product};

/// Packs rows `k` and columns `from..from + width` of a [k, outer] view.
///
/// `to` holds `k.len() * width`, and `k.end <= m.rows`; the view was checked.
#[inline(always)]
pub(crate) fn panel<I: Isa>(
    isa: I,
    m: &MatRef<'_>,
    k: Range<usize>,
    from: usize,
    width: usize,
    to: &mut [f32],
) {
    debug_assert!(k.end <= m.rows && to.len() >= k.len() * width);
    let cols = m.cols.saturating_sub(from).min(width);
    if m.col_stride == 1 {
        rows_contiguous(isa, m, k, from, cols, width, to);
    } else if m.row_stride == 1 {
        columns_contiguous(isa, m, k, from, cols, width, to);
    } else {
        for (p, row) in k.zip(to.chunks_exact_mut(width)) {
            for (c, v) in row.iter_mut().enumerate() {
                *v = if c < cols {
                    m.data[p * m.row_stride + (from + c) * m.col_stride]
                } else {
                    0.0
                };
            }
        }
    }
}

/// Rows of the view lie in one piece: copy `cols` of each.
#[inline(always)]
fn rows_contiguous<I: Isa>(
    isa: I,
    m: &MatRef<'_>,
    k: Range<usize>,
    from: usize,
    cols: usize,
    width: usize,
    to: &mut [f32],
) {
    let whole = cols == width && width.is_multiple_of(I::LANES);
    for (p, row) in k.zip(to.chunks_exact_mut(width)) {
        let start = p * m.row_stride + from;
        let source = &m.data[start..start + cols];
        if whole {
            for (s, d) in source.chunks_exact(I::LANES).zip(row.chunks_exact_mut(I::LANES)) {
                isa.store(d, isa.load(s));
            }
        } else {
            row[..cols].copy_from_slice(source);
            row[cols..].fill(0.0);
        }
    }
}

/// Columns of the view lie in one piece: transpose LANES × LANES squares in registers.
#[inline(always)]
fn columns_contiguous<I: Isa>(
    isa: I,
    m: &MatRef<'_>,
    k: Range<usize>,
    from: usize,
    cols: usize,
    width: usize,
    to: &mut [f32],
) {
    if cols < width {
        to[..k.len() * width].fill(0.0);
    }
    let column = |c: usize| &m.data[(from + c) * m.col_stride + k.start..][..k.len()];
    let mut c = 0;
    while c < cols {
        let n = (cols - c).min(I::LANES);
        let mut p = 0;
        while p + I::LANES <= k.len() {
            square(
                isa,
                |i| &column(c + i)[p..p + I::LANES],
                n,
                width,
                &mut to[p * width + c..],
            );
            p += I::LANES;
        }
        for i in 0..n {
            for (q, &v) in column(c + i).iter().enumerate().skip(p) {
                to[q * width + c + i] = v;
            }
        }
        c += n;
    }
}

/// Writes the transpose of `n` rows of LANES values, `ld` apart.
#[inline(always)]
fn square<'a, I: Isa>(isa: I, row: impl Fn(usize) -> &'a [f32], n: usize, ld: usize, to: &mut [f32]) {
    let mut v = [isa.zero(); 16];
    let v = &mut v[..I::LANES];
    for (i, v) in v.iter_mut().enumerate().take(n) {
        *v = isa.load(row(i));
    }
    transpose(isa, v);
    for (i, &v) in v.iter().enumerate() {
        isa.store_partial(&mut to[i * ld..][..n], v);
    }
}

/// Transposes LANES vectors: log2(LANES) rounds, each interleaving row i with row i + LANES / 2.
#[inline(always)]
pub(crate) fn transpose<I: Isa>(isa: I, v: &mut [I::F]) {
    let half = I::LANES / 2;
    let mut round = 1;
    while round < I::LANES {
        let mut next = [isa.zero(); 16];
        for i in 0..half {
            (next[2 * i], next[2 * i + 1]) = isa.interleave(v[i], v[i + half]);
        }
        v.copy_from_slice(&next[..I::LANES]);
        round *= 2;
    }
}

/// 8-bit panels with what turns them into f32.
#[derive(Clone)]
pub(crate) struct Quant {
    /// `[panel][k][width]`, and as many spare bytes as a vector has lanes.
    q: Vec<i8>,
    /// By column (padded to whole panels and spare lanes) or by k.
    scales: Vec<f32>,
    zeros: Vec<f32>,
    by_column: bool,
    k: usize,
    width: usize,
}

/// Lanes of the widest vector.
const SPARE: usize = 16;

impl Quant {
    /// Packs a checked [k, outer] matrix.
    pub(crate) fn new(m: &QuantMat<'_>, width: usize) -> Result<Self> {
        let panels = m.cols.div_ceil(width);
        let mut q = Vec::with_capacity(product("gemm", &[panels, m.rows, width])? + SPARE);
        for panel in 0..panels {
            for p in 0..m.rows {
                for c in panel * width..(panel + 1) * width {
                    let inside = c < m.cols;
                    q.push(if inside {
                        m.data.get(p * m.row_stride + c * m.col_stride)
                    } else {
                        0
                    });
                }
            }
        }
        q.resize(q.len() + SPARE, 0);
        let by_column = m.axis != QuantAxis::Row;
        let (len, padded) = if by_column {
            (m.cols, panels * width + SPARE)
        } else {
            (m.rows, m.rows)
        };
        let pick = |i: usize, n: usize| if n == 1 { 0 } else { i };
        let mut scales: Vec<f32> = (0..len).map(|i| m.scales[pick(i, m.scales.len())]).collect();
        let zero = |i: usize| match m.zero_points.len() {
            0 => 0,
            n => m.zero_points[pick(i, n)],
        };
        let mut zeros: Vec<f32> = (0..len).map(|i| (zero(i) - m.data.shift()) as f32).collect();
        // Scale 0 makes the padding 0.
        scales.resize(padded, 0.0);
        zeros.resize(padded, 0.0);
        Ok(Quant {
            q,
            scales,
            zeros,
            by_column,
            k: m.rows,
            width,
        })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.q.len() + 4 * (self.scales.len() + self.zeros.len())
    }

    /// Expands rows `k` of panel `panel` to f32: `(q - zero) * scale`.
    #[inline(always)]
    pub(crate) fn expand<I: Isa>(&self, isa: I, panel: usize, k: Range<usize>, to: &mut [f32]) {
        let width = self.width;
        for (p, row) in k.zip(to.chunks_exact_mut(width)) {
            let source = &self.q[(panel * self.k + p) * width..][..width + SPARE];
            let mut c = 0;
            while c < width {
                let n = (width - c).min(I::LANES);
                // SAFETY: c < width, and SPARE >= LANES bytes follow the row.
                let q = isa.to_f32(unsafe { isa.load_i8(source.as_ptr().add(c)) });
                let (zero, scale) = if self.by_column {
                    let at = panel * width + c;
                    (isa.load(&self.zeros[at..]), isa.load(&self.scales[at..]))
                } else {
                    (isa.splat(self.zeros[p]), isa.splat(self.scales[p]))
                };
                isa.store_partial(&mut row[c..c + n], isa.mul(isa.sub(q, zero), scale));
                c += n;
            }
        }
    }
}
