//! The innermost piece: an MR × NR corner of the output in registers, over a range of k.
//!
//! For each k it loads NV vectors of the B panel, broadcasts MR elements of A and does MR·NV fused multiply-adds. The
//! corner must fill the registers that remain beside the NV + 1 operands: 12×32 in AVX-512's 32, 6×16 in AVX2's 16,
//! 6×16 in NEON's 32, 4×8 in the 16 of plain 128-bit SIMD.
//!
//! All loops over rows and vectors have constant bounds: the corner is an array that the compiler takes apart into
//! registers. Corners at the border of the output go through a buffer on the stack.

use sanderling_simd::{Isa, SimdOp};

use crate::unary::{Unary, map_rows};

/// Rows and vectors of a tile.
pub(crate) const fn shape<I: Isa>() -> (usize, usize) {
    match (I::LANES, I::REGISTERS) {
        (16, _) => (12, 2),
        (8, _) => (6, 2),
        (_, 32) => (6, 4),
        _ => (4, 2),
    }
}

/// Where the rows of A are.
#[derive(Clone, Copy)]
pub(crate) enum Rows {
    /// A panel `[k][stride]`.
    Panel {
        /// Its first element.
        ptr: *const f32,
        /// From one k to the next: the full MR.
        stride: usize,
    },
    /// Rows contiguous along k, as they lie in memory.
    Direct {
        /// The first row's element at the first k.
        ptr: *const f32,
        /// From one row to the next.
        stride: usize,
    },
}

/// What is done to the sums once k is complete; pointers are to this corner's part.
#[derive(Clone, Copy)]
pub(crate) struct Finish {
    pub(crate) alpha: f32,
    /// One for each row.
    pub(crate) row_bias: *const f32,
    /// One for each column.
    pub(crate) col_bias: *const f32,
    /// Laid out as the output.
    pub(crate) residual: Option<*const f32>,
    pub(crate) lo: f32,
    pub(crate) hi: f32,
    /// What is more than a clamp.
    pub(crate) act: Option<Unary>,
}

/// The corner of the output.
#[derive(Clone, Copy)]
pub(crate) struct Corner {
    pub(crate) ptr: *mut f32,
    pub(crate) ld: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Whether sums over earlier k are there.
    pub(crate) load: bool,
    /// Set for the last k.
    pub(crate) finish: Option<Finish>,
}

/// The smallest tile that covers the corner.
///
/// # Safety
/// `a` is readable for `corner.rows` rows over `kc` (a panel: for all MR), `b` for `kc` rows of NR; `corner` is
/// writable, at most MR × NR, and its `finish` pointers are readable for its rows and columns.
#[inline(always)]
pub(crate) unsafe fn tile<I: Isa>(isa: I, kc: usize, a: Rows, b: *const f32, corner: &Corner) {
    // SAFETY: handed on.
    unsafe {
        match shape::<I>() {
            (12, _) => match corner.rows {
                9.. => vectors::<I, 12>(isa, kc, a, b, corner),
                7..=8 => vectors::<I, 8>(isa, kc, a, b, corner),
                5..=6 => vectors::<I, 6>(isa, kc, a, b, corner),
                3..=4 => vectors::<I, 4>(isa, kc, a, b, corner),
                2 => vectors::<I, 2>(isa, kc, a, b, corner),
                _ => vectors::<I, 1>(isa, kc, a, b, corner),
            },
            (6, _) => match corner.rows {
                5.. => vectors::<I, 6>(isa, kc, a, b, corner),
                3..=4 => vectors::<I, 4>(isa, kc, a, b, corner),
                2 => vectors::<I, 2>(isa, kc, a, b, corner),
                _ => vectors::<I, 1>(isa, kc, a, b, corner),
            },
            _ => match corner.rows {
                3.. => vectors::<I, 4>(isa, kc, a, b, corner),
                2 => vectors::<I, 2>(isa, kc, a, b, corner),
                _ => vectors::<I, 1>(isa, kc, a, b, corner),
            },
        }
    }
}

/// Chooses the number of vectors in a row. Safety: as [`tile`].
#[inline(always)]
unsafe fn vectors<I: Isa, const MR: usize>(isa: I, kc: usize, a: Rows, b: *const f32, corner: &Corner) {
    let ldb = shape::<I>().1 * I::LANES;
    // SAFETY: handed on; NV vectors cover the corner's columns and are at most NR.
    unsafe {
        if corner.cols <= I::LANES {
            rows::<I, MR, 1>(isa, kc, a, b, ldb, corner)
        } else if shape::<I>().1 == 2 || corner.cols <= 2 * I::LANES {
            rows::<I, MR, 2>(isa, kc, a, b, ldb, corner)
        } else {
            rows::<I, MR, 4>(isa, kc, a, b, ldb, corner)
        }
    }
}

/// Chooses how A is read. Safety: as [`tile`].
#[inline(always)]
unsafe fn rows<I: Isa, const MR: usize, const NV: usize>(
    isa: I,
    kc: usize,
    a: Rows,
    b: *const f32,
    ldb: usize,
    corner: &Corner,
) {
    match a {
        Rows::Panel { ptr, stride } => {
            isa.run(Sums::<MR, NV, true> {
                kc,
                a: [ptr; MR],
                stride,
                b,
                ldb,
                corner: *corner,
            });
        }
        Rows::Direct { ptr, stride } => {
            let mut a = [ptr; MR];
            for (r, a) in a.iter_mut().enumerate() {
                // SAFETY: rows below `corner.rows` are readable; those above read the last one again.
                *a = unsafe { ptr.add(r.min(corner.rows - 1) * stride) };
            }
            isa.run(Sums::<MR, NV, false> {
                kc,
                a,
                stride: 1,
                b,
                ldb,
                corner: *corner,
            });
        }
    }
}

/// One tile of fixed shape; an operation of its own, so that each shape is compiled once as a function.
struct Sums<const MR: usize, const NV: usize, const PANEL: bool> {
    kc: usize,
    /// Rows; of a panel, the first is the panel.
    a: [*const f32; MR],
    /// Of a panel, from one k to the next.
    stride: usize,
    b: *const f32,
    ldb: usize,
    corner: Corner,
}

impl<const MR: usize, const NV: usize, const PANEL: bool> SimdOp for Sums<MR, NV, PANEL> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let corner = &self.corner;
        let full = corner.rows == MR && corner.cols == NV * I::LANES;
        let mut sums = [[isa.zero(); NV]; MR];
        // SAFETY: `tile`'s contract; NV vectors cover the corner's columns, MR its rows.
        unsafe {
            if corner.load {
                load::<I, MR, NV>(isa, corner, full, &mut sums);
            }
            for p in 0..self.kc {
                let mut bv = [isa.zero(); NV];
                for (v, bv) in bv.iter_mut().enumerate() {
                    *bv = isa.load_ptr(self.b.add(p * self.ldb + v * I::LANES));
                }
                for (r, row) in sums.iter_mut().enumerate() {
                    let a = if PANEL {
                        *self.a[0].add(p * self.stride + r)
                    } else {
                        *self.a[r].add(p)
                    };
                    let a = isa.splat(a);
                    for v in 0..NV {
                        row[v] = isa.mul_add(a, bv[v], row[v]);
                    }
                }
            }
            store::<I, MR, NV>(isa, corner, full, &sums);
            if let Some(Finish { act: Some(act), .. }) = corner.finish {
                map_rows(isa, act, corner.ptr, corner.rows, corner.cols, corner.ld);
            }
        }
    }
}

/// Reads the partial sums. Safety: the corner is readable; `full` tells whether it is MR × NV vectors.
#[inline(always)]
unsafe fn load<I: Isa, const MR: usize, const NV: usize>(
    isa: I,
    corner: &Corner,
    full: bool,
    sums: &mut [[I::F; NV]; MR],
) {
    for (r, row) in sums.iter_mut().enumerate() {
        for (v, sum) in row.iter_mut().enumerate() {
            // SAFETY: by contract when full; otherwise only what lies in the corner is read.
            unsafe {
                let at = corner.ptr.add(r * corner.ld + v * I::LANES);
                if full {
                    *sum = isa.load_ptr(at);
                } else if r < corner.rows {
                    *sum = isa.load_ptr_n(at, corner.cols.saturating_sub(v * I::LANES).min(I::LANES));
                }
            }
        }
    }
}

/// Writes the sums, finished if k is complete. Safety: the corner is writable, `full` as in [`load`].
#[inline(always)]
unsafe fn store<I: Isa, const MR: usize, const NV: usize>(
    isa: I,
    corner: &Corner,
    full: bool,
    sums: &[[I::F; NV]; MR],
) {
    // SAFETY: by contract; at the border only what lies in the corner is read and written.
    unsafe {
        if !full {
            let buffer = *sums;
            return border(isa, corner, buffer.as_ptr().cast(), NV * I::LANES);
        }
        for (r, row) in sums.iter().enumerate() {
            for (v, &sum) in row.iter().enumerate() {
                let at = r * corner.ld + v * I::LANES;
                let y = match &corner.finish {
                    None => sum,
                    Some(f) => {
                        let residual = f.residual.map(|p| isa.load_ptr(p.add(at)));
                        finish(
                            isa,
                            f,
                            sum,
                            r,
                            isa.load_ptr(f.col_bias.add(v * I::LANES)),
                            residual,
                        )
                    }
                };
                isa.store_ptr(corner.ptr.add(at), y);
            }
        }
    }
}

/// Writes a corner that is smaller than its tile from the buffer `[MR][ld]`.
///
/// # Safety
/// The buffer holds the corner's rows in whole vectors; the corner is writable.
#[inline(always)]
unsafe fn border<I: Isa>(isa: I, corner: &Corner, buffer: *const f32, ld: usize) {
    for r in 0..corner.rows {
        let mut c = 0;
        while c < corner.cols {
            let n = (corner.cols - c).min(I::LANES);
            // SAFETY: n elements from (r, c) lie in the corner, and a whole vector in the buffer.
            unsafe {
                let sum = isa.load_ptr(buffer.add(r * ld + c));
                let at = r * corner.ld + c;
                let y = match &corner.finish {
                    None => sum,
                    Some(f) => {
                        let residual = f.residual.map(|p| isa.load_ptr_n(p.add(at), n));
                        finish(isa, f, sum, r, isa.load_ptr_n(f.col_bias.add(c), n), residual)
                    }
                };
                isa.store_ptr_n(corner.ptr.add(at), n, y);
            }
            c += n;
        }
    }
}

/// `clamp(alpha · sum + row bias + column bias + residual)`. Safety: `row_bias` is readable at `r`.
#[inline(always)]
unsafe fn finish<I: Isa>(
    isa: I,
    f: &Finish,
    sum: I::F,
    r: usize,
    col_bias: I::F,
    residual: Option<I::F>,
) -> I::F {
    // SAFETY: by contract.
    let row_bias = isa.splat(unsafe { *f.row_bias.add(r) });
    let mut y = isa.add(isa.mul_add(sum, isa.splat(f.alpha), row_bias), col_bias);
    if let Some(residual) = residual {
        y = isa.add(y, residual);
    }
    isa.clamp(y, isa.splat(f.lo), isa.splat(f.hi))
}
