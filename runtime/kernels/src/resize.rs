//! Resizing planes by tables.
//!
//! Which input an output coordinate reads (ONNX has half a dozen ways to say it) is settled by the caller once for each
//! row and each column; the kernel only follows the tables. Linear: rows are blended first, into scratch-free pairs of
//! reads: `top + (bottom − top)·t`, each of which is `left + (right − left)·t`. Bound: 3 ULP of the largest neighbour.

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product, rule};

/// What an output coordinate reads along one dimension: `x[lo] + (x[hi] − x[lo])·t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tap {
    /// The neighbour before.
    pub lo: u32,
    /// The neighbour behind.
    pub hi: u32,
    /// Its share, 0 to 1.
    pub t: f32,
}

/// `y[p, i, j] = x[p, rows[i], cols[j]]` over x [planes, in_h, in_w].
///
/// # Errors
/// Slices that are too short, a table entry outside the input.
pub fn resize_nearest<T: Copy>(
    planes: usize,
    [in_h, in_w]: [usize; 2],
    x: &[T],
    rows: &[u32],
    cols: &[u32],
    y: &mut [T],
) -> Result<()> {
    const KERNEL: &str = "resize_nearest";
    let (plane, out) = (
        product(KERNEL, &[in_h, in_w])?,
        product(KERNEL, &[rows.len(), cols.len()])?,
    );
    holds(KERNEL, "x", product(KERNEL, &[planes, plane])?, x.len())?;
    holds(KERNEL, "y", product(KERNEL, &[planes, out])?, y.len())?;
    let inside = rows.iter().all(|&r| (r as usize) < in_h) && cols.iter().all(|&c| (c as usize) < in_w);
    rule(KERNEL, inside, "the tables must lead into the input")?;
    if out == 0 {
        return Ok(());
    }
    for (p, y) in y.chunks_exact_mut(out).enumerate().take(planes) {
        let x = &x[p * plane..][..plane];
        for (i, &r) in rows.iter().enumerate() {
            let (done, row) = y.split_at_mut(i * cols.len());
            // Enlarging repeats rows: copy the one before.
            if i > 0 && rows[i - 1] == r {
                row[..cols.len()].copy_from_slice(&done[(i - 1) * cols.len()..]);
                continue;
            }
            let x = &x[r as usize * in_w..][..in_w];
            row.iter_mut().zip(cols).for_each(|(y, &c)| *y = x[c as usize]);
        }
    }
    Ok(())
}

/// One plane of [`resize_linear`].
struct Plane<'a> {
    in_w: usize,
    x: &'a [f32],
    rows: &'a [Tap],
    cols: &'a [Tap],
    y: &'a mut [f32],
}

impl SimdOp for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let Plane {
            in_w,
            x,
            rows,
            cols,
            y,
        } = self;
        for (row, y) in rows.iter().zip(y.chunks_exact_mut(cols.len())) {
            let (top, bottom) = (
                &x[row.lo as usize * in_w..][..in_w],
                &x[row.hi as usize * in_w..][..in_w],
            );
            let t = s.splat(row.t);
            for (cols, y) in cols.chunks(I::LANES).zip(y.chunks_mut(I::LANES)) {
                let mut read = [[0.0; 16]; 5];
                for (i, c) in cols.iter().enumerate() {
                    let (lo, hi) = (c.lo as usize, c.hi as usize);
                    read[0][i] = top[lo];
                    read[1][i] = top[hi];
                    read[2][i] = bottom[lo];
                    read[3][i] = bottom[hi];
                    read[4][i] = c.t;
                }
                let [a, b, c, d, u] = read.map(|v| s.load(&v));
                let top = s.mul_add(s.sub(b, a), u, a);
                let bottom = s.mul_add(s.sub(d, c), u, c);
                s.store_partial(y, s.mul_add(s.sub(bottom, top), t, top));
            }
        }
    }
}

/// Bilinear resizing of x [planes, in_h, in_w] to [planes, rows.len(), cols.len()].
///
/// # Errors
/// Slices that are too short, a table entry outside the input.
pub fn resize_linear(
    ctx: Ctx<'_>,
    planes: usize,
    [in_h, in_w]: [usize; 2],
    x: &[f32],
    rows: &[Tap],
    cols: &[Tap],
    y: &mut [f32],
) -> Result<()> {
    const KERNEL: &str = "resize_linear";
    let (plane, out) = (
        product(KERNEL, &[in_h, in_w])?,
        product(KERNEL, &[rows.len(), cols.len()])?,
    );
    holds(KERNEL, "x", product(KERNEL, &[planes, plane])?, x.len())?;
    holds(KERNEL, "y", product(KERNEL, &[planes, out])?, y.len())?;
    let inside = |taps: &[Tap], len: usize| {
        taps.iter()
            .all(|t| (t.lo as usize) < len && (t.hi as usize) < len)
    };
    rule(
        KERNEL,
        inside(rows, in_h) && inside(cols, in_w),
        "the tables must lead into the input",
    )?;
    if out == 0 {
        return Ok(());
    }
    let y = Parts::new(y);
    ctx.ranges(planes, (4 * 1024 / out).max(1), &|planes, _| {
        for p in planes {
            // SAFETY: each plane is in one task's range.
            let y = unsafe { y.part(p * out..(p + 1) * out) };
            ctx.isa.dispatch(Plane {
                in_w,
                x: &x[p * plane..][..plane],
                rows,
                cols,
                y,
            });
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests;
