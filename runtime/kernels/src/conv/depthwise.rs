//! Depthwise convolution: each output plane is a weighted sum of shifted vectors of one input plane (`window`).
//!
//! The sums of a band stay in the L1 cache; as its rows are copied out they take bias, residual and activation.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::{Conv2d, KERNEL};
use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, rule};
use crate::unary::{Unary, map_rows};
use crate::window::{Bands, Weighted, Window};

/// Taps that a window may have: 16×16, the largest known being 13×13.
const MAX_TAPS: usize = 256;

/// Runs a checked depthwise convolution; planes are the tasks.
pub(super) fn run(
    ctx: Ctx<'_>,
    conv: &Conv2d,
    window: &Window,
    x: &[f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    act: Option<Unary>,
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let taps = window.kernel[0] * window.kernel[1];
    rule(
        KERNEL,
        taps <= MAX_TAPS,
        "a depthwise window may have 256 taps at most",
    )?;
    let bands = Bands::new(KERNEL, *window)?;
    let each = bands.scratch_len();
    holds(
        KERNEL,
        "scratch",
        each.saturating_mul(ctx.threads()),
        scratch.len(),
    )?;
    let (plane_in, plane_out) = (window.in_h * window.in_w, window.out_h * window.out_w);
    let mut offsets = [0; MAX_TAPS];
    let offsets = &mut offsets[..taps];
    for (t, offset) in offsets.iter_mut().enumerate() {
        *offset = bands.offset(t / window.kernel[1], t % window.kernel[1]);
    }
    let offsets = &*offsets;
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    let grain = (16 * 1024 / (plane_out * taps).max(1)).max(1);
    ctx.ranges(conv.batch * conv.out_channels, grain, &|planes, task| {
        // SAFETY: one slice for each worker, and a worker runs one task at a time; a task's planes are its own.
        let (scratch, y) = unsafe {
            (
                scratch.part(task.worker * each..(task.worker + 1) * each),
                y.part(planes.start * plane_out..planes.end * plane_out),
            )
        };
        ctx.isa.dispatch(Planes {
            conv,
            window,
            bands: &bands,
            offsets,
            planes,
            x: &x[..conv.batch * conv.in_channels * plane_in],
            weights,
            bias,
            residual,
            act,
            y,
            scratch,
        });
    });
    Ok(())
}

/// Neighbouring output planes.
struct Planes<'a> {
    conv: &'a Conv2d,
    window: &'a Window,
    bands: &'a Bands,
    /// Where each tap starts in the phases.
    offsets: &'a [usize],
    planes: Range<usize>,
    /// All planes of the input.
    x: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    /// As large as the whole output.
    residual: Option<&'a [f32]>,
    act: Option<Unary>,
    /// The output of `planes`.
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl SimdOp for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Window {
            in_h,
            in_w,
            out_h,
            out_w,
            ..
        } = *self.window;
        let (plane_in, plane_out) = (in_h * in_w, out_h * out_w);
        let Conv2d {
            in_channels,
            out_channels,
            ..
        } = *self.conv;
        let (bands, taps) = (self.bands, self.offsets.len());
        let (lo, hi, act) = match self.act {
            Some(Unary::Relu) => (0.0, f32::INFINITY, None),
            Some(Unary::Clip { min, max }) => (min, max, None),
            act => (f32::NEG_INFINITY, f32::INFINITY, act),
        };
        let (phases, sums) = bands.split(self.scratch);
        let first = self.planes.start;
        for (plane, y) in self.planes.zip(self.y.chunks_exact_mut(plane_out)) {
            let (image, channel) = (plane / out_channels, plane % out_channels);
            let from = image * in_channels + channel / (out_channels / in_channels);
            let x = &self.x[from * plane_in..][..plane_in];
            let weights = &self.weights[channel * taps..][..taps];
            let finish = Finish {
                bias: self.bias.map_or(0.0, |b| b[channel]),
                residual: self.residual.map(|r| &r[plane * plane_out..][..plane_out]),
                lo,
                hi,
            };
            for band in bands.iter() {
                let pad = (plane == first || !bands.single()).then_some(0.0);
                bands.fill(isa, x, &band, pad, phases);
                bands.fold::<I, Weighted>(isa, band.len(), (self.offsets, weights), phases, sums, false);
                for (row, oy) in band.enumerate() {
                    finish.row(
                        isa,
                        bands.row(sums, row),
                        oy * out_w,
                        &mut y[oy * out_w..][..out_w],
                    );
                }
            }
            if let Some(act) = act {
                // SAFETY: one row that is the plane.
                unsafe { map_rows(isa, act, y.as_mut_ptr(), 1, y.len(), y.len()) };
            }
        }
    }
}

/// What a plane's sums take as they are copied out.
struct Finish<'a> {
    bias: f32,
    residual: Option<&'a [f32]>,
    lo: f32,
    hi: f32,
}

impl Finish<'_> {
    /// Copies one row out; `at` is where it starts in the plane.
    #[inline(always)]
    fn row<I: Isa>(&self, isa: I, sums: &[f32], at: usize, y: &mut [f32]) {
        let (bias, lo, hi) = (isa.splat(self.bias), isa.splat(self.lo), isa.splat(self.hi));
        let n = y.len();
        let sums = &sums[..n];
        let residual = self.residual.map(|r| &r[at..at + n]);
        if n < I::LANES {
            let mut v = isa.add(isa.load_partial(sums), bias);
            if let Some(residual) = residual {
                v = isa.add(v, isa.load_partial(residual));
            }
            return isa.store_partial(y, isa.clamp(v, lo, hi));
        }
        let mut i = 0;
        while i < n {
            // The last vector overlaps the one before: the same sums give the same results.
            let at = i.min(n - I::LANES);
            let mut v = isa.add(isa.load(&sums[at..]), bias);
            if let Some(residual) = residual {
                v = isa.add(v, isa.load(&residual[at..]));
            }
            isa.store(&mut y[at..], isa.clamp(v, lo, hi));
            i += I::LANES;
        }
    }
}
