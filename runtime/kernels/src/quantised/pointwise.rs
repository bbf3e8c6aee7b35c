//! Element-wise eight-bit kernels: sums and products of two tensors, means of planes, tables.

use core::ops::Range;

use sanderling_simd::{Isa, SimdOp};

use super::{Finish, QuantBytes, Requantise};
use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product, rule};
use crate::layout::Merged;

const KERNEL: &str = "qpair";

/// What becomes of two centred elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair {
    /// `a · first + b · second`, factors up to 2²².
    Add {
        /// Of a.
        first: i32,
        /// Of b.
        second: i32,
    },
    /// `a · b`.
    Mul,
}

/// `y = requantise(pair(a − za, b − zb))` over `shape`; strides are one for each dimension (0 broadcasts), y is contiguous.
/// The requantisation has one channel, whose start is not looked at.
///
/// # Errors
/// Slices that are too short, strides of another number than dimensions.
pub fn qpair(
    ctx: Ctx<'_>,
    op: Pair,
    shape: &[usize],
    a: (QuantBytes<'_>, &[usize]),
    b: (QuantBytes<'_>, &[usize]),
    requantise: &Requantise<'_>,
    y: &mut [u8],
) -> Result<()> {
    let ranks = a.1.len() == shape.len() && b.1.len() == shape.len();
    rule(KERNEL, ranks, "one stride for each dimension")?;
    requantise.check(KERNEL, 1)?;
    let len = product(KERNEL, shape)?;
    holds(KERNEL, "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    let merged = Merged::new(KERNEL, shape, [&|d| a.1[d] as isize, &|d| b.1[d] as isize])?;
    let [a_extent, b_extent] = merged.extents(KERNEL)?;
    // Strides are not negative: the last element is the furthest.
    holds(KERNEL, "a", a_extent.1.cast_unsigned() + 1, a.0.data.len())?;
    holds(KERNEL, "b", b_extent.1.cast_unsigned() + 1, b.0.data.len())?;
    let cols = merged.cols();
    let y = Parts::new(&mut y[..len]);
    let grain = (16 * 1024 / cols).max(1);
    ctx.ranges(merged.rows(), grain, &|rows, _| {
        // SAFETY: a task's rows are its own.
        let y = unsafe { y.part(rows.start * cols..rows.end * cols) };
        ctx.isa.dispatch(PairRows {
            op,
            merged: &merged,
            rows,
            a: a.0,
            b: b.0,
            requantise,
            y,
        });
    });
    Ok(())
}

/// Neighbouring rows of the merged dimensions.
struct PairRows<'a> {
    op: Pair,
    merged: &'a Merged<2>,
    rows: Range<usize>,
    a: QuantBytes<'a>,
    b: QuantBytes<'a>,
    requantise: &'a Requantise<'a>,
    y: &'a mut [u8],
}

impl SimdOp for PairRows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        match self.op {
            Pair::Add { first, second } => {
                let sum = Sum::new(isa, first, second);
                self.each_row(isa, |a, b| sum.of(isa, a, b));
            }
            Pair::Mul => {
                // One factor without its high half, which is its sign: a lane is then one product.
                let low = isa.splat_i(0xffff);
                self.each_row(isa, |a, b| isa.dot_i16(isa.splat_i(0), isa.and_i(a, low), b));
            }
        }
    }
}

/// The factors of [`Pair::Add`] in two parts of 11 bits, which fit the halves of a pair.
#[derive(Clone, Copy)]
struct Sum<I: Isa> {
    high: I::I,
    low: I::I,
}

impl<I: Isa> Sum<I> {
    #[inline(always)]
    fn new(isa: I, first: i32, second: i32) -> Self {
        Sum {
            high: isa.splat_i(super::pair(first >> 11, second >> 11)),
            low: isa.splat_i(super::pair(first & 0x7ff, second & 0x7ff)),
        }
    }

    #[inline(always)]
    fn of(&self, isa: I, a: I::I, b: I::I) -> I::I {
        let both = isa.or_i(isa.and_i(a, isa.splat_i(0xffff)), isa.shl_i::<16>(b));
        let high = isa.dot_i16(isa.splat_i(0), both, self.high);
        isa.dot_i16(isa.shl_i::<11>(high), both, self.low)
    }
}

impl PairRows<'_> {
    #[inline(always)]
    fn each_row<I: Isa>(self, isa: I, op: impl Fn(I::I, I::I) -> I::I + Copy) {
        let [step_a, step_b] = self.merged.col_strides().map(isize::cast_unsigned);
        let finish = self.requantise.finish(isa);
        let multiplier = isa.splat(self.requantise.multipliers[0]);
        let mut walk = self.merged.walk(self.rows.start);
        for y in self.y.chunks_exact_mut(self.merged.cols()) {
            let [a, b] = walk.offsets.map(isize::cast_unsigned);
            let a = Operand::new(isa, &self.a, a, step_a);
            let b = Operand::new(isa, &self.b, b, step_b);
            let len = y.len();
            for at in (0..len).step_by(I::LANES) {
                let n = I::LANES.min(len - at);
                let sums = op(a.load(isa, at, n), b.load(isa, at, n));
                // SAFETY: the row has `n` bytes from there on.
                unsafe { finish.store(isa, sums, multiplier, y[at..].as_mut_ptr(), n) };
            }
            walk.advance();
        }
    }
}

/// A row of an operand.
struct Operand<'a, I: Isa> {
    data: &'a [u8],
    step: usize,
    flip: I::I,
    zero: I::I,
}

impl<'a, I: Isa> Operand<'a, I> {
    #[inline(always)]
    fn new(isa: I, operand: &QuantBytes<'a>, at: usize, step: usize) -> Self {
        Operand {
            data: &operand.data[at..],
            step,
            flip: isa.splat_i(i32::from(operand.bytes.flip())),
            zero: isa.splat_i(operand.unsigned_zero()),
        }
    }

    /// `n` centred elements from the `at`th on; the lanes beyond are anything.
    #[inline(always)]
    fn load(&self, isa: I, at: usize, n: usize) -> I::I {
        let mut copied = [0u8; 16];
        let bytes = match self.step {
            0 => return self.centred(isa, isa.splat_i(i32::from(self.data[0]))),
            1 if n == I::LANES => &self.data[at..at + n],
            step => {
                let from = self.data[at * step..].iter().step_by(step).take(n);
                copied.iter_mut().zip(from).for_each(|(to, &byte)| *to = byte);
                &copied[..]
            }
        };
        assert!(bytes.len() >= I::LANES);
        // SAFETY: there are LANES bytes.
        self.centred(isa, unsafe { isa.load_u8(bytes.as_ptr()) })
    }

    #[inline(always)]
    fn centred(&self, isa: I, bytes: I::I) -> I::I {
        isa.sub_i(isa.xor_i(bytes, self.flip), self.zero)
    }
}

/// `y[p] = requantise(Σ (x[p, i] − zero))` over planes of `len` bytes. The requantisation has one channel, whose start is not
/// looked at.
///
/// # Errors
/// Slices that are too short.
pub fn qmean(
    ctx: Ctx<'_>,
    planes: usize,
    len: usize,
    x: QuantBytes<'_>,
    requantise: &Requantise<'_>,
    y: &mut [u8],
) -> Result<()> {
    const KERNEL: &str = "qmean";
    requantise.check(KERNEL, 1)?;
    holds(KERNEL, "x", product(KERNEL, &[planes, len])?, x.data.len())?;
    holds(KERNEL, "y", planes, y.len())?;
    ctx.isa.dispatch(Means {
        len,
        x,
        requantise,
        y: &mut y[..planes],
    });
    Ok(())
}

struct Means<'a> {
    len: usize,
    x: QuantBytes<'a>,
    requantise: &'a Requantise<'a>,
    y: &'a mut [u8],
}

impl SimdOp for Means<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let finish: Finish<I> = self.requantise.finish(isa);
        let multiplier = isa.splat(self.requantise.multipliers[0]);
        let flip = self.x.bytes.flip();
        let off = (self.len as u32 as i32).wrapping_mul(self.x.unsigned_zero());
        for (plane, y) in self.y.iter_mut().enumerate() {
            let bytes = &self.x.data[plane * self.len..][..self.len];
            let sum = bytes
                .iter()
                .fold(0u32, |sum, &byte| sum.wrapping_add(u32::from(byte ^ flip)));
            let sum = isa.splat_i(sum.cast_signed().wrapping_sub(off));
            // SAFETY: one byte.
            unsafe { finish.store(isa, sum, multiplier, y, 1) };
        }
    }
}

/// `y[i] = table[x[i]]`.
///
/// # Errors
/// Slices that are too short.
pub fn lookup(ctx: Ctx<'_>, x: &[u8], table: &[u8], y: &mut [u8]) -> Result<()> {
    const KERNEL: &str = "lookup";
    holds(KERNEL, "y", x.len(), y.len())?;
    holds(KERNEL, "table", 256, table.len())?;
    let mut whole = [0u8; 256];
    whole.copy_from_slice(&table[..256]);
    let y = Parts::new(&mut y[..x.len()]);
    ctx.ranges(x.len(), 16 * 1024, &|range, _| {
        // SAFETY: a task's range is its own.
        let y = unsafe { y.part(range.clone()) };
        y.iter_mut()
            .zip(&x[range])
            .for_each(|(y, &x)| *y = whole[usize::from(x)]);
    });
    Ok(())
}
