//! Normalisation: layer norm and RMS norm over rows, batch norm as a scale and shift by channel.
//!
//! Sums over a row take `reduce`'s 32 virtual lanes. Layer norm makes two passes, mean first, then the mean of the
//! squared differences, which cannot cancel. Bound: γ_d·(|x| + Σ|x|/len)/σ·|scale| with d = len/32 + 12, plus one ULP.

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product};
use crate::reduce::{LANES, Sum, SumSquare, fold_row};
use crate::unary::{Unary, map_rows};

/// Rows on one thread.
struct Rows<'a> {
    cols: usize,
    x: &'a [f32],
    scale: &'a [f32],
    bias: Option<&'a [f32]>,
    eps: f32,
    /// Whether the mean is taken off first.
    centred: bool,
    y: &'a mut [f32],
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let n = self.cols as f32;
        for (x, y) in self
            .x
            .chunks_exact(self.cols)
            .zip(self.y.chunks_exact_mut(self.cols))
        {
            let mean = if self.centred {
                fold_row::<I, Sum>(s, x) / n
            } else {
                0.0
            };
            let squares = if self.centred {
                squared_differences(s, x, mean)
            } else {
                fold_row::<I, SumSquare>(s, x)
            };
            let deviation = s.sqrt(s.splat(squares / n + self.eps));
            let (mean, factor) = (s.splat(mean), s.div(s.splat(1.0), deviation));
            let mut c = 0;
            while c < self.cols {
                let n = (self.cols - c).min(I::LANES);
                let v = s.mul(s.sub(s.load_partial(&x[c..c + n]), mean), factor);
                let scale = s.load_partial(&self.scale[c..c + n]);
                let v = match self.bias {
                    Some(bias) => s.mul_add(v, scale, s.load_partial(&bias[c..c + n])),
                    None => s.mul(v, scale),
                };
                s.store_partial(&mut y[c..c + n], v);
                c += n;
            }
        }
    }
}

/// Σ (x − mean)² in the 32 virtual lanes.
#[inline(always)]
fn squared_differences<I: Isa>(s: I, row: &[f32], mean: f32) -> f32 {
    let mean_v = s.splat(mean);
    let vectors = LANES / I::LANES;
    let mut sums = [s.zero(); 8];
    let blocks = row.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for v in 0..vectors {
            let d = s.sub(s.load(&block[v * I::LANES..]), mean_v);
            sums[v] = s.mul_add(d, d, sums[v]);
        }
    }
    if !rest.is_empty() {
        // Lanes without an element hold the mean, whose difference is zero.
        let mut last = [mean; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for v in 0..vectors {
            let d = s.sub(s.load(&last[v * I::LANES..]), mean_v);
            sums[v] = s.mul_add(d, d, sums[v]);
        }
    }
    let mut half = vectors / 2;
    while half > 0 {
        for v in 0..half {
            sums[v] = s.add(sums[v], sums[v + half]);
        }
        half /= 2;
    }
    s.reduce_sum(sums[0])
}

fn run(
    ctx: Ctx<'_>,
    kernel: &'static str,
    [rows, cols]: [usize; 2],
    x: &[f32],
    scale: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    centred: bool,
    y: &mut [f32],
) -> Result<()> {
    let len = product(kernel, &[rows, cols])?;
    holds(kernel, "x", len, x.len())?;
    holds(kernel, "y", len, y.len())?;
    holds(kernel, "scale", cols, scale.len())?;
    holds(kernel, "bias", cols, bias.map_or(cols, <[f32]>::len))?;
    if len == 0 {
        return Ok(());
    }
    let y = Parts::new(y);
    ctx.ranges(rows, (8 * 1024 / cols).max(1), &|rows, _| {
        let span = rows.start * cols..rows.end * cols;
        // SAFETY: tasks' rows are disjoint.
        let y = unsafe { y.part(span.clone()) };
        ctx.isa.dispatch(Rows {
            cols,
            x: &x[span],
            scale,
            bias,
            eps,
            centred,
            y,
        });
    });
    Ok(())
}

/// `y = (x − mean) / √(variance + eps) · scale + bias` over each row of x [rows, cols]; scale and bias have `cols`.
///
/// # Errors
/// Slices that are too short.
pub fn layer_norm(
    ctx: Ctx<'_>,
    rows: usize,
    cols: usize,
    x: &[f32],
    scale: &[f32],
    bias: Option<&[f32]>,
    eps: f32,
    y: &mut [f32],
) -> Result<()> {
    run(ctx, "layer_norm", [rows, cols], x, scale, bias, eps, true, y)
}

/// `y = x / √(mean of squares + eps) · scale` over each row of x [rows, cols].
///
/// # Errors
/// Slices that are too short.
pub fn rms_norm(
    ctx: Ctx<'_>,
    rows: usize,
    cols: usize,
    x: &[f32],
    scale: &[f32],
    eps: f32,
    y: &mut [f32],
) -> Result<()> {
    run(ctx, "rms_norm", [rows, cols], x, scale, None, eps, false, y)
}

/// One channel of one image.
struct Plane<'a> {
    x: &'a [f32],
    scale: f32,
    shift: f32,
    act: Option<Unary>,
    y: &'a mut [f32],
}

impl SimdOp for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let (scale, shift) = (s.splat(self.scale), s.splat(self.shift));
        for (x, y) in self.x.chunks(I::LANES).zip(self.y.chunks_mut(I::LANES)) {
            s.store_partial(y, s.mul_add(s.load_partial(x), scale, shift));
        }
        if let Some(act) = self.act {
            // SAFETY: one row that is the plane.
            unsafe { map_rows(s, act, self.y.as_mut_ptr(), 1, self.y.len(), self.y.len()) };
        }
    }
}

/// `y = act(x · scale[c] + shift[c])` over x [outer, channels, inner]: batch normalisation with its constants folded.
///
/// # Errors
/// Slices that are too short.
pub fn scale_shift(
    ctx: Ctx<'_>,
    x: &[f32],
    y: &mut [f32],
    [outer, channels, inner]: [usize; 3],
    scale: &[f32],
    shift: &[f32],
    act: Option<Unary>,
) -> Result<()> {
    const KERNEL: &str = "scale_shift";
    let len = product(KERNEL, &[outer, channels, inner])?;
    holds(KERNEL, "x", len, x.len())?;
    holds(KERNEL, "y", len, y.len())?;
    holds(KERNEL, "scale", channels, scale.len())?;
    holds(KERNEL, "shift", channels, shift.len())?;
    let y = Parts::new(y);
    ctx.ranges(
        outer * channels,
        (16 * 1024 / inner.max(1)).max(1),
        &|planes, _| {
            for plane in planes {
                let (c, span) = (plane % channels, plane * inner..(plane + 1) * inner);
                // SAFETY: each plane is in one task's range.
                let y = unsafe { y.part(span.clone()) };
                ctx.isa.dispatch(Plane {
                    x: &x[span],
                    scale: scale[c],
                    shift: shift[c],
                    act,
                    y,
                });
            }
        },
    );
    Ok(())
}

#[cfg(test)]
mod tests;
