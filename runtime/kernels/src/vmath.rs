//! Elementary functions on vectors, as sequences of correctly rounded operations.
//!
//! Each is a range reduction followed by a polynomial or a quotient of two, fitted to minimise the greatest relative
//! error (iteratively reweighted least squares in 80-bit arithmetic; the fit's own error is given in ULP). No tables,
//! no branches: all lanes do the same. With fused multiply-add the bytes are the same on every instruction set.
//!
//! | function | fit | bound tested |
//! |---|---|---|
//! | [`exp`] | 0.05 ULP | 2 ULP, gradual underflow included |
//! | [`log`] | 0.01 ULP | 2 ULP |
//! | [`tanh`] | 0.02 ULP | 5 ULP |
//! | [`erf`] | 0.03 ULP | 5 ULP |
//! | [`sigmoid`] | – | 4 ULP where the result is normal |
//! | [`expm1`] | – | 12 ULP |
//! | [`log1p_of_unit`] | – | 4 ULP |

use sanderling_simd::Isa;

/// `((c[n] · x + c[n-1]) · x + …) · x + c[0]`.
#[inline(always)]
fn polynomial<I: Isa>(isa: I, x: I::F, c: &[f32]) -> I::F {
    let Some((&last, rest)) = c.split_last() else {
        return isa.zero();
    };
    let mut y = isa.splat(last);
    for &c in rest.iter().rev() {
        y = isa.mul_add(y, x, isa.splat(c));
    }
    y
}

/// eˣ. Overflows to infinity, underflows gradually to 0.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2 (Cody and Waite's two-part ln 2), eʳ = 1 + r + r²·P(r), scaled by 2ⁿ in two
/// halves so that neither leaves the range of exponents.
#[inline(always)]
pub(crate) fn exp<I: Isa>(isa: I, x: I::F) -> I::F {
    const P: [f32; 5] = [
        4.999_999_3e-1,
        1.666_652_1e-1,
        4.166_839e-2,
        8.368_719e-3,
        1.381_459_3e-3,
    ];
    /// The first 12 bits of ln 2 behind the point, so that n times it is exact, and the rest.
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    let x = isa.clamp(x, isa.splat(-104.0), isa.splat(89.0));
    let n = isa.round_ties_even(isa.mul(x, isa.splat(core::f32::consts::LOG2_E)));
    let r = isa.neg_mul_add(n, isa.splat(LN2_HI), x);
    let r = isa.neg_mul_add(n, isa.splat(LN2_LO), r);
    let p = polynomial(isa, r, &P);
    let y = isa.add(isa.mul_add(p, isa.mul(r, r), r), isa.splat(1.0));
    let n = isa.to_i32(n);
    let half = isa.shr_i::<1>(n);
    let rest = isa.sub_i(n, half);
    isa.mul(isa.mul(y, power_of_two(isa, half)), power_of_two(isa, rest))
}

/// 2ⁿ for −126 ≤ n ≤ 127.
#[inline(always)]
fn power_of_two<I: Isa>(isa: I, n: I::I) -> I::F {
    isa.with_bits(isa.shl_i::<23>(isa.add_i(n, isa.splat_i(127))))
}

/// ln x; NaN below 0, −∞ at 0.
///
/// x = 2ⁿ·(1 + f) with √½ ≤ 1 + f < √2, ln(1 + f) = f − f²/2 + f³·P(f).
#[inline(always)]
pub(crate) fn log<I: Isa>(isa: I, x: I::F) -> I::F {
    const P: [f32; 9] = [
        3.333_333e-1,
        -2.500_001e-1,
        2.000_211_9e-1,
        -1.666_799_6e-1,
        1.421_955_2e-1,
        -1.240_559e-1,
        1.188_816_3e-1,
        -1.167_565_1e-1,
        6.746_638_6e-2,
    ];
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    /// The bits of √½.
    const SQRT_HALF: i32 = 0x3f35_04f3;
    let tiny = isa.lt(x, isa.splat(f32::MIN_POSITIVE));
    let scaled = isa.select(tiny, isa.mul(x, isa.splat(8_388_608.0)), x);
    let bits = isa.sub_i(isa.to_bits(scaled), isa.splat_i(SQRT_HALF));
    let n = isa.to_f32(isa.shr_i::<23>(bits));
    let n = isa.sub(n, isa.select(tiny, isa.splat(23.0), isa.zero()));
    let mantissa = isa.add_i(isa.and_i(bits, isa.splat_i(0x007f_ffff)), isa.splat_i(SQRT_HALF));
    let f = isa.sub(isa.with_bits(mantissa), isa.splat(1.0));
    let f2 = isa.mul(f, f);
    let p = isa.mul(isa.mul(polynomial(isa, f, &P), f), f2);
    let y = isa.mul_add(n, isa.splat(LN2_LO), p);
    let y = isa.neg_mul_add(isa.splat(0.5), f2, y);
    let y = isa.mul_add(n, isa.splat(LN2_HI), isa.add(f, y));
    let infinity = isa.splat(f32::INFINITY);
    let y = isa.select(isa.lt(x, infinity), y, x);
    let y = isa.select(isa.eq(x, isa.zero()), isa.splat(f32::NEG_INFINITY), y);
    isa.select(isa.lt(x, isa.zero()), isa.splat(f32::NAN), y)
}

/// tanh x = x · P(x²) / Q(x²), ±1 beyond 9.02 where it rounds to that.
#[inline(always)]
pub(crate) fn tanh<I: Isa>(isa: I, x: I::F) -> I::F {
    const P: [f32; 6] = [
        1.0,
        1.367_991_9e-1,
        3.868_331_7e-3,
        2.800_753_7e-5,
        3.058_520_2e-8,
        -1.220_359_1e-11,
    ];
    const Q: [f32; 5] = [1.0, 4.701_325e-1, 2.724_585_3e-2, 3.938_638e-4, 1.287_371_9e-6];
    let one = isa.splat(1.0);
    let c = isa.clamp(x, isa.splat(-9.02), isa.splat(9.02));
    let z = isa.mul(c, c);
    let y = isa.div(isa.mul(c, polynomial(isa, z, &P)), polynomial(isa, z, &Q));
    isa.clamp(y, isa.splat(-1.0), one)
}

/// erf x = x · P(x²) / Q(x²), ±1 beyond 3.92 where it rounds to that.
#[inline(always)]
pub(crate) fn erf<I: Isa>(isa: I, x: I::F) -> I::F {
    const P: [f32; 7] = [
        core::f32::consts::FRAC_2_SQRT_PI,
        1.851_353_4e-1,
        5.424_392_2e-2,
        3.838_614_5e-3,
        3.767_558_7e-4,
        4.609_156e-6,
        -1.279_941_4e-8,
    ];
    const Q: [f32; 6] = [
        1.0,
        4.974_053e-1,
        1.138_737_2e-1,
        1.543_002_3e-2,
        1.301_518_9e-3,
        6.239_841_4e-5,
    ];
    let c = isa.clamp(x, isa.splat(-3.92), isa.splat(3.92));
    let z = isa.mul(c, c);
    let y = isa.div(isa.mul(c, polynomial(isa, z, &P)), polynomial(isa, z, &Q));
    isa.clamp(y, isa.splat(-1.0), isa.splat(1.0))
}

/// 1 / (1 + e⁻ˣ).
#[inline(always)]
pub(crate) fn sigmoid<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    isa.div(one, isa.add(one, exp(isa, isa.neg(x))))
}

/// eˣ − 1 for x ≤ 0, without cancellation: 2t / (1 − t), t = tanh(x / 2).
#[inline(always)]
pub(crate) fn expm1<I: Isa>(isa: I, x: I::F) -> I::F {
    let t = tanh(isa, isa.mul(x, isa.splat(0.5)));
    isa.div(isa.add(t, t), isa.sub(isa.splat(1.0), t))
}

/// ln(1 + t) for 0 ≤ t ≤ 1: ln u corrected by what 1 + t lost in rounding to u.
#[inline(always)]
pub(crate) fn log1p_of_unit<I: Isa>(isa: I, t: I::F) -> I::F {
    let one = isa.splat(1.0);
    let u = isa.add(one, t);
    let lost = isa.sub(t, isa.sub(u, one));
    isa.add(log(isa, u), isa.div(lost, u))
}
