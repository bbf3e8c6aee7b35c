//! The im2col matrix [channels·kh·kw, oh·ow] of an image, packed panel by panel without ever being made.
//!
//! The columns of a panel fall into *runs*, neighbouring outputs of one output row. What a tap of the window sees of a
//! run is a piece of one input row, and where that piece lies does not depend on the channel: it is worked out once and
//! copied for all channels.

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

/// What a tap sees of a run.
struct Piece {
    /// Its first element in a channel's plane.
    from: usize,
    /// Where it goes in the panel's row, and how many elements.
    at: usize,
    len: usize,
}

impl Image<'_> {
    /// Packs rows `k` and columns `from..from + width` into `to` as `[k][width]`, zero beyond the last column.
    #[inline(always)]
    pub(crate) fn pack<I: Isa>(&self, isa: I, k: Range<usize>, from: usize, width: usize, to: &mut [f32]) {
        let Window {
            in_h,
            in_w,
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
        let runs = &runs[..count];
        let (taps, plane) = (kh * kw, in_h * in_w);
        for tap in 0..taps {
            // Row channel·taps + tap of the matrix is in k for these channels.
            let first = |row: usize| row.saturating_sub(tap).div_ceil(taps);
            let channels = first(k.start)..first(k.end);
            if channels.is_empty() {
                continue;
            }
            let to = &mut to[(channels.start * taps + tap - k.start) * width..];
            let pieces = || runs.iter().filter_map(|run| self.piece(tap / kw, tap % kw, run));
            if pieces().map(|piece| piece.len).sum::<usize>() < width {
                for to in to.chunks_mut(taps * width).take(channels.len()) {
                    to[..width]
                        .chunks_mut(I::LANES)
                        .for_each(|v| isa.store_partial(v, isa.zero()));
                }
            }
            let x = &self.x[channels.start * plane..channels.end * plane];
            for piece in pieces() {
                self.copy(isa, &piece, x, plane, to, taps * width);
            }
        }
    }

    /// Copies one piece of each channel; panel rows are `step` apart.
    #[inline(always)]
    fn copy<I: Isa>(&self, isa: I, piece: &Piece, x: &[f32], plane: usize, to: &mut [f32], step: usize) {
        let pairs = x.chunks_exact(plane).zip(to.chunks_mut(step));
        let Piece { from, at, len } = *piece;
        match self.window.strides[1] {
            1 => {
                for (x, to) in pairs {
                    copy(isa, &x[from..from + len], &mut to[at..at + len]);
                }
            }
            2 => {
                for (x, to) in pairs {
                    copy_even(isa, &x[from..from + 2 * len - 1], &mut to[at..at + len]);
                }
            }
            stride => {
                for (x, to) in pairs {
                    let from = x[from..].iter().step_by(stride);
                    to[at..at + len]
                        .iter_mut()
                        .zip(from)
                        .for_each(|(to, from)| *to = *from);
                }
            }
        }
    }

    /// What tap (r, s) sees of the plane at the outputs of one run; `None` if that is padding alone.
    #[inline(always)]
    fn piece(&self, r: usize, s: usize, run: &Run) -> Option<Piece> {
        let Window {
            in_h,
            in_w,
            strides: [sh, sw],
            dilations: [dh, dw],
            pads: [top, left],
            ..
        } = self.window;
        let y = (run.oy * sh + r * dh).checked_sub(top).filter(|&y| y < in_h)?;
        // Output i of the run reads column i·sw + shift − left.
        let shift = run.ox * sw + s * dw;
        let first = left.saturating_sub(shift).div_ceil(sw).min(run.len);
        let last = (in_w + left)
            .saturating_sub(shift)
            .div_ceil(sw)
            .clamp(first, run.len);
        let from = (y * in_w + first * sw + shift).checked_sub(left)?;
        (first < last).then_some(Piece {
            from,
            at: run.at + first,
            len: last - first,
        })
    }
}
