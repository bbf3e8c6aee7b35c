//! Max and average pooling over planes.
//!
//! The fold over a window is that of `window`: shifted vectors, padded with what leaves the fold alone. Max is exact and
//! keeps NaN. The average is the sum of the taps in ascending order divided by the number of elements counted; bound
//! γ_{kh·kw}·Σ|x| and half an ULP.

use core::marker::PhantomData;

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Error, Result, holds, product, rule};
use crate::reduce::{Fold, Max, Sum};
use crate::window::{Bands, Unweighted, Window, out_len};

/// Taps that are folded at a time.
const TAPS: usize = 64;

/// A pooling's shape and attributes; fields as in ONNX's MaxPool and AveragePool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Images times channels.
    pub planes: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub strides: [usize; 2],
    /// Spacing of the window's taps.
    pub dilations: [usize; 2],
    /// Padding above, left, below, right.
    pub pads: [usize; 4],
    /// Whether the output's size is rounded up.
    pub ceil_mode: bool,
}

impl Pool2d {
    /// Rows and columns of the output; `None` if the window is larger than the padded input.
    pub fn out_hw(&self) -> Option<(usize, usize)> {
        let [top, left, bottom, right] = self.pads;
        let ceil = self.ceil_mode;
        let h = out_len(
            self.in_h,
            self.kernel[0],
            self.strides[0],
            self.dilations[0],
            (top, bottom),
            ceil,
        )?;
        let w = out_len(
            self.in_w,
            self.kernel[1],
            self.strides[1],
            self.dilations[1],
            (left, right),
            ceil,
        )?;
        Some((h, w))
    }

    /// Scratch that pooling needs, in f32.
    pub fn scratch_len(&self, ctx: Ctx<'_>) -> usize {
        let bands = self.window("pool").and_then(|w| Bands::new("pool", w));
        bands.map_or(0, |b| b.scratch_len().saturating_mul(ctx.threads()))
    }

    fn window(&self, kernel: &'static str) -> Result<Window> {
        let (out_h, out_w) = self.out_hw().ok_or(Error::Mismatch {
            kernel,
            rule: "the window must fit the padded input, with kernel, strides and dilations of at least 1",
        })?;
        Ok(Window {
            in_h: self.in_h,
            in_w: self.in_w,
            out_h,
            out_w,
            kernel: self.kernel,
            strides: self.strides,
            dilations: self.dilations,
            pads: [self.pads[0], self.pads[1]],
        })
    }
}

/// What is divided by.
#[derive(Clone, Copy)]
enum Count {
    /// Nothing: a maximum.
    None,
    /// Elements of the input under the window.
    Inside,
    /// Elements under the window that lie in the input or its padding.
    Padded { bottom: usize, right: usize },
}

/// Greatest element of each window: x [planes, H, W], y [planes, oh, ow].
///
/// # Errors
/// Slices that are too short, attributes that contradict the shape.
pub fn max_pool2d(ctx: Ctx<'_>, pool: &Pool2d, x: &[f32], y: &mut [f32], scratch: &mut [f32]) -> Result<()> {
    run::<Max>(ctx, "max_pool2d", pool, Count::None, x, y, scratch)
}

/// Mean of each window; elements of the padding count (as zeros) if `count_include_pad`.
///
/// # Errors
/// Slices that are too short, attributes that contradict the shape.
pub fn avg_pool2d(
    ctx: Ctx<'_>,
    pool: &Pool2d,
    count_include_pad: bool,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let padded = Count::Padded {
        bottom: pool.pads[2],
        right: pool.pads[3],
    };
    let count = if count_include_pad { padded } else { Count::Inside };
    run::<Sum>(ctx, "avg_pool2d", pool, count, x, y, scratch)
}

fn run<F: Fold + Sync>(
    ctx: Ctx<'_>,
    kernel: &'static str,
    pool: &Pool2d,
    count: Count,
    x: &[f32],
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let window = pool.window(kernel)?;
    let bands = Bands::new(kernel, window)?;
    let plane_in = product(kernel, &[pool.in_h, pool.in_w])?;
    let plane_out = product(kernel, &[window.out_h, window.out_w])?;
    let taps = product(kernel, &[pool.kernel[0], pool.kernel[1]])?;
    holds(kernel, "x", product(kernel, &[pool.planes, plane_in])?, x.len())?;
    holds(kernel, "y", product(kernel, &[pool.planes, plane_out])?, y.len())?;
    let each = bands.scratch_len();
    holds(
        kernel,
        "scratch",
        each.saturating_mul(ctx.threads()),
        scratch.len(),
    )?;
    rule(kernel, taps <= 1 << 20, "a window may have 2^20 taps at most")?;
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    let grain = (16 * 1024 / (plane_out * taps).max(1)).max(1);
    ctx.ranges(pool.planes, grain, &|planes, task| {
        // SAFETY: one slice for each worker, and a worker runs one task at a time.
        let scratch = unsafe { scratch.part(task.worker * each..(task.worker + 1) * each) };
        // SAFETY: a task's planes are its own.
        let y = unsafe { y.part(planes.start * plane_out..planes.end * plane_out) };
        let x = &x[planes.start * plane_in..planes.end * plane_in];
        let fold = PhantomData::<F>;
        ctx.isa.dispatch(Planes {
            fold,
            bands: &bands,
            window: &window,
            count,
            x,
            y,
            scratch,
        });
    });
    Ok(())
}

/// Neighbouring planes.
struct Planes<'a, F> {
    fold: PhantomData<F>,
    bands: &'a Bands,
    window: &'a Window,
    count: Count,
    x: &'a [f32],
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl<F: Fold> SimdOp for Planes<'_, F> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Planes {
            fold: _,
            bands,
            window,
            count,
            x,
            y,
            scratch,
        } = self;
        let Window {
            in_h,
            in_w,
            out_h,
            out_w,
            kernel: [kh, kw],
            ..
        } = *window;
        let (phases, sums) = bands.split(scratch);
        let mut padded = false;
        for (x, y) in x
            .chunks_exact((in_h * in_w).max(1))
            .zip(y.chunks_exact_mut((out_h * out_w).max(1)))
        {
            for band in bands.iter() {
                let pad = (!padded || !bands.single()).then_some(F::IDENTITY);
                bands.fill(isa, x, &band, pad, phases);
                padded = true;
                let mut offsets = [0; TAPS];
                for first in (0..kh * kw).step_by(TAPS) {
                    let n = TAPS.min(kh * kw - first);
                    for (i, offset) in offsets[..n].iter_mut().enumerate() {
                        *offset = bands.offset((first + i) / kw, (first + i) % kw);
                    }
                    let taps = (&offsets[..n], &[1.0; TAPS][..n]);
                    bands.fold::<I, Unweighted<F>>(isa, band.len(), taps, phases, sums, first > 0);
                }
                for (row, oy) in band.enumerate() {
                    divide(
                        window,
                        count,
                        oy,
                        bands.row(sums, row),
                        &mut y[oy * out_w..][..out_w],
                    );
                }
            }
        }
    }
}

/// Copies a row of sums out, divided by what was counted.
#[inline(always)]
fn divide(window: &Window, count: Count, oy: usize, sums: &[f32], y: &mut [f32]) {
    let (bottom, right, padded) = match count {
        Count::None => return y.copy_from_slice(sums),
        Count::Inside => (0, 0, false),
        Count::Padded { bottom, right } => (bottom, right, true),
    };
    let Window {
        in_h,
        in_w,
        kernel: [kh, kw],
        strides: [sh, sw],
        dilations: [dh, dw],
        pads: [top, left],
        ..
    } = *window;
    let rows = covered(oy * sh, kh, dh, top, in_h, bottom, padded);
    for (ox, (y, sum)) in y.iter_mut().zip(sums).enumerate() {
        let columns = covered(ox * sw, kw, dw, left, in_w, right, padded);
        *y = sum / (rows * columns) as f32;
    }
}

/// Taps of a window that starts at `start` (the padding in front included) that are counted along one dimension.
#[inline(always)]
fn covered(
    start: usize,
    kernel: usize,
    dilation: usize,
    front: usize,
    input: usize,
    behind: usize,
    padded: bool,
) -> usize {
    let (from, to) = if padded {
        (0, front + input + behind)
    } else {
        (front, front + input)
    };
    let below = |limit: usize| limit.saturating_sub(start).div_ceil(dilation).min(kernel);
    below(to) - below(from)
}

#[cfg(test)]
mod tests;
