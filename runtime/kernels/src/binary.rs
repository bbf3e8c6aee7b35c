//! Element-wise functions of two arguments with broadcasting.
//!
//! Strides say how each operand is read (0 repeats); dimensions are merged first, so that the usual cases become one or
//! two: equal shapes are one row, a scalar has stride 0, a bias by channel is rows of one value. Half an ULP for Add,
//! Sub, Mul, Div; Min and Max give the second operand if either is NaN; Pow is libm's (below 1 ULP), its squares exact.

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Error, Result, holds, product, rule};
use crate::layout::Merged;

/// A function of two f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binary {
    /// a + b.
    Add,
    /// a − b.
    Sub,
    /// a·b.
    Mul,
    /// a / b.
    Div,
    /// The lesser.
    Min,
    /// The greater.
    Max,
    /// a to the power of b.
    Pow,
    /// a, or b·a where a is negative.
    PRelu,
    /// The remainder of a / b with the sign of a (C's fmod).
    Fmod,
}

/// Rows of a binary operation on one thread. The destination may be the first operand.
struct Rows<'a> {
    op: Binary,
    merged: &'a Merged<2>,
    a: *const f32,
    b: *const f32,
    y: *mut f32,
    /// Rows to do, and columns of each.
    rows: core::ops::Range<usize>,
    cols: core::ops::Range<usize>,
}

/// `n` elements from `p`, `stride` apart.
///
/// # Safety
/// They are readable.
#[inline(always)]
unsafe fn lanes<I: Isa>(s: I, p: *const f32, stride: isize, n: usize) -> I::F {
    // SAFETY: by contract.
    unsafe {
        match stride {
            1 if n == I::LANES => s.load_ptr(p),
            1 => s.load_ptr_n(p, n),
            0 => s.splat(*p),
            _ => {
                let mut v = [0.0; 16];
                for (i, v) in v.iter_mut().enumerate().take(n) {
                    *v = *p.offset(i as isize * stride);
                }
                s.load(&v)
            }
        }
    }
}

/// Applies a function of two numbers lane by lane.
#[inline(always)]
fn each_lane<I: Isa>(s: I, a: I::F, b: I::F, f: fn(f32, f32) -> f32) -> I::F {
    let (mut x, mut y) = ([0.0; 16], [0.0; 16]);
    s.store(&mut x, a);
    s.store(&mut y, b);
    for (x, &y) in x.iter_mut().zip(&y).take(I::LANES) {
        *x = f(*x, y);
    }
    s.load(&x)
}

fn power(a: f32, b: f32) -> f32 {
    if b == 2.0 { a * a } else { libm::powf(a, b) }
}

/// The loops around one expression.
macro_rules! each {
    ($op:ident, $isa:ident, ($a:ident, $b:ident) => $y:expr) => {{
        let [sa, sb] = $op.merged.col_strides();
        let total = $op.merged.cols();
        let mut walk = $op.merged.walk($op.rows.start);
        for row in $op.rows.clone() {
            let mut c = $op.cols.start;
            while c < $op.cols.end {
                let n = ($op.cols.end - c).min(I::LANES);
                // SAFETY: the extents of both operands and the output were checked; (row, c..c + n) is inside.
                unsafe {
                    let $a = lanes($isa, $op.a.offset(walk.offsets[0] + c as isize * sa), sa, n);
                    let $b = lanes($isa, $op.b.offset(walk.offsets[1] + c as isize * sb), sb, n);
                    let y = $y;
                    let to = $op.y.add(row * total + c);
                    if n == I::LANES { $isa.store_ptr(to, y) } else { $isa.store_ptr_n(to, n, y) }
                }
                c += n;
            }
            walk.advance();
        }
    }};
}

impl SimdOp for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let op = &self;
        match self.op {
            Binary::Add => each!(op, s, (a, b) => s.add(a, b)),
            Binary::Sub => each!(op, s, (a, b) => s.sub(a, b)),
            Binary::Mul => each!(op, s, (a, b) => s.mul(a, b)),
            Binary::Div => each!(op, s, (a, b) => s.div(a, b)),
            Binary::Min => each!(op, s, (a, b) => s.min(a, b)),
            Binary::Max => each!(op, s, (a, b) => s.max(a, b)),
            Binary::Pow => each!(op, s, (a, b) => each_lane(s, a, b, power)),
            Binary::PRelu => each!(op, s, (a, b) => s.select(s.lt(a, s.zero()), s.mul(a, b), a)),
            Binary::Fmod => each!(op, s, (a, b) => each_lane(s, a, b, libm::fmodf)),
        }
    }
}

/// Elements that a task is worth.
const GRAIN: usize = 16 * 1024;

/// Raw operands that tasks share.
struct Shared(*const f32, *const f32, *mut f32);
// SAFETY: tasks read the operands and write disjoint parts of the output; where that is the first operand, a task
// reads only the part that it writes.
unsafe impl Sync for Shared {}

fn run(ctx: Ctx<'_>, op: Binary, merged: &Merged<2>, shared: &Shared) {
    let (rows, cols) = (merged.rows(), merged.cols());
    let task = |rows, cols| {
        ctx.isa.dispatch(Rows {
            op,
            merged,
            a: shared.0,
            b: shared.1,
            y: shared.2,
            rows,
            cols,
        });
    };
    if rows == 1 {
        ctx.ranges(cols, GRAIN, &|cols, _| task(0..1, cols));
    } else {
        ctx.ranges(rows, (GRAIN / cols.max(1)).max(1), &|rows, _| task(rows, 0..cols));
    }
}

/// Checks that an operand holds what its strides reach.
fn reaches(argument: &'static str, extent: (isize, isize), len: usize) -> Result<()> {
    let last = usize::try_from(extent.1).map_err(|_| Error::Overflow { kernel: "binary" })?;
    holds("binary", argument, last.saturating_add(1), len)
}

/// `y = op(a, b)` over `shape`; strides are one for each dimension, y is contiguous.
///
/// # Errors
/// Slices that are too short, strides of another number than dimensions.
pub fn binary(
    ctx: Ctx<'_>,
    op: Binary,
    shape: &[usize],
    a: &[f32],
    a_strides: &[usize],
    b: &[f32],
    b_strides: &[usize],
    y: &mut [f32],
) -> Result<()> {
    let ranks = a_strides.len() == shape.len() && b_strides.len() == shape.len();
    rule("binary", ranks, "one stride for each dimension")?;
    let len = product("binary", shape)?;
    holds("binary", "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    let merged = Merged::new(
        "binary",
        shape,
        [&|d| a_strides[d] as isize, &|d| b_strides[d] as isize],
    )?;
    let [a_extent, b_extent] = merged.extents("binary")?;
    reaches("a", a_extent, a.len())?;
    reaches("b", b_extent, b.len())?;
    let y = Parts::new(y);
    run(ctx, op, &merged, &Shared(a.as_ptr(), b.as_ptr(), y.as_ptr()));
    Ok(())
}

/// `a = op(a, b)`: as [`binary`], the first operand being contiguous and the output.
///
/// # Errors
/// As [`binary`].
pub fn binary_inplace(
    ctx: Ctx<'_>,
    op: Binary,
    shape: &[usize],
    a: &mut [f32],
    b: &[f32],
    b_strides: &[usize],
) -> Result<()> {
    rule(
        "binary",
        b_strides.len() == shape.len(),
        "one stride for each dimension",
    )?;
    let len = product("binary", shape)?;
    holds("binary", "a", len, a.len())?;
    if len == 0 {
        return Ok(());
    }
    let stride = |d: usize| shape[d + 1..].iter().product::<usize>() as isize;
    let merged = Merged::new("binary", shape, [&stride, &|d| b_strides[d] as isize])?;
    let [_, b_extent] = merged.extents("binary")?;
    reaches("b", b_extent, b.len())?;
    let a = Parts::new(a);
    run(ctx, op, &merged, &Shared(a.as_ptr(), b.as_ptr(), a.as_ptr()));
    Ok(())
}

/// `y = f(a, b)` over `shape` for any element types, on this thread; strides as in [`binary`].
///
/// # Errors
/// As [`binary`].
pub fn zip_broadcast<A: Copy, B: Copy, C>(
    shape: &[usize],
    a: &[A],
    a_strides: &[usize],
    b: &[B],
    b_strides: &[usize],
    y: &mut [C],
    f: impl Fn(A, B) -> C,
) -> Result<()> {
    let ranks = a_strides.len() == shape.len() && b_strides.len() == shape.len();
    rule("binary", ranks, "one stride for each dimension")?;
    let len = product("binary", shape)?;
    holds("binary", "y", len, y.len())?;
    if len == 0 {
        return Ok(());
    }
    let merged = Merged::new(
        "binary",
        shape,
        [&|d| a_strides[d] as isize, &|d| b_strides[d] as isize],
    )?;
    let [a_extent, b_extent] = merged.extents("binary")?;
    reaches("a", a_extent, a.len())?;
    reaches("b", b_extent, b.len())?;
    let [sa, sb] = merged.col_strides().map(|s| s as usize);
    let mut walk = merged.walk(0);
    for row in y[..len].chunks_exact_mut(merged.cols()) {
        let (a, b) = (&a[walk.offsets[0] as usize..], &b[walk.offsets[1] as usize..]);
        match (sa, sb) {
            (1, 1) => row
                .iter_mut()
                .zip(a.iter().zip(b))
                .for_each(|(y, (&a, &b))| *y = f(a, b)),
            (1, 0) => row.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b[0])),
            (0, 1) => row.iter_mut().zip(b).for_each(|(y, &b)| *y = f(a[0], b)),
            _ => row
                .iter_mut()
                .enumerate()
                .for_each(|(i, y)| *y = f(a[i * sa], b[i * sb])),
        }
        walk.advance();
    }
    Ok(())
}

#[cfg(test)]
mod tests;
