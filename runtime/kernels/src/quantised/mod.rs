//! Integer kernels: eight-bit tensors, int32 sums, one requantisation (docs/numerics.md). The same bytes on every
//! instruction set and for any number of threads.
//!
//! # Mental model
//!
//! Everything is a dot product of *pairs*: two 16-bit integers in one 32-bit lane, multiplied and added to a lane of the
//! accumulator by one instruction (`pmaddwd`, `smull`+`addp`, `i32x4.dot_i16x8_s`). Sixteen bits hold an element less
//! any zero point, so nothing saturates on the way; sums wrap, as the definition says.
//!
//! - Elements are read as unsigned bytes: signed ones with their sign bit flipped, their zero point moved by 128.
//! - The activations' zero point is not taken off element by element. `Σ (x − z)·w = Σ x·w − z·Σ w`: the second part is
//!   in the accumulators' start ([`PackedInt8::starts`]), and padding is the byte `z` itself.
//! - Weights are packed once, their zero points taken off, in panels of [`PANEL`] channels ([`PackedInt8`]).
//! - [`qconv2d`] has pixels in the lanes and channels in the rows of a tile; [`qproduct`], for matrices, has channels in
//!   the lanes. Both read the same panels.
//!
//! # Four bytes a lane
//!
//! Where an instruction adds four products of bytes to a lane ([`Isa::DOT_I8`]), convolutions take *quads*: weights of 8 bits as
//! they are, against activations in two parts. Such instructions want one operand below 128 and, on some engines, add two
//! products in 16 bits that saturate; so `x = 2·(x >> 1) + (x & 1)`, and `Σ x·w = 2·Σ (x >> 1)·w + Σ (x & 1)·w`. Both parts are below
//! 128, two products of theirs with weights of 8 bits are within ±32 512, and doubling wraps as the sum does: the bytes are those of pairs.
//! Weights that do not fit 8 bits once their zero point is off stay pairs, and so do depthwise windows.
//!
//! # Cost
//!
//! A product takes half an instruction for each multiplication and lane: 16 multiplications an instruction with AVX2.
//! The pairs of a block of pixels are made once and read by all panels. Quads take two instructions for four products, where pairs take
//! two multiplications and two additions.

mod conv;
mod depthwise;
mod pointwise;
mod product;
mod source;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use sanderling_simd::{Best, Isa, SimdOp};

use crate::conv::Conv2d;
use crate::error::{Result, holds, product as multiply, rule};

pub use conv::{qconv2d, qconv2d_scratch_len};
pub use pointwise::{Pair, lookup, qmean, qpair};
pub use product::qproduct;

/// Channels of a panel of packed weights.
pub(crate) const PANEL: usize = 16;

/// How the bytes of a tensor are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bytes {
    /// 0 to 255.
    Unsigned,
    /// −128 to 127.
    Signed,
}

impl Bytes {
    /// What turns a byte into the unsigned byte that stands for it.
    fn flip(self) -> u8 {
        match self {
            Bytes::Unsigned => 0,
            Bytes::Signed => 0x80,
        }
    }
}

/// An eight-bit operand: its bytes, and the zero point as one of them.
#[derive(Clone, Copy, Debug)]
pub struct QuantBytes<'a> {
    /// The elements.
    pub data: &'a [u8],
    /// How they are read.
    pub bytes: Bytes,
    /// The zero point, as the tensor would store it.
    pub zero: u8,
}

impl QuantBytes<'_> {
    /// The zero point in the unsigned reading.
    fn unsigned_zero(&self) -> i32 {
        i32::from(self.zero ^ self.bytes.flip())
    }
}

/// What sums become: numerics.md section 2, with a multiplier a channel.
#[derive(Clone, Copy, Debug)]
pub struct Requantise<'a> {
    /// What each channel's sum starts from: [`PackedInt8::starts`].
    pub starts: &'a [i32],
    /// Each channel's multiplier.
    pub multipliers: &'a [f32],
    /// The result's zero point.
    pub zero: i32,
    /// The least result.
    pub least: i32,
    /// The greatest.
    pub most: i32,
}

impl Requantise<'_> {
    fn check(&self, kernel: &'static str, channels: usize) -> Result<()> {
        holds(kernel, "starts", channels, self.starts.len())?;
        holds(kernel, "multipliers", channels, self.multipliers.len())
    }

    #[inline(always)]
    fn finish<I: Isa>(&self, isa: I) -> Finish<I> {
        Finish {
            least: isa.splat((self.least - self.zero) as f32),
            most: isa.splat((self.most - self.zero) as f32),
            zero: isa.splat_i(self.zero),
        }
    }
}

/// The end of [`Requantise`] in registers.
#[derive(Clone, Copy)]
struct Finish<I: Isa> {
    least: I::F,
    most: I::F,
    zero: I::I,
}

impl<I: Isa> Finish<I> {
    /// Both bounds are whole numbers: clamping before rounding gives what rounding before clamping does.
    #[inline(always)]
    fn apply(&self, isa: I, sum: I::I, multiplier: I::F) -> I::I {
        let value = isa.mul(isa.to_f32(sum), multiplier);
        isa.add_i(isa.to_i32(isa.clamp(value, self.least, self.most)), self.zero)
    }

    /// Applies it to a vector of sums and writes the first `len` of its bytes.
    ///
    /// # Safety
    /// `to` must be valid for writing `len` bytes, at most `LANES`.
    #[inline(always)]
    unsafe fn store(&self, isa: I, sum: I::I, multiplier: I::F, to: *mut u8, len: usize) {
        let value = self.apply(isa, sum, multiplier);
        if len == I::LANES {
            // SAFETY: the caller vouches for LANES bytes.
            return unsafe { isa.store_u8(to, value) };
        }
        let mut whole = [0u8; 16];
        // SAFETY: no vector has more than 16 lanes; the caller vouches for `len` bytes, less than LANES.
        unsafe {
            isa.store_u8(whole.as_mut_ptr(), value);
            core::ptr::copy_nonoverlapping(whole.as_ptr(), to, len);
        }
    }
}

/// How many weights share a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    /// Two of 16 bits.
    Pairs,
    /// Four of 8 bits.
    Quads,
}

impl Packing {
    fn weights(self) -> usize {
        match self {
            Packing::Pairs => 2,
            Packing::Quads => 4,
        }
    }
}

/// Weights [groups][rows][k] as words, in panels of rows: word p of row r in a panel is at `p · width + r`. Rows
/// are output channels; a panel is [`PANEL`] wide, or one where each group has one row.
#[derive(Clone, Debug)]
pub struct PackedInt8 {
    groups: usize,
    rows: usize,
    k: usize,
    /// Rows of a panel.
    width: usize,
    packing: Packing,
    words: Vec<i32>,
    /// Σ of each row, by group and row.
    sums: Vec<i32>,
}

impl PackedInt8 {
    /// Packs weights; `weight(row, i)` is the `i`th weight of a row less its zero point, rows counted over all groups.
    ///
    /// # Errors
    /// Sizes whose product does not fit memory.
    pub fn new(groups: usize, rows: usize, k: usize, weight: impl Fn(usize, usize) -> i16) -> Result<Self> {
        Self::pack(Packing::Pairs, groups, rows, k, weight)
    }

    /// The same for [`qconv2d`] on these instructions alone, in the form that is fastest there.
    ///
    /// # Errors
    /// As [`Self::new`]; groups that do not divide the channels.
    pub fn for_conv(isa: Best, conv: &Conv2d, weight: impl Fn(usize, usize) -> i16) -> Result<Self> {
        let (rows, k) = conv::matrix(conv)?;
        let fits = || (0..conv.out_channels).all(|row| (0..k).all(|i| i8::try_from(weight(row, i)).is_ok()));
        let packing = match isa.dispatch(TakesQuads) && !depthwise::is_depthwise(conv) && fits() {
            true => Packing::Quads,
            false => Packing::Pairs,
        };
        Self::pack(packing, conv.groups, rows, k, weight)
    }

    fn pack(
        packing: Packing,
        groups: usize,
        rows: usize,
        k: usize,
        weight: impl Fn(usize, usize) -> i16,
    ) -> Result<Self> {
        let width = Self::width(groups, rows);
        let (steps, panels) = (k.div_ceil(packing.weights()), rows.div_ceil(width));
        let len = multiply(KERNEL, &[groups, panels, steps, width])?;
        let mut words = Vec::with_capacity(len);
        let mut sums = Vec::with_capacity(groups * rows);
        for group in 0..groups {
            for panel in 0..panels {
                for p in 0..steps {
                    words.extend((0..width).map(|r| {
                        let row = panel * width + r;
                        let at = |i: usize| {
                            if row < rows && i < k {
                                i32::from(weight(group * rows + row, i))
                            } else {
                                0
                            }
                        };
                        match packing {
                            Packing::Pairs => pair(at(2 * p), at(2 * p + 1)),
                            Packing::Quads => i32::from_le_bytes([0, 1, 2, 3].map(|i| at(4 * p + i) as u8)),
                        }
                    }));
                }
            }
            sums.extend(
                (group * rows..(group + 1) * rows)
                    .map(|row| (0..k).fold(0i32, |sum, i| sum.wrapping_add(i32::from(weight(row, i))))),
            );
        }
        Ok(PackedInt8 {
            groups,
            rows,
            k,
            width,
            packing,
            words,
            sums,
        })
    }

    /// Rows of a panel.
    fn width(groups: usize, rows: usize) -> usize {
        if groups > 1 && rows == 1 { 1 } else { PANEL }
    }

    /// [`PackedInt8::bytes`] of weights of this shape at most, before they are packed: `usize::MAX` where no memory holds them.
    #[must_use]
    pub fn bytes_of(groups: usize, rows: usize, k: usize) -> usize {
        let width = Self::width(groups, rows);
        let pairs = multiply(KERNEL, &[groups, rows.div_ceil(width), k.div_ceil(2), width, 4]);
        let sums = multiply(KERNEL, &[groups, rows, 4]);
        match (pairs, sums) {
            (Ok(pairs), Ok(sums)) => pairs.saturating_add(sums),
            _ => usize::MAX,
        }
    }

    /// What each channel's sum starts from: its bias, less what the zero point of `x` adds.
    #[must_use]
    pub fn starts(&self, bias: Option<&[i32]>, zero: u8, bytes: Bytes) -> Vec<i32> {
        let zero = i32::from(zero ^ bytes.flip());
        let bias = |i: usize| bias.and_then(|bias| bias.get(i)).copied().unwrap_or(0);
        let start = |(i, &sum): (usize, &i32)| bias(i).wrapping_sub(zero.wrapping_mul(sum));
        self.sums.iter().enumerate().map(start).collect()
    }

    /// Bytes that it holds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.words.len() + self.sums.len()) * 4
    }

    /// Words of a row.
    fn steps(&self) -> usize {
        self.k.div_ceil(self.packing.weights())
    }

    /// Words of a panel.
    fn panel_len(&self) -> usize {
        self.steps() * self.width
    }

    /// The panels of a group.
    fn group(&self, group: usize) -> &[i32] {
        let len = self.rows.div_ceil(self.width) * self.panel_len();
        &self.words[group * len..][..len]
    }

    fn check(&self, kernel: &'static str, groups: usize, rows: usize, k: usize) -> Result<()> {
        let same = (self.groups, self.rows, self.k) == (groups, rows, k);
        rule(kernel, same, "the weights were packed for another shape")
    }

    /// For kernels that read pairs alone, or instructions that take no quads.
    fn check_pairs(&self, kernel: &'static str) -> Result<()> {
        let pairs = self.packing == Packing::Pairs;
        rule(
            kernel,
            pairs,
            "the weights were packed for a convolution on other instructions",
        )
    }
}

/// Whether instructions take weights four a word. The tests have all take them, for the sake of the code around.
struct TakesQuads;

impl SimdOp for TakesQuads {
    type Output = bool;

    #[inline(always)]
    fn eval<I: Isa>(self, _: I) -> bool {
        I::DOT_I8 || cfg!(test)
    }
}

const KERNEL: &str = "int8 weights";

/// Two 16-bit integers as one of 32 bits.
#[inline(always)]
fn pair(low: i32, high: i32) -> i32 {
    (low & 0xffff) | (high << 16)
}

/// Scratch as bytes.
fn as_bytes(scratch: &mut [f32]) -> &mut [u8] {
    let len = scratch.len() * 4;
    // SAFETY: the same memory, whole; bytes need no alignment, and any bytes are f32 again.
    unsafe { core::slice::from_raw_parts_mut(scratch.as_mut_ptr().cast::<u8>(), len) }
}
