//! Reductions of a tensor seen as [outer, len, inner] along the middle.
//!
//! # One tree for all
//!
//! A contiguous row (inner = 1) is summed in 32 virtual lanes, whatever the vector's width: element i goes to lane
//! i mod 32, and the lanes are then combined by halving (lane i with lane i + 16, then 8, …). So the result depends
//! neither on the instruction set nor on threads. With inner > 1 the elements lie in the lanes and each output is one
//! chain along `len`.
//!
//! Bounds: sums |Δ| ≤ γ_d·Σ|x| with d = len/32 + 6 (contiguous) or len, u = 2⁻²⁴; Mean, L2, LogSum as their sum and one
//! or two more operations; LogSumExp is max + ln Σe^(x−max): 4 ULP of its value plus 4·u. Max and Min are exact and
//! keep NaN. An empty Mean is NaN, an empty Max −∞.

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds, product};
use crate::vmath::{exp, log};

/// A tensor seen as [outer, len, inner], row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The product of the dimensions before.
    pub outer: usize,
    /// The dimension, or the product of neighbouring ones.
    pub len: usize,
    /// The product of the dimensions behind.
    pub inner: usize,
}

impl Axis {
    /// Elements of the tensor.
    pub(crate) fn elements(&self, kernel: &'static str) -> Result<usize> {
        product(kernel, &[self.outer, self.len, self.inner])
    }
}

/// What is computed along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reduce {
    /// Σx.
    Sum,
    /// Σx / len.
    Mean,
    /// The greatest.
    Max,
    /// The least.
    Min,
    /// Πx.
    Prod,
    /// Σx².
    SumSquare,
    /// Σ|x|.
    L1,
    /// √Σx².
    L2,
    /// ln Σx.
    LogSum,
    /// ln Σeˣ.
    LogSumExp,
}

/// Virtual lanes of a contiguous reduction.
pub(crate) const LANES: usize = 32;
/// The most vectors that these are (in 128-bit registers).
const VECTORS: usize = 8;

/// An associative operation, and what is done to an element first.
pub(crate) trait Fold {
    /// Leaves any element as it is.
    const IDENTITY: f32;
    /// `acc` with the element x.
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F;
    /// Two accumulators.
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F;
    /// All lanes of an accumulator, by halving.
    #[inline(always)]
    fn across<I: Isa>(s: I, a: I::F) -> f32 {
        let mut v = [0.0; 16];
        s.store(&mut v, a);
        let mut n = I::LANES / 2;
        while n > 0 {
            for i in 0..n {
                let mut pair = [0.0; 16];
                let (a, b) = (s.splat(v[i]), s.splat(v[i + n]));
                s.store(&mut pair, Self::merge(s, a, b));
                v[i] = pair[0];
            }
            n /= 2;
        }
        v[0]
    }
}

/// Σx.
pub(crate) struct Sum;
/// Σx².
pub(crate) struct SumSquare;
struct SumAbs;
struct Prod;
/// The greatest, or NaN.
pub(crate) struct Max;
struct Min;

impl Fold for Sum {
    const IDENTITY: f32 = 0.0;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.add(acc, x)
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        s.add(a, b)
    }
    #[inline(always)]
    fn across<I: Isa>(s: I, a: I::F) -> f32 {
        s.reduce_sum(a)
    }
}

impl Fold for SumSquare {
    const IDENTITY: f32 = 0.0;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.mul_add(x, x, acc)
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        s.add(a, b)
    }
    #[inline(always)]
    fn across<I: Isa>(s: I, a: I::F) -> f32 {
        s.reduce_sum(a)
    }
}

impl Fold for SumAbs {
    const IDENTITY: f32 = 0.0;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.add(acc, s.abs(x))
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        s.add(a, b)
    }
    #[inline(always)]
    fn across<I: Isa>(s: I, a: I::F) -> f32 {
        s.reduce_sum(a)
    }
}

impl Fold for Prod {
    const IDENTITY: f32 = 1.0;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.mul(acc, x)
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        s.mul(a, b)
    }
}

impl Fold for Max {
    const IDENTITY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.select(s.eq(acc, acc), s.max(acc, x), acc)
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        Self::step(s, a, b)
    }
}

impl Fold for Min {
    const IDENTITY: f32 = f32::INFINITY;
    #[inline(always)]
    fn step<I: Isa>(s: I, acc: I::F, x: I::F) -> I::F {
        s.select(s.eq(acc, acc), s.min(acc, x), acc)
    }
    #[inline(always)]
    fn merge<I: Isa>(s: I, a: I::F, b: I::F) -> I::F {
        Self::step(s, a, b)
    }
}

/// Folds `f(x)` over a contiguous row in the 32 virtual lanes.
#[inline(always)]
pub(crate) fn fold_row<I: Isa, F: Fold>(s: I, row: &[f32]) -> f32 {
    let vectors = LANES / I::LANES;
    let mut acc = [s.splat(F::IDENTITY); VECTORS];
    let blocks = row.chunks_exact(LANES);
    let rest = blocks.remainder();
    for block in blocks {
        for v in 0..vectors {
            acc[v] = F::step(s, acc[v], s.load(&block[v * I::LANES..]));
        }
    }
    if !rest.is_empty() {
        // Only the lanes that have an element left take a step: the others keep what they have.
        let mut last = [F::IDENTITY; LANES];
        last[..rest.len()].copy_from_slice(rest);
        for v in 0..vectors {
            acc[v] = F::step(s, acc[v], s.load(&last[v * I::LANES..]));
        }
    }
    let mut n = vectors / 2;
    while n > 0 {
        for v in 0..n {
            acc[v] = F::merge(s, acc[v], acc[v + n]);
        }
        n /= 2;
    }
    F::across(s, acc[0])
}

/// Folds along `len` rows of `n <= LANES` neighbouring columns, `stride` apart.
///
/// # Safety
/// The columns are readable in each row.
#[inline(always)]
unsafe fn fold_columns<I: Isa, F: Fold>(s: I, from: *const f32, len: usize, stride: usize, n: usize) -> I::F {
    let mut acc = s.splat(F::IDENTITY);
    for i in 0..len {
        // SAFETY: by contract.
        acc = F::step(s, acc, unsafe { s.load_ptr_n(from.add(i * stride), n) });
    }
    acc
}

/// What is done to a finished fold.
#[derive(Clone, Copy)]
enum After {
    Nothing,
    Divide(f32),
    Sqrt,
    Log,
}

#[inline(always)]
fn after<I: Isa>(s: I, after: After, x: I::F) -> I::F {
    match after {
        After::Nothing => x,
        After::Divide(n) => s.div(x, s.splat(n)),
        After::Sqrt => s.sqrt(x),
        After::Log => log(s, x),
    }
}

/// The rows `outer` of a reduction, on one thread.
struct Run<'a> {
    reduce: Reduce,
    axis: Axis,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl SimdOp for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let mean = After::Divide(self.axis.len as f32);
        match self.reduce {
            Reduce::Sum => self.fold::<I, Sum>(s, After::Nothing),
            Reduce::Mean => self.fold::<I, Sum>(s, mean),
            Reduce::Max => self.fold::<I, Max>(s, After::Nothing),
            Reduce::Min => self.fold::<I, Min>(s, After::Nothing),
            Reduce::Prod => self.fold::<I, Prod>(s, After::Nothing),
            Reduce::SumSquare => self.fold::<I, SumSquare>(s, After::Nothing),
            Reduce::L1 => self.fold::<I, SumAbs>(s, After::Nothing),
            Reduce::L2 => self.fold::<I, SumSquare>(s, After::Sqrt),
            Reduce::LogSum => self.fold::<I, Sum>(s, After::Log),
            Reduce::LogSumExp => self.log_sum_exp(s),
        }
    }
}

impl Run<'_> {
    #[inline(always)]
    fn fold<I: Isa, F: Fold>(self, s: I, then: After) {
        let Axis { outer, len, inner } = self.axis;
        if inner == 1 {
            for (o, y) in self.y.iter_mut().enumerate().take(outer) {
                let sum = fold_row::<I, F>(s, &self.x[o * len..(o + 1) * len]);
                let mut v = [0.0; 16];
                s.store(&mut v, after(s, then, s.splat(sum)));
                *y = v[0];
            }
            return;
        }
        for o in 0..outer {
            let x = &self.x[o * len * inner..(o + 1) * len * inner];
            let y = &mut self.y[o * inner..(o + 1) * inner];
            let mut c = 0;
            while c < inner {
                let n = (inner - c).min(I::LANES);
                // SAFETY: c + n <= inner, and x holds len rows of inner; a pointer to no rows is not read.
                let sum = unsafe { fold_columns::<I, F>(s, x.as_ptr().wrapping_add(c), len, inner, n) };
                s.store_partial(&mut y[c..c + n], after(s, then, sum));
                c += n;
            }
        }
    }

    /// max + ln Σ e^(x − max); an infinite max is the result.
    #[inline(always)]
    fn log_sum_exp<I: Isa>(self, s: I) {
        let Axis { outer, len, inner } = self.axis;
        for o in 0..outer {
            let x = &self.x[o * len * inner..(o + 1) * len * inner];
            let mut c = 0;
            while c < inner {
                let n = (inner - c).min(I::LANES);
                // SAFETY: c + n <= inner, and x holds len rows of inner; a pointer to no rows is not read.
                let max = unsafe { fold_columns::<I, Max>(s, x.as_ptr().wrapping_add(c), len, inner, n) };
                let finite = s.lt(s.abs(max), s.splat(f32::INFINITY));
                let shift = s.select(finite, max, s.zero());
                let mut sum = s.zero();
                for i in 0..len {
                    let v = s.load_partial(&x[i * inner + c..][..n]);
                    sum = s.add(sum, exp(s, s.sub(v, shift)));
                }
                let y = s.select(finite, s.add(max, log(s, sum)), max);
                s.store_partial(&mut self.y[o * inner + c..][..n], y);
                c += n;
            }
        }
    }
}

/// `y[outer, inner] = reduce over len of x[outer, len, inner]`.
///
/// # Errors
/// Slices that are shorter than the shape.
pub fn reduce(ctx: Ctx<'_>, reduce: Reduce, axis: Axis, x: &[f32], y: &mut [f32]) -> Result<()> {
    let Axis { outer, len, inner } = axis;
    holds("reduce", "x", axis.elements("reduce")?, x.len())?;
    holds("reduce", "y", product("reduce", &[outer, inner])?, y.len())?;
    let row = len * inner;
    let y = Parts::new(y);
    ctx.ranges(outer, (16 * 1024 / row.max(1)).max(1), &|range, _| {
        // SAFETY: tasks' ranges are disjoint.
        let y = unsafe { y.part(range.start * inner..range.end * inner) };
        let axis = Axis {
            outer: range.len(),
            len,
            inner,
        };
        ctx.isa.dispatch(Run {
            reduce,
            axis,
            x: &x[range.start * row..range.end * row],
            y,
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests;
