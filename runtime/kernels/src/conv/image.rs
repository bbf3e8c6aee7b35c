//! The im2col matrix [channels·kh·kw, oh·ow] of an image, packed panel by panel without ever being made.

use core::ops::Range;

use sanderling_simd::Isa;

use crate::window::{Window, copy, copy_even};

/// One group's channels of one image, seen through a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Image<'a> {
    /// [channels, in_h, in_w].
    pub(crate) x: &'a [f32],
    pub(crate) window: Window,
}

/// The most columns of a panel.
const MAX_WIDTH: usize = 32;

/// Neighbouring columns of a panel that lie in one output row.
#[derive(Clone, Copy, Default)]
struct Run {
    oy: usize,
    ox: usize,
    /// Where in the panel, and how many.
    at: usize,
    len: usize,
}

impl Image<'_> {
    /// Packs rows `k` and columns `from..from + width` into `to` as `[k][width]`, zero beyond the last column.
    #[inline(always)]
    pub(crate) fn pack<I: Isa>(&self, isa: I, k: Range<usize>, from: usize, width: usize, to: &mut [f32]) {
        let Window {
            out_h,
            out_w,
            kernel: [kh, kw],
            ..
        } = self.window;
        let mut runs = [Run::default(); MAX_WIDTH];
        let mut count = 0;
        let (mut column, end) = (from, (from + width).min(out_h * out_w));
        while column < end && count < MAX_WIDTH {
            let (oy, ox) = (column / out_w, column % out_w);
            let len = (out_w - ox).min(end - column);
            runs[count] = Run {
                oy,
                ox,
                at: column - from,
                len,
            };
            count += 1;
            column += len;
        }
        let used = end.saturating_sub(from);
        let runs = &runs[..count];
        let mut tap = k.start % kw;
        let mut row = k.start / kw % kh;
        let mut channel = k.start / kw / kh;
        for to in to[..k.len() * width].chunks_exact_mut(width) {
            to[used..].fill(0.0);
            for run in runs {
                self.run(isa, channel, row, tap, run, &mut to[run.at..run.at + run.len]);
            }
            tap += 1;
            if tap == kw {
                tap = 0;
                row += 1;
                if row == kh {
                    row = 0;
                    channel += 1;
                }
            }
        }
    }

    /// What tap (r, s) sees of a channel at the outputs of one run.
    #[inline(always)]
    fn run<I: Isa>(&self, isa: I, channel: usize, r: usize, s: usize, run: &Run, to: &mut [f32]) {
        let Window {
            in_h,
            in_w,
            strides: [sh, sw],
            dilations: [dh, dw],
            pads: [top, left],
            ..
        } = self.window;
        let y = (run.oy * sh + r * dh).wrapping_sub(top);
        if y >= in_h {
            to.fill(0.0);
            return;
        }
        let source = &self.x[(channel * in_h + y) * in_w..][..in_w];
        // Output i of the run reads column i·sw + shift − left.
        let shift = run.ox * sw + s * dw;
        if sw == 1 && shift >= left && shift - left + to.len() <= in_w {
            return copy(isa, &source[shift - left..][..to.len()], to);
        }
        let first = left.saturating_sub(shift).div_ceil(sw).min(to.len());
        let last = (in_w + left)
            .saturating_sub(shift)
            .div_ceil(sw)
            .clamp(first, to.len());
        to[..first].fill(0.0);
        to[last..].fill(0.0);
        if first == last {
            return;
        }
        let source = &source[first * sw + shift - left..];
        let to = &mut to[first..last];
        if sw == 1 {
            copy(isa, &source[..to.len()], to);
        } else if sw == 2 {
            copy_even(isa, &source[..2 * to.len() - 1], to);
        } else {
            for (to, from) in to.iter_mut().zip(source.iter().step_by(sw)) {
                *to = *from;
            }
        }
    }
}
