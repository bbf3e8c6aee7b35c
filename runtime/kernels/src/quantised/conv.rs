//! Convolution of eight-bit NCHW images: pixels in the lanes.
//!
//! The outputs of a group are a matrix [channels, pixels]. A *block* of neighbouring pixels is a task: the bytes under
//! each tap are copied side by side (padding as the zero point), two taps at a time interleaved to pairs (or four to quads, each in its
//! two parts), and all panels of weights run over them. Depthwise convolution is the case of one channel a group.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::depthwise::{self, Spread};
use super::source::Source;
use super::{Finish, PANEL, PackedInt8, Packing, QuantBytes, Requantise, TakesQuads, as_bytes};
use crate::conv::Conv2d;
use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product, rule};

const KERNEL: &str = "qconv2d";
/// Vectors of a tile.
const VECTORS: usize = 3;
/// Pixels of a tile with the widest vectors; blocks are whole tiles on every instruction set.
const TILE: usize = VECTORS * 16;
/// Pairs that a block may have: 64 KiB, so that they stay in the second-level cache.
const BLOCK_PAIRS: usize = 16 * 1024;

/// Rows and columns of a group's weights: output channels, and taps.
pub(super) fn matrix(conv: &Conv2d) -> Result<(usize, usize)> {
    let divides = conv.groups > 0
        && conv.in_channels.is_multiple_of(conv.groups)
        && conv.out_channels.is_multiple_of(conv.groups);
    rule(
        KERNEL,
        divides,
        "groups must divide the input and output channels",
    )?;
    let taps = [conv.in_channels / conv.groups, conv.kernel[0], conv.kernel[1]];
    Ok((conv.out_channels / conv.groups, product(KERNEL, &taps)?))
}

/// A convolution's sizes.
#[derive(Clone, Copy)]
struct Sizes {
    /// Input channels of a group.
    channels: usize,
    /// Output channels of a group.
    rows: usize,
    /// Taps: channels · window.
    k: usize,
    out_w: usize,
    /// Output pixels of a plane.
    pixels: usize,
    /// Pixels of a block.
    block: usize,
}

impl Sizes {
    fn new(conv: &Conv2d) -> Result<Self> {
        let (rows, k) = matrix(conv)?;
        let (out_h, out_w) = conv.out_hw().unwrap_or((0, 0));
        let pixels = product(KERNEL, &[out_h, out_w])?;
        let tiles = (BLOCK_PAIRS / (k.div_ceil(2).max(1) * TILE)).clamp(1, 8);
        Ok(Sizes {
            channels: conv.in_channels / conv.groups,
            rows,
            k,
            out_w,
            pixels,
            block: tiles.min(pixels.div_ceil(TILE)).max(1) * TILE,
        })
    }

    /// Words under the taps of a pixel: a pair for two, or two parts of a quad for four.
    fn words(&self) -> usize {
        self.k.div_ceil(4) * 2
    }

    /// Scratch of one worker, in f32: the words, and the bytes of four taps.
    fn scratch(&self) -> usize {
        (self.words() + 1) * self.block
    }
}

/// Scratch that [`qconv2d`] needs, in f32.
#[must_use]
pub fn qconv2d_scratch_len(ctx: Ctx<'_>, conv: &Conv2d) -> usize {
    let each = match Spread::new(conv) {
        Some(spread) => spread.scratch(),
        None => Sizes::new(conv).map_or(0, |sizes| sizes.scratch()),
    };
    each.saturating_mul(ctx.threads())
}

/// `y = requantise(conv(x − zero, weights))`: x [batch, in, H, W], y [batch, out, oh, ow], both bytes. Weights are packed by
/// group with k = in/groups·kh·kw.
///
/// # Errors
/// Slices that are too short, attributes or weights that contradict the shape.
pub fn qconv2d(
    ctx: Ctx<'_>,
    conv: &Conv2d,
    x: QuantBytes<'_>,
    weights: &PackedInt8,
    requantise: &Requantise<'_>,
    y: &mut [u8],
    scratch: &mut [f32],
) -> Result<()> {
    let sizes = Sizes::new(conv)?;
    weights.check(KERNEL, conv.groups, sizes.rows, sizes.k)?;
    if !ctx.isa.dispatch(TakesQuads) {
        weights.check_pairs(KERNEL)?;
    }
    requantise.check(KERNEL, conv.out_channels)?;
    let input = product(KERNEL, &[conv.batch, conv.in_channels, conv.in_h, conv.in_w])?;
    let output = product(KERNEL, &[conv.batch, conv.out_channels, sizes.pixels])?;
    holds(KERNEL, "x", input, x.data.len())?;
    holds(KERNEL, "y", output, y.len())?;
    holds(KERNEL, "scratch", qconv2d_scratch_len(ctx, conv), scratch.len())?;
    if output == 0 {
        return Ok(());
    }
    if let Some(spread) = Spread::new(conv) {
        weights.check_pairs(KERNEL)?;
        depthwise::run(
            ctx,
            conv,
            spread,
            x,
            weights,
            requantise,
            &mut y[..output],
            scratch,
        );
        return Ok(());
    }
    let each = sizes.scratch();
    let blocks = sizes.pixels.div_ceil(sizes.block);
    let (y, scratch) = (Parts::new(&mut y[..output]), Parts::new(scratch));
    // Small planes are many tasks: a few thousand multiplications at least are worth handing out.
    let grain = (64 * 1024 / (sizes.block * sizes.k * sizes.rows).max(1)).max(1);
    ctx.ranges(conv.batch * conv.groups * blocks, grain, &|tasks, task| {
        // SAFETY: one slice for each worker, and a worker runs one task at a time.
        let scratch = unsafe { scratch.part(task.worker * each..(task.worker + 1) * each) };
        ctx.isa.dispatch(Blocks {
            conv,
            sizes,
            tasks,
            x,
            weights,
            requantise,
            y: &y,
            scratch,
        });
    });
    Ok(())
}

/// Neighbouring blocks, counted over images and groups.
struct Blocks<'a> {
    conv: &'a Conv2d,
    sizes: Sizes,
    tasks: Range<usize>,
    x: QuantBytes<'a>,
    weights: &'a PackedInt8,
    requantise: &'a Requantise<'a>,
    y: &'a Parts<'a, u8>,
    scratch: &'a mut [f32],
}

impl SimdOp for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Sizes {
            channels,
            rows,
            k,
            pixels,
            block,
            ..
        } = self.sizes;
        let quads = (I::DOT_I8 || cfg!(test)) && self.weights.packing == Packing::Quads;
        let conv = self.conv;
        let plane = conv.in_h * conv.in_w;
        let blocks = pixels.div_ceil(block);
        let (words, taps) = self.scratch.split_at_mut(self.sizes.words() * block);
        for task in self.tasks {
            let (unit, first) = (task / blocks, task % blocks * block);
            let (image, group) = (unit / conv.groups, unit % conv.groups);
            let len = block.min(pixels - first);
            let source = Source {
                conv,
                out_w: self.sizes.out_w,
                x: &self.x.data[(image * conv.in_channels + group * channels) * plane..][..channels * plane],
                zero: self.x.zero,
                flip: i32::from(self.x.bytes.flip()),
                first,
            };
            match quads {
                true => source.fill_quads(isa, k, len, block, words, as_bytes(taps)),
                false => source.fill(isa, k, len, block, words, as_bytes(taps)),
            }
            for row in (0..rows).step_by(PANEL) {
                let panel = Panel {
                    weights: &self.weights.group(group)[row / PANEL * self.weights.panel_len()..],
                    words,
                    block,
                    steps: self.weights.steps(),
                    quads,
                    width: self.weights.width,
                    len,
                    finish: self.requantise.finish(isa),
                };
                let count = PANEL.min(rows - row);
                let channel = group * rows + row;
                let starts = &self.requantise.starts[channel..][..count];
                let multipliers = &self.requantise.multipliers[channel..][..count];
                let at = (image * conv.out_channels + channel) * pixels + first;
                // SAFETY: this block's pixels of this group's channels: no other task has them. `row` lines of
                // `pixels` bytes from there on lie in the output, whose length was checked.
                unsafe { panel.run(isa, starts, multipliers, self.y.as_ptr().add(at), pixels) };
            }
        }
    }
}

/// A panel of weights over a block of pixels.
struct Panel<'a, I: Isa> {
    weights: &'a [i32],
    words: &'a [f32],
    block: usize,
    /// Words of a row of weights.
    steps: usize,
    quads: bool,
    /// Rows of a panel.
    width: usize,
    len: usize,
    finish: Finish<I>,
}

impl<I: Isa> Panel<'_, I> {
    /// Computes the rows of `starts` and writes them to lines of `line` bytes.
    ///
    /// # Safety
    /// `y` must be valid for writing `len` bytes in each of the lines.
    #[inline(always)]
    unsafe fn run(&self, isa: I, starts: &[i32], multipliers: &[f32], y: *mut u8, line: usize) {
        let mut row = 0;
        while row < starts.len() {
            let (starts, multipliers) = (&starts[row..], &multipliers[row..]);
            // SAFETY: the caller vouches for all lines.
            let done = unsafe {
                let y = y.add(row * line);
                if starts.len() == 1 {
                    self.rows::<1>(isa, row, starts, multipliers, y, line)
                } else if I::REGISTERS >= 32 && starts.len() > 4 {
                    self.rows::<8>(isa, row, starts, multipliers, y, line)
                } else {
                    self.rows::<4>(isa, row, starts, multipliers, y, line)
                }
            };
            row += done;
        }
    }

    /// Up to `R` rows of a panel over all pixels; says how many.
    ///
    /// # Safety
    /// As [`Self::run`].
    #[inline(always)]
    unsafe fn rows<const R: usize>(
        &self,
        isa: I,
        row: usize,
        starts: &[i32],
        multipliers: &[f32],
        y: *mut u8,
        line: usize,
    ) -> usize {
        let count = starts.len().min(R);
        let mut start = [0; R];
        start[..count].copy_from_slice(&starts[..count]);
        let lines = Lines {
            count,
            multipliers,
            y,
            line,
        };
        let mut at = 0;
        while at < self.len {
            // SAFETY: the caller vouches for `len` bytes of each line.
            at += unsafe {
                match (self.len - at).div_ceil(I::LANES) {
                    1 => self.tile::<R, 1>(isa, row, &start, at, &lines),
                    2 => self.tile::<R, 2>(isa, row, &start, at, &lines),
                    _ => self.tile::<R, VECTORS>(isa, row, &start, at, &lines),
                }
            };
        }
        count
    }

    /// `R` rows and `V` vectors of pixels from the `at`th on; says how many pixels.
    ///
    /// # Safety
    /// As [`Self::run`], of `lines`.
    #[inline(always)]
    unsafe fn tile<const R: usize, const V: usize>(
        &self,
        isa: I,
        row: usize,
        start: &[i32; R],
        at: usize,
        lines: &Lines<'_>,
    ) -> usize {
        let sums = self.sums::<R, V>(isa, row, start, at);
        for (r, sums) in sums.iter().enumerate().take(lines.count) {
            let multiplier = isa.splat(lines.multipliers[r]);
            for (v, &sum) in sums.iter().enumerate() {
                let pixel = at + v * I::LANES;
                let len = self.len.saturating_sub(pixel).min(I::LANES);
                // SAFETY: the caller vouches for `len` bytes of each line.
                unsafe {
                    let to = lines.y.add(r * lines.line + pixel.min(self.len));
                    self.finish.store(isa, sum, multiplier, to, len);
                }
            }
        }
        V * I::LANES
    }

    /// The sums of `R` rows and `V` vectors of pixels.
    #[inline(always)]
    fn sums<const R: usize, const V: usize>(
        &self,
        isa: I,
        row: usize,
        start: &[i32; R],
        at: usize,
    ) -> [[I::I; V]; R] {
        let start = start.map(|start| [isa.splat_i(start); V]);
        if !((I::DOT_I8 || cfg!(test)) && self.quads) {
            return self.add(isa, row, start, self.words, at, |sum, x, w| {
                isa.dot_i16(sum, x, w)
            });
        }
        let (high, low) = self.words.split_at(self.steps * self.block);
        let dot = |sum, x, w| isa.dot_i8(sum, w, x);
        let halves = self.add(isa, row, [[isa.splat_i(0); V]; R], high, at, dot);
        let mut sums = start;
        for (sums, halves) in sums.iter_mut().zip(&halves) {
            for (sum, &half) in sums.iter_mut().zip(halves) {
                *sum = isa.add_i(*sum, isa.shl_i::<1>(half));
            }
        }
        self.add(isa, row, sums, low, at, dot)
    }

    /// Adds the products of all steps.
    #[inline(always)]
    fn add<const R: usize, const V: usize>(
        &self,
        isa: I,
        row: usize,
        mut sums: [[I::I; V]; R],
        words: &[f32],
        at: usize,
        dot: impl Fn(I::I, I::I, I::I) -> I::I,
    ) -> [[I::I; V]; R] {
        assert!(self.weights.len() >= self.steps * self.width && row + R <= self.width);
        assert!(words.len() >= self.steps * self.block && at + V * I::LANES <= self.block);
        let (mut weights, mut words) = (self.weights.as_ptr(), words.as_ptr());
        for _ in 0..self.steps {
            // SAFETY: both pointers stay inside their slices by the assertions above.
            unsafe {
                let x: [I::I; V] =
                    core::array::from_fn(|v| isa.to_bits(isa.load_ptr(words.add(at + v * I::LANES))));
                for (r, sums) in sums.iter_mut().enumerate() {
                    let w = isa.splat_i(*weights.add(row + r));
                    for (sum, &x) in sums.iter_mut().zip(&x) {
                        *sum = dot(*sum, x, w);
                    }
                }
                weights = weights.add(self.width);
                words = words.add(self.block);
            }
        }
        sums
    }
}

/// Where the rows of a tile go.
struct Lines<'a> {
    count: usize,
    multipliers: &'a [f32],
    y: *mut u8,
    /// From one row to the next.
    line: usize,
}
