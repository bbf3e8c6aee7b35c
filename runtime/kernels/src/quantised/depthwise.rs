//! Depthwise convolution of eight-bit planes, for windows without dilation that move by one or two.
//!
//! A plane is spread out once with its padding, as *pairs of neighbours*: element i holds pixels `s·i` and `s·i + 1` for a
//! window that moves by s, so two taps side by side are one load and one dot product. Rows that the window meets at the
//! same phase lie together. An output's taps are then at fixed distances from its place, over row ends too: vectors run
//! through the whole plane, and what they compute between two rows is left out when rows are copied out.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::{PackedInt8, QuantBytes, Requantise, as_bytes};
use crate::conv::Conv2d;
use crate::ctx::{Ctx, Parts};

/// Pairs that a spread plane may have (1 MiB); larger ones take the way of other convolutions.
const MAX_PAIRS: usize = 256 * 1024;
/// Taps of a window at most, two by two.
const MAX_TAPS: usize = 128;
/// Vectors that share a reading of the weights.
const VECTORS: usize = 4;
/// The most lanes of a vector.
const MAX_LANES: usize = 16;

/// Whether each channel has a window of its own: of any size and stride, so that one packing serves all shapes of a run.
pub(super) fn is_depthwise(conv: &Conv2d) -> bool {
    conv.groups == conv.in_channels && conv.groups == conv.out_channels
}

/// How a plane is spread out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    out_h: usize,
    out_w: usize,
    /// Pairs of a row.
    cols: usize,
    /// Rows of a phase.
    rows: usize,
    /// From the first output to behind the last, row ends included.
    len: usize,
    /// Pairs of the whole, with room for vectors to read past the end.
    pairs: usize,
}

impl Spread {
    /// For a convolution that this way can take.
    pub(super) fn new(conv: &Conv2d) -> Option<Self> {
        let [sh, sw] = conv.strides;
        let [kh, kw] = conv.kernel;
        let plain = conv.dilations == [1, 1] && matches!(sw, 1 | 2) && matches!(sh, 1 | 2);
        if !is_depthwise(conv) || !plain || conv.in_w == 0 || kh * kw.div_ceil(2) > MAX_TAPS {
            return None;
        }
        let (out_h, out_w) = conv.out_hw().filter(|&(h, w)| h > 0 && w > 0)?;
        // As far as the last window reaches, its taps taken two by two.
        let cols = out_w + (kw.div_ceil(2) * 2 - 2) / sw;
        let rows = (out_h - 1) + kh.div_ceil(sh);
        let len = (out_h - 1) * cols + out_w;
        let pairs = sh * rows * cols + VECTORS * MAX_LANES + 2 * kw;
        (pairs <= MAX_PAIRS).then_some(Self {
            out_h,
            out_w,
            cols,
            rows,
            len,
            pairs,
        })
    }

    /// Scratch of one worker, in f32: the pairs, and the bytes that come out.
    pub(super) fn scratch(&self) -> usize {
        self.pairs + self.bytes() / 4
    }

    /// Room for the outputs in whole vectors.
    fn bytes(&self) -> usize {
        self.len.next_multiple_of(VECTORS * MAX_LANES)
    }
}

/// Runs a checked convolution; planes are the tasks.
pub(super) fn run(
    ctx: Ctx<'_>,
    conv: &Conv2d,
    spread: Spread,
    x: QuantBytes<'_>,
    weights: &PackedInt8,
    requantise: &Requantise<'_>,
    y: &mut [u8],
    scratch: &mut [f32],
) {
    let (each, plane) = (spread.scratch(), spread.out_h * spread.out_w);
    let grain = (32 * 1024 / (spread.len * conv.kernel[0] * conv.kernel[1]).max(1)).max(1);
    let (y, scratch) = (Parts::new(y), Parts::new(scratch));
    ctx.ranges(conv.batch * conv.out_channels, grain, &|planes, task| {
        // SAFETY: one slice for each worker, and a worker runs one task at a time; a task's planes are its own.
        let (scratch, y) = unsafe {
            (
                scratch.part(task.worker * each..(task.worker + 1) * each),
                y.part(planes.start * plane..planes.end * plane),
            )
        };
        ctx.isa.dispatch(Planes {
            conv,
            spread,
            planes,
            x,
            weights,
            requantise,
            y,
            scratch,
        });
    });
}

/// Neighbouring planes.
struct Planes<'a> {
    conv: &'a Conv2d,
    spread: Spread,
    planes: Range<usize>,
    x: QuantBytes<'a>,
    weights: &'a PackedInt8,
    requantise: &'a Requantise<'a>,
    y: &'a mut [u8],
    scratch: &'a mut [f32],
}

impl SimdOp for Planes<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let (conv, spread) = (self.conv, self.spread);
        let taps = Taps::new(conv, &spread);
        let (pairs, bytes) = self.scratch.split_at_mut(spread.pairs);
        let bytes = as_bytes(bytes);
        // SAFETY: the same memory; f32 and i32 are of one size and alignment, and any bits are both.
        let pairs = unsafe { core::slice::from_raw_parts_mut(pairs.as_mut_ptr().cast::<i32>(), pairs.len()) };
        let zero = self.x.unsigned_zero();
        pairs.fill(super::pair(zero, zero));
        let finish = self.requantise.finish(isa);
        let size = conv.in_h * conv.in_w;
        for (plane, y) in self
            .planes
            .zip(self.y.chunks_exact_mut(spread.out_h * spread.out_w))
        {
            let channel = plane % conv.out_channels;
            fill(
                conv,
                &spread,
                &self.x,
                &self.x.data[plane * size..][..size],
                pairs,
            );
            let weights = taps.weights(conv, self.weights, channel);
            let weights = &weights[..taps.count];
            let start = isa.splat_i(self.requantise.starts[channel]);
            let multiplier = isa.splat(self.requantise.multipliers[channel]);
            for at in (0..spread.len).step_by(VECTORS * I::LANES) {
                let sums = taps.sums(isa, weights, start, &pairs[at..]);
                for (v, &sum) in sums.iter().enumerate() {
                    let to = &mut bytes[at + v * I::LANES..][..I::LANES];
                    // SAFETY: the slice has LANES bytes.
                    unsafe { isa.store_u8(to.as_mut_ptr(), finish.apply(isa, sum, multiplier)) };
                }
            }
            for (row, y) in y.chunks_exact_mut(spread.out_w).enumerate() {
                y.copy_from_slice(&bytes[row * spread.cols..][..spread.out_w]);
            }
        }
    }
}

/// Spreads a plane out. Padding is there already, and stays: every plane writes the same places.
#[inline(always)]
fn fill(conv: &Conv2d, spread: &Spread, x: &QuantBytes<'_>, plane: &[u8], pairs: &mut [i32]) {
    let [sh, sw] = conv.strides;
    let (top, left) = (conv.pads[0], conv.pads[1]);
    let (flip, zero) = (x.bytes.flip(), x.unsigned_zero());
    for (iy, row) in plane.chunks_exact(conv.in_w).enumerate() {
        let at = iy + top;
        if at / sh >= spread.rows {
            break;
        }
        let to = &mut pairs[(at % sh * spread.rows + at / sh) * spread.cols..][..spread.cols];
        let pixel = |i: usize| {
            let under = i.wrapping_sub(left);
            row.get(under).map_or(zero, |&byte| i32::from(byte ^ flip))
        };
        // Pairs whole on the image need no look at its borders.
        let begin = left.div_ceil(sw).min(spread.cols);
        let end = ((conv.in_w + left - 1) / sw).clamp(begin, spread.cols);
        for (i, to) in to[..begin].iter_mut().enumerate() {
            *to = super::pair(pixel(sw * i), pixel(sw * i + 1));
        }
        let from = &row[sw * begin - left..];
        match sw {
            1 => to[begin..end]
                .iter_mut()
                .zip(from.iter().zip(&from[1..]))
                .for_each(|(to, (&low, &high))| {
                    *to = i32::from(low ^ flip) | i32::from(high ^ flip) << 16;
                }),
            _ => to[begin..end]
                .iter_mut()
                .zip(from.chunks_exact(2))
                .for_each(|(to, two)| {
                    *to = i32::from(two[0] ^ flip) | i32::from(two[1] ^ flip) << 16;
                }),
        }
        for (i, to) in to[end..].iter_mut().enumerate() {
            *to = super::pair(pixel(sw * (end + i)), pixel(sw * (end + i) + 1));
        }
    }
}

/// Where the taps of a window lie, two by two, from an output's place.
struct Taps {
    offsets: [usize; MAX_TAPS],
    count: usize,
    /// Pairs that must lie behind an output's place.
    reach: usize,
}

impl Taps {
    #[inline(always)]
    fn new(conv: &Conv2d, spread: &Spread) -> Self {
        let ([sh, sw], [kh, kw]) = (conv.strides, conv.kernel);
        let mut taps = Taps {
            offsets: [0; MAX_TAPS],
            count: kh * kw.div_ceil(2),
            reach: 0,
        };
        for ky in 0..kh {
            for half in 0..kw.div_ceil(2) {
                let offset = (ky % sh * spread.rows + ky / sh) * spread.cols + 2 * half / sw;
                taps.offsets[ky * kw.div_ceil(2) + half] = offset;
                taps.reach = taps.reach.max(offset);
            }
        }
        taps
    }

    /// A channel's weights in the order of the taps.
    #[inline(always)]
    fn weights(&self, conv: &Conv2d, weights: &PackedInt8, channel: usize) -> [i32; MAX_TAPS] {
        let kw = conv.kernel[1];
        let packed = weights.group(channel);
        // Two neighbouring weights share a word, unless a row is of odd length.
        let weight = |i: usize| i32::from((packed[i / 2 * weights.width] >> (16 * (i % 2))) as i16);
        let mut found = [0; MAX_TAPS];
        for (tap, to) in found.iter_mut().enumerate().take(self.count) {
            let (ky, kx) = (tap / kw.div_ceil(2), tap % kw.div_ceil(2) * 2);
            let first = ky * kw + kx;
            let second = if kx + 1 < kw { weight(first + 1) } else { 0 };
            *to = super::pair(weight(first), second);
        }
        found
    }

    /// The sums of [`VECTORS`] vectors of outputs.
    #[inline(always)]
    fn sums<I: Isa>(&self, isa: I, weights: &[i32], start: I::I, pairs: &[i32]) -> [I::I; VECTORS] {
        assert!(pairs.len() >= self.reach + VECTORS * I::LANES && weights.len() <= MAX_TAPS);
        let mut sums = [start; VECTORS];
        for (&weight, &offset) in weights.iter().zip(&self.offsets) {
            let w = isa.splat_i(weight);
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: inside the slice by the assertion, as no offset is past `reach`.
                let x = unsafe { isa.load_ptr(pairs.as_ptr().add(offset + v * I::LANES).cast()) };
                *sum = isa.dot_i16(*sum, isa.to_bits(x), w);
            }
        }
        sums
    }
}
