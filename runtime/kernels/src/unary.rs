//! Element-wise functions of one argument, alone or fused behind a GEMM.
//!
//! One enum names them all ([`Unary`]); one loop applies one ([`MapRows`]), compiled once for each instruction set. A
//! tail is a partial load and the same operations, so where a slice was cut cannot be seen.
//!
//! Bounds: those of `vmath` for what it computes, half an ULP for single operations. Gelu is 0.5·x·(1 + erf(x/√2)): for
//! x < 0 its error is absolute, 4·|x|·2⁻²⁴, as the sum cancels. GeluTanh is x·sigmoid(2u), which does not cancel.
//! Sigmoid, Silu and GeluTanh may give 0 for results below 2⁻¹¹⁹: e⁻ˣ overflows before its reciprocal underflows.
//! All are tested against f64 over every f16 value and densely over f32.

use sanderling_simd::{Isa, SimdOp};

use crate::ctx::{Ctx, Parts};
use crate::error::{Result, holds};
use crate::vmath::{erf, exp, expm1, log, log1p_of_unit, sigmoid, tanh};

/// A function of one f32. Parameters carry ONNX's names.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Unary {
    /// max(x, 0).
    Relu,
    /// min(max(x, min), max).
    Clip {
        /// The least result.
        min: f32,
        /// The greatest result.
        max: f32,
    },
    /// x, or alpha·x below 0.
    LeakyRelu {
        /// The slope below 0.
        alpha: f32,
    },
    /// x, or alpha·(eˣ − 1) below 0.
    Elu {
        /// The negated limit.
        alpha: f32,
    },
    /// gamma·x, or gamma·alpha·(eˣ − 1) up to 0.
    Selu {
        /// The negated limit before gamma.
        alpha: f32,
        /// The scale.
        gamma: f32,
    },
    /// x, or alpha·(e^(x/alpha) − 1) below 0.
    Celu {
        /// The negated limit.
        alpha: f32,
    },
    /// x above alpha, else 0.
    ThresholdedRelu {
        /// The threshold.
        alpha: f32,
    },
    /// clamp(alpha·x + beta, 0, 1).
    HardSigmoid {
        /// The slope.
        alpha: f32,
        /// The offset.
        beta: f32,
    },
    /// x·clamp(x/6 + 0.5, 0, 1).
    HardSwish,
    /// 1 / (1 + e⁻ˣ).
    Sigmoid,
    /// x·sigmoid(x), also called Swish.
    Silu,
    /// tanh x.
    Tanh,
    /// 0.5·x·(1 + erf(x/√2)).
    Gelu,
    /// 0.5·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))).
    GeluTanh,
    /// erf x.
    Erf,
    /// eˣ.
    Exp,
    /// ln x.
    Log,
    /// √x.
    Sqrt,
    /// 1/√x.
    Rsqrt,
    /// 1/x.
    Reciprocal,
    /// −x.
    Neg,
    /// |x|.
    Abs,
    /// The greatest integer that is not above x.
    Floor,
    /// The least integer that is not below x.
    Ceil,
    /// The nearest integer, ties to even.
    Round,
    /// −1, 0 or 1; NaN stays.
    Sign,
    /// ln(1 + eˣ).
    Softplus,
    /// x / (1 + |x|).
    Softsign,
    /// x·tanh(ln(1 + eˣ)).
    Mish,
    /// x².
    Square,
    /// mul·x + add, rounded once where the instruction set fuses.
    Affine {
        /// The factor.
        mul: f32,
        /// The summand.
        add: f32,
    },
}

/// Applies a function to `rows` rows of `cols` elements; source and destination may be the same memory.
pub(crate) struct MapRows {
    pub(crate) f: Unary,
    pub(crate) from: *const f32,
    pub(crate) to: *mut f32,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// From one row to the next, on both sides.
    pub(crate) ld: usize,
}

/// The loop of [`MapRows`] around one expression.
macro_rules! each {
    ($op:ident, $isa:ident, $x:ident => $y:expr) => {
        for r in 0..$op.rows {
            let mut c = 0;
            while c < $op.cols {
                let n = ($op.cols - c).min(I::LANES);
                // SAFETY: MapRows' maker vouches for rows of `cols` elements on both sides; c + n <= cols.
                unsafe {
                    let (from, to) = ($op.from.add(r * $op.ld + c), $op.to.add(r * $op.ld + c));
                    let $x = if n == I::LANES {
                        $isa.load_ptr(from)
                    } else {
                        $isa.load_ptr_n(from, n)
                    };
                    let y = $y;
                    if n == I::LANES {
                        $isa.store_ptr(to, y)
                    } else {
                        $isa.store_ptr_n(to, n, y)
                    }
                }
                c += n;
            }
        }
    };
}

impl SimdOp for MapRows {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, s: I) {
        let op = &self;
        let (zero, one, half) = (s.zero(), s.splat(1.0), s.splat(0.5));
        match self.f {
            Unary::Relu => each!(op, s, x => s.max(zero, x)),
            Unary::Clip { min, max } => {
                let (lo, hi) = (s.splat(min), s.splat(max));
                each!(op, s, x => s.clamp(x, lo, hi));
            }
            Unary::LeakyRelu { alpha } => {
                let alpha = s.splat(alpha);
                each!(op, s, x => s.select(s.lt(x, zero), s.mul(x, alpha), x));
            }
            Unary::Elu { alpha } => {
                let alpha = s.splat(alpha);
                each!(op, s, x => s.select(s.lt(x, zero), s.mul(alpha, expm1(s, s.min(zero, x))), x));
            }
            Unary::Selu { alpha, gamma } => {
                let (below, gamma) = (s.splat(gamma * alpha), s.splat(gamma));
                each!(op, s, x => {
                    s.select(s.le(x, zero), s.mul(below, expm1(s, s.min(zero, x))), s.mul(gamma, x))
                });
            }
            Unary::Celu { alpha } => {
                let alpha = s.splat(alpha);
                each!(op, s, x => {
                    let below = s.mul(alpha, expm1(s, s.min(zero, s.div(x, alpha))));
                    s.select(s.lt(x, zero), below, x)
                });
            }
            Unary::ThresholdedRelu { alpha } => {
                let alpha = s.splat(alpha);
                each!(op, s, x => s.select(s.le(x, alpha), zero, x));
            }
            Unary::HardSigmoid { alpha, beta } => {
                let (alpha, beta) = (s.splat(alpha), s.splat(beta));
                each!(op, s, x => s.clamp(s.mul_add(x, alpha, beta), zero, one));
            }
            Unary::HardSwish => {
                let sixth = s.splat(1.0 / 6.0);
                each!(op, s, x => s.mul(x, s.clamp(s.mul_add(x, sixth, half), zero, one)));
            }
            Unary::Sigmoid => each!(op, s, x => sigmoid(s, x)),
            Unary::Silu => each!(op, s, x => s.div(x, s.add(one, exp(s, s.neg(x))))),
            Unary::Tanh => each!(op, s, x => tanh(s, x)),
            Unary::Gelu => {
                let scale = s.splat(core::f32::consts::FRAC_1_SQRT_2);
                each!(op, s, x => s.mul(s.mul(half, x), s.add(one, erf(s, s.mul(x, scale)))));
            }
            Unary::GeluTanh => {
                // −2·√(2/π) and that times 0.044715.
                let (a, b) = (s.splat(-1.595_769), s.splat(-0.071_354_814));
                each!(op, s, x => {
                    let minus_2u = s.mul(x, s.mul_add(s.mul(x, x), b, a));
                    s.div(x, s.add(one, exp(s, minus_2u)))
                });
            }
            Unary::Softplus => each!(op, s, x => softplus(s, x)),
            Unary::Softsign => each!(op, s, x => s.div(x, s.add(one, s.abs(x)))),
            Unary::Mish => each!(op, s, x => s.mul(x, tanh(s, softplus(s, x)))),
            _ => self.arithmetic(s),
        }
    }
}

impl MapRows {
    /// The functions that are not activations.
    #[inline(always)]
    fn arithmetic<I: Isa>(&self, s: I) {
        let (op, zero, one) = (self, s.zero(), s.splat(1.0));
        match self.f {
            Unary::Erf => each!(op, s, x => erf(s, x)),
            Unary::Exp => each!(op, s, x => exp(s, x)),
            Unary::Log => each!(op, s, x => log(s, x)),
            Unary::Sqrt => each!(op, s, x => s.sqrt(x)),
            Unary::Rsqrt => each!(op, s, x => s.div(one, s.sqrt(x))),
            Unary::Reciprocal => each!(op, s, x => s.div(one, x)),
            Unary::Neg => each!(op, s, x => s.neg(x)),
            Unary::Abs => each!(op, s, x => s.abs(x)),
            Unary::Floor => each!(op, s, x => {
                let r = s.round_ties_even(x);
                s.select(s.gt(r, x), s.sub(r, one), r)
            }),
            Unary::Ceil => each!(op, s, x => {
                let r = s.round_ties_even(x);
                s.copysign(s.select(s.lt(r, x), s.add(r, one), r), x)
            }),
            Unary::Round => each!(op, s, x => s.round_ties_even(x)),
            Unary::Sign => each!(op, s, x => {
                let y = s.select(s.lt(x, zero), s.splat(-1.0), x);
                s.select(s.gt(x, zero), one, y)
            }),
            Unary::Square => each!(op, s, x => s.mul(x, x)),
            Unary::Affine { mul, add } => {
                let (mul, add) = (s.splat(mul), s.splat(add));
                each!(op, s, x => s.mul_add(x, mul, add));
            }
            // Activations: `eval` has them.
            _ => {}
        }
    }
}

/// max(x, 0) + ln(1 + e^−|x|).
#[inline(always)]
fn softplus<I: Isa>(s: I, x: I::F) -> I::F {
    s.add(s.max(s.zero(), x), log1p_of_unit(s, exp(s, s.neg(s.abs(x)))))
}

/// Applies `f` in place to `rows` rows of `cols` elements, `ld` apart.
///
/// # Safety
/// The rows are readable and writable.
#[inline(always)]
pub(crate) unsafe fn map_rows<I: Isa>(isa: I, f: Unary, ptr: *mut f32, rows: usize, cols: usize, ld: usize) {
    isa.run(MapRows {
        f,
        from: ptr,
        to: ptr,
        rows,
        cols,
        ld,
    });
}

/// Elements that a task is worth.
const GRAIN: usize = 16 * 1024;

/// `y[i] = f(x[i])` for each i of `x`.
///
/// # Errors
/// If `y` is shorter than `x`.
pub fn unary(ctx: Ctx<'_>, f: Unary, x: &[f32], y: &mut [f32]) -> Result<()> {
    holds("unary", "y", x.len(), y.len())?;
    let y = Parts::new(y);
    ctx.ranges(x.len(), GRAIN, &|range, _| {
        let cols = range.len();
        // SAFETY: tasks' ranges are disjoint, and inside y as that is no shorter than x.
        let to = unsafe { y.part(range.clone()) }.as_mut_ptr();
        ctx.isa.dispatch(MapRows {
            f,
            from: x[range].as_ptr(),
            to,
            rows: 1,
            cols,
            ld: cols,
        });
    });
    Ok(())
}

/// `xy[i] = f(xy[i])` for each i.
pub fn unary_inplace(ctx: Ctx<'_>, f: Unary, xy: &mut [f32]) {
    let len = xy.len();
    let xy = Parts::new(xy);
    ctx.ranges(len, GRAIN, &|range, _| {
        let cols = range.len();
        // SAFETY: tasks' ranges are disjoint.
        let ptr = unsafe { xy.part(range) }.as_mut_ptr();
        ctx.isa.dispatch(MapRows {
            f,
            from: ptr,
            to: ptr,
            rows: 1,
            cols,
            ld: cols,
        });
    });
}

#[cfg(test)]
mod tests;
