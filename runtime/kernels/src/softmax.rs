//! Softmax and log-softmax along one axis.
//!
//! e^(x−max) / Σe^(x−max): three passes over a row, the first two of which leave the exponentials in the output. A
//! contiguous row is summed in 32 virtual lanes as in `reduce`; with inner > 1 neighbouring columns share a vector.
//!
//! Bound: 8 ULP of each result plus γ_d with d = len/32 + 6 (contiguous) or len; log-softmax: 4·u·(|x − max| + ln len).

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds};
use crate::reduce::{Axis, LANES};
use crate::vmath::{exp, log};

/// Rows on one thread; source and destination may be the same memory.
struct Run {
    log: bool,
    axis: Axis,
    x: *const f32,
    y: *mut f32,
}

impl SimdOp for Run {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let Axis { outer, len, inner } = self.axis;
        for o in 0..outer {
            // SAFETY: Run's maker vouches for [outer, len, inner] on both sides.
            unsafe {
                let (x, y) = (self.x.add(o * len * inner), self.y.add(o * len * inner));
                if inner == 1 {
                    row(s, self.log, len, x, y);
                    continue;
                }
                let mut c = 0;
                while c < inner {
                    let n = (inner - c).min(I::LANES);
                    columns(s, self.log, len, inner, n, x.add(c), y.add(c));
                    c += n;
                }
            }
        }
    }
}

/// Visits a contiguous row in vectors, `n` elements in the last.
macro_rules! vectors {
    ($len:expr, $lanes:expr, |$i:ident, $n:ident| $body:expr) => {
        let mut $i = 0;
        while $i < $len {
            let $n = ($len - $i).min($lanes);
            $body;
            $i += $n;
        }
    };
}

/// One contiguous row. Safety: both sides hold `len` elements.
#[inline(always)]
unsafe fn row<I: Isa>(s: I, log_too: bool, len: usize, x: *const f32, y: *mut f32) {
    // SAFETY: every access is of n elements from i, with i + n <= len.
    unsafe {
        let mut max = s.splat(f32::NEG_INFINITY);
        vectors!(len, I::LANES, |i, n| {
            if n == I::LANES {
                max = s.max(max, s.load_ptr(x.add(i)));
            } else {
                // The maximum of a shorter vector: lanes beyond repeat the first element.
                let v = s.load_ptr_n(x.add(i), n);
                let mut lanes = [*x.add(i); 16];
                s.store_partial(&mut lanes[..n], v);
                max = s.max(max, s.load(&lanes));
            }
        });
        let max = s.splat(s.reduce_max(max));
        let mut sums = [s.zero(); 8];
        let vectors = LANES / I::LANES;
        let mut at = 0;
        vectors!(len, I::LANES, |i, n| {
            if n == I::LANES {
                let e = exp(s, s.sub(s.load_ptr(x.add(i)), max));
                sums[at % vectors] = s.add(sums[at % vectors], e);
                if !log_too {
                    s.store_ptr(y.add(i), e);
                }
            } else {
                let e = exp(s, s.sub(s.load_ptr_n(x.add(i), n), max));
                let mut lanes = [0.0; 16];
                s.store_partial(&mut lanes[..n], e);
                sums[at % vectors] = s.add(sums[at % vectors], s.load(&lanes));
                if !log_too {
                    s.store_ptr_n(y.add(i), n, e);
                }
            }
            at += 1;
        });
        let mut half = vectors / 2;
        while half > 0 {
            for v in 0..half {
                sums[v] = s.add(sums[v], sums[v + half]);
            }
            half /= 2;
        }
        let sum = s.splat(s.reduce_sum(sums[0]));
        if log_too {
            let shift = log(s, sum);
            vectors!(len, I::LANES, |i, n| {
                s.store_ptr_n(y.add(i), n, s.sub(s.sub(s.load_ptr_n(x.add(i), n), max), shift))
            });
        } else {
            let scale = s.div(s.splat(1.0), sum);
            vectors!(len, I::LANES, |i, n| {
                s.store_ptr_n(y.add(i), n, s.mul(s.load_ptr_n(y.add(i), n), scale))
            });
        }
    }
}

/// `n <= LANES` neighbouring columns, `stride` from one element to the next. Safety: both sides hold them.
#[inline(always)]
unsafe fn columns<I: Isa>(
    s: I,
    log_too: bool,
    len: usize,
    stride: usize,
    n: usize,
    x: *const f32,
    y: *mut f32,
) {
    // SAFETY: every access is of n elements at a multiple of stride below len.
    unsafe {
        let mut max = s.splat(f32::NEG_INFINITY);
        for i in 0..len {
            max = s.max(max, s.load_ptr_n(x.add(i * stride), n));
        }
        let mut sum = s.zero();
        for i in 0..len {
            let e = exp(s, s.sub(s.load_ptr_n(x.add(i * stride), n), max));
            sum = s.add(sum, e);
            if !log_too {
                s.store_ptr_n(y.add(i * stride), n, e);
            }
        }
        let scale = s.div(s.splat(1.0), sum);
        let shift = log(s, sum);
        for i in 0..len {
            let result = if log_too {
                s.sub(s.sub(s.load_ptr_n(x.add(i * stride), n), max), shift)
            } else {
                s.mul(s.load_ptr_n(y.add(i * stride), n), scale)
            };
            s.store_ptr_n(y.add(i * stride), n, result);
        }
    }
}

/// A source that tasks read; where it is also the destination, each task reads its own part only.
struct From(*const f32);
// SAFETY: tasks only read it, and only where no other task writes.
unsafe impl Sync for From {}

/// Cuts the rows over threads. The caller has checked that both sides hold the tensor.
fn run(ctx: Ctx<'_>, log: bool, axis: Axis, x: *const f32, y: &Parts<'_, f32>) {
    let from = &From(x);
    let Axis { outer, len, inner } = axis;
    let row = len * inner;
    ctx.ranges(outer, (4 * 1024 / row.max(1)).max(1), &|range, _| {
        // SAFETY: both sides hold the tensor.
        let (x, y) = unsafe { (from.0.add(range.start * row), y.as_ptr().add(range.start * row)) };
        ctx.isa.dispatch(Run {
            log,
            axis: Axis {
                outer: range.len(),
                len,
                inner,
            },
            x,
            y,
        });
    });
}

/// `y = eˣ / Σ eˣ` along the axis.
///
/// # Errors
/// Slices that are shorter than the shape.
pub fn softmax(ctx: Ctx<'_>, axis: Axis, x: &[f32], y: &mut [f32]) -> Result<()> {
    let len = axis.elements("softmax")?;
    holds("softmax", "x", len, x.len())?;
    holds("softmax", "y", len, y.len())?;
    run(ctx, false, axis, x.as_ptr(), &Parts::new(y));
    Ok(())
}

/// [`softmax`] in place.
///
/// # Errors
/// A slice that is shorter than the shape.
pub fn softmax_inplace(ctx: Ctx<'_>, axis: Axis, xy: &mut [f32]) -> Result<()> {
    holds("softmax", "xy", axis.elements("softmax")?, xy.len())?;
    let xy = Parts::new(xy);
    run(ctx, false, axis, xy.as_ptr(), &xy);
    Ok(())
}

/// `y = x − ln Σ eˣ` along the axis.
///
/// # Errors
/// Slices that are shorter than the shape.
pub fn log_softmax(ctx: Ctx<'_>, axis: Axis, x: &[f32], y: &mut [f32]) -> Result<()> {
    let len = axis.elements("log_softmax")?;
    holds("log_softmax", "x", len, x.len())?;
    holds("log_softmax", "y", len, y.len())?;
    run(ctx, true, axis, x.as_ptr(), &Parts::new(y));
    Ok(())
}

#[cfg(test)]
mod tests;
