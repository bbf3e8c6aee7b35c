//! Depthwise convolution: each output plane is a weighted sum of shifted vectors of one input plane (`window`).
//!
//! The sums of a band stay in the L1 cache; as its rows are copied out they take bias, residual and activation.

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
    let multiplier = conv.out_channels / conv.in_channels;
    let mut offsets = [0; MAX_TAPS];
    let offsets = &mut offsets[..taps];
    for (t, offset) in offsets.iter_mut().enumerate() {
        *offset = bands.offset(t / window.kernel[1], t % window.kernel[1]);
    }
    let offsets = &*offsets;
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    let grain = (16 * 1024 / (plane_out * taps).max(1)).max(1);
    ctx.ranges(conv.batch * conv.out_channels, grain, &|planes, task| {
        // SAFETY: one slice for each worker, and a worker runs one task at a time.
        let scratch = unsafe { scratch.part(task.worker * each..(task.worker + 1) * each) };
        for plane in planes {
            let (image, channel) = (plane / conv.out_channels, plane % conv.out_channels);
            let from = (image * conv.in_channels + channel / multiplier) * plane_in;
            let out = plane * plane_out..(plane + 1) * plane_out;
            ctx.isa.dispatch(Plane {
                bands: &bands,
                window,
                offsets,
                x: &x[from..from + plane_in],
                weights: &weights[channel * taps..(channel + 1) * taps],
                bias: bias.map_or(0.0, |b| b[channel]),
                residual: residual.map(|r| &r[out.clone()]),
                act,
                // SAFETY: each plane is in one task's range.
                y: unsafe { y.part(out) },
                scratch,
            });
        }
    });
    Ok(())
}

/// One output plane.
struct Plane<'a> {
    bands: &'a Bands,
    window: &'a Window,
    /// Where each tap starts in the phases.
    offsets: &'a [usize],
    x: &'a [f32],
    weights: &'a [f32],
    bias: f32,
    residual: Option<&'a [f32]>,
    act: Option<Unary>,
    y: &'a mut [f32],
    scratch: &'a mut [f32],
}

impl SimdOp for Plane<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (bands, out_w) = (self.bands, self.window.out_w);
        let (lo, hi, act) = match self.act {
            Some(Unary::Relu) => (0.0, f32::INFINITY, None),
            Some(Unary::Clip { min, max }) => (min, max, None),
            act => (f32::NEG_INFINITY, f32::INFINITY, act),
        };
        let (bias, lo, hi) = (isa.splat(self.bias), isa.splat(lo), isa.splat(hi));
        let (phases, sums) = bands.split(self.scratch);
        for band in bands.iter() {
            bands.fill(isa, self.x, &band, 0.0, phases);
            bands.fold::<I, Weighted>(isa, band.len(), (self.offsets, self.weights), phases, sums, false);
            for (row, oy) in band.clone().enumerate() {
                let sums = bands.row(sums, row);
                let y = &mut self.y[oy * out_w..][..out_w];
                let mut c = 0;
                while c < out_w {
                    let n = (out_w - c).min(I::LANES);
                    let mut v = isa.add(isa.load_partial(&sums[c..c + n]), bias);
                    if let Some(residual) = self.residual {
                        v = isa.add(v, isa.load_partial(&residual[oy * out_w + c..][..n]));
                    }
                    isa.store_partial(&mut y[c..c + n], isa.clamp(v, lo, hi));
                    c += n;
                }
            }
            if let Some(act) = act {
                let y = &mut self.y[band.start * out_w..band.end * out_w];
                // SAFETY: one row that is the band's slice.
                unsafe { map_rows(isa, act, y.as_mut_ptr(), 1, y.len(), y.len()) };
            }
        }
    }
}
