//! Products of eight-bit matrices with packed weights: channels in the lanes.
//!
//! `y[r, n] = requantise(Σ x[r, k] · w[n, k])`. A pair of a row's elements is spread over all lanes and meets a panel of 16
//! channels; up to four rows share what is read of the weights. Panels are the tasks.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::{PANEL, PackedInt8, QuantBytes, Requantise, pair};
use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product};

const KERNEL: &str = "qproduct";
/// Rows that share a reading of the weights.
const ROWS: usize = 4;
/// Most vectors of a panel: four lanes at least.
const MAX_VECTORS: usize = PANEL / 4;

/// `y = requantise((x − zero) · weightsᵀ)`: x [rows, k], y [rows, channels], both bytes, row-major.
///
/// # Errors
/// Slices that are too short, weights that contradict the shape.
pub fn qproduct(
    ctx: Ctx<'_>,
    rows: usize,
    x: QuantBytes<'_>,
    weights: &PackedInt8,
    requantise: &Requantise<'_>,
    y: &mut [u8],
) -> Result<()> {
    let (channels, k) = (weights.rows, weights.k);
    weights.check(KERNEL, 1, channels, k)?;
    weights.check_pairs(KERNEL)?;
    requantise.check(KERNEL, channels)?;
    holds(KERNEL, "x", product(KERNEL, &[rows, k])?, x.data.len())?;
    let output = product(KERNEL, &[rows, channels])?;
    holds(KERNEL, "y", output, y.len())?;
    if output == 0 {
        return Ok(());
    }
    let y = Parts::new(&mut y[..output]);
    let grain = (64 * 1024 / (rows * k * PANEL).max(1)).max(1);
    ctx.ranges(channels.div_ceil(PANEL), grain, &|panels, _| {
        ctx.isa.dispatch(Panels {
            panels,
            rows,
            x,
            weights,
            requantise,
            y: &y,
        });
    });
    Ok(())
}

/// Neighbouring panels of channels.
struct Panels<'a> {
    panels: Range<usize>,
    rows: usize,
    x: QuantBytes<'a>,
    weights: &'a PackedInt8,
    requantise: &'a Requantise<'a>,
    y: &'a Parts<'a, u8>,
}

impl SimdOp for Panels<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        for panel in self.panels.clone() {
            let mut row = 0;
            while row < self.rows {
                row += if self.rows - row >= ROWS {
                    self.block::<I, ROWS>(isa, panel, row)
                } else {
                    self.block::<I, 1>(isa, panel, row)
                };
            }
        }
    }
}

impl Panels<'_> {
    /// `R` rows of a panel; says how many.
    #[inline(always)]
    fn block<I: Isa, const R: usize>(&self, isa: I, panel: usize, row: usize) -> usize {
        let (channels, first) = (self.weights.rows, panel * PANEL);
        let count = PANEL.min(channels - first);
        // The panel's own, so that whole vectors can be read.
        let (mut starts, mut multipliers) = ([0f32; PANEL], [0f32; PANEL]);
        let start = &self.requantise.starts[first..][..count];
        for (to, &start) in starts.iter_mut().zip(start) {
            *to = f32::from_bits(start.cast_unsigned());
        }
        multipliers[..count].copy_from_slice(&self.requantise.multipliers[first..][..count]);
        let vectors = PANEL / I::LANES;
        let mut sums = [[isa.splat_i(0); MAX_VECTORS]; R];
        for sums in &mut sums {
            for (v, sum) in sums.iter_mut().enumerate().take(vectors) {
                *sum = isa.to_bits(isa.load(&starts[v * I::LANES..]));
            }
        }
        self.add::<I, R>(isa, panel, row, &mut sums);
        let finish = self.requantise.finish(isa);
        for (r, sums) in sums.iter().enumerate() {
            for (v, &sum) in sums.iter().enumerate().take(vectors) {
                let multiplier = isa.load(&multipliers[v * I::LANES..]);
                let channel = v * I::LANES;
                let len = count.saturating_sub(channel).min(I::LANES);
                let at = (row + r) * channels + first + channel.min(count);
                // SAFETY: these channels of this row are this task's alone.
                let to = unsafe { self.y.part(at..at + len) };
                // SAFETY: the slice has `len` bytes.
                unsafe { finish.store(isa, sum, multiplier, to.as_mut_ptr(), len) };
            }
        }
        R
    }

    /// Adds the products of `R` rows with a panel.
    #[inline(always)]
    fn add<I: Isa, const R: usize>(
        &self,
        isa: I,
        panel: usize,
        row: usize,
        sums: &mut [[I::I; MAX_VECTORS]; R],
    ) {
        let k = self.weights.k;
        let flip = self.x.bytes.flip();
        let x: [&[u8]; R] = core::array::from_fn(|r| &self.x.data[(row + r) * k..][..k]);
        let len = self.weights.panel_len();
        let weights = &self.weights.group(0)[panel * len..][..len];
        for (half, weights) in weights.chunks_exact(PANEL).enumerate() {
            let weights = weights.as_ptr().cast::<f32>();
            // SAFETY: a chunk has PANEL pairs.
            let w: [I::I; MAX_VECTORS] = core::array::from_fn(|v| unsafe {
                isa.to_bits(isa.load_ptr(weights.add(v % (PANEL / I::LANES) * I::LANES)))
            });
            for (sums, x) in sums.iter_mut().zip(&x) {
                let at = |i: usize| i32::from(x[i.min(k - 1)] ^ flip);
                let both = isa.splat_i(pair(at(2 * half), at(2 * half + 1)));
                for (sum, &w) in sums.iter_mut().zip(&w).take(PANEL / I::LANES) {
                    *sum = isa.dot_i16(*sum, both, w);
                }
            }
        }
    }
}
