//! Each function against f64: over every f16 value and densely over all of f32.

use std::vec;
use std::vec::Vec;

use sanderling_simd::Best;

use super::*;
use crate::testing::{Rng, check_all, fused};

/// The f32 of every f16 that is a number.
fn all_f16() -> Vec<f32> {
    let value = |bits: u32| {
        let (exponent, fraction) = (bits >> 10 & 31, (bits & 1023) as f32);
        let size = match exponent {
            0 => fraction * 2.0f32.powi(-24),
            31 => f32::INFINITY,
            e => (1024.0 + fraction) * 2.0f32.powi(e as i32 - 25),
        };
        if bits >> 15 == 0 { size } else { -size }
    };
    (0..1 << 16)
        .filter(|b| b >> 10 & 31 != 31 || b & 1023 == 0)
        .map(value)
        .collect()
}

/// Values of every exponent and sign.
fn dense_f32() -> Vec<f32> {
    let mut rng = Rng::new(77);
    (0..200_000)
        .map(|_| f32::from_bits(rng.next() as u32))
        .filter(|v| !v.is_nan())
        .collect()
}

/// erf to about 1e-15: its series up to 3, the continued fraction of erfc beyond.
fn erf64(x: f64) -> f64 {
    let z = x.abs();
    let y = if z < 3.0 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-18 * sum.abs() {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        sum * std::f64::consts::FRAC_2_SQRT_PI
    } else {
        let fraction = (1..60).rev().fold(0.0, |f, k| f64::from(k) / 2.0 / (z + f));
        1.0 - (-z * z).exp() / (z + fraction) / std::f64::consts::PI.sqrt()
    };
    y.copysign(x)
}

fn exact(f: Unary, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    match f {
        Unary::Relu => x.max(0.0),
        Unary::Clip { min, max } => x.clamp(f64::from(min), f64::from(max)),
        Unary::LeakyRelu { alpha } if x < 0.0 => x * f64::from(alpha),
        Unary::LeakyRelu { .. } => x,
        Unary::Elu { alpha } if x < 0.0 => f64::from(alpha) * x.exp_m1(),
        Unary::Elu { .. } => x,
        Unary::Selu { alpha, gamma } if x <= 0.0 => f64::from(gamma * alpha) * x.exp_m1(),
        Unary::Selu { gamma, .. } => f64::from(gamma) * x,
        Unary::Celu { alpha } if x < 0.0 => f64::from(alpha) * (x / f64::from(alpha)).exp_m1(),
        Unary::Celu { .. } => x,
        Unary::ThresholdedRelu { alpha } if x <= f64::from(alpha) => 0.0,
        Unary::ThresholdedRelu { .. } => x,
        Unary::HardSigmoid { alpha, beta } => (x * f64::from(alpha) + f64::from(beta)).clamp(0.0, 1.0),
        Unary::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Unary::Sigmoid => sigmoid(x),
        Unary::Silu => x * sigmoid(x),
        Unary::Tanh => x.tanh(),
        Unary::Gelu => 0.5 * x * (1.0 + erf64(x * std::f64::consts::FRAC_1_SQRT_2)),
        Unary::GeluTanh => {
            x * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x))
        }
        Unary::Erf => erf64(x),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Reciprocal => 1.0 / x,
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Floor => x.floor(),
        Unary::Ceil => x.ceil(),
        Unary::Round => x.round_ties_even(),
        Unary::Sign => {
            if x == 0.0 {
                0.0
            } else {
                x.signum()
            }
        }
        Unary::Softplus => softplus(x),
        Unary::Softsign => x / (1.0 + x.abs()),
        Unary::Mish => x * softplus(x).tanh(),
        Unary::Square => x * x,
        Unary::Affine { mul, add } => x * f64::from(mul) + f64::from(add),
    }
}

/// Each function with its bound: in ULP of the result, and absolute in ULP of the argument (for what cancels).
const ALL: [(Unary, f64, f64); 33] = [
    (Unary::Relu, 0.0, 0.0),
    (Unary::Clip { min: -1.0, max: 2.5 }, 0.0, 0.0),
    (Unary::LeakyRelu { alpha: 0.1 }, 0.5, 0.0),
    (Unary::Elu { alpha: 0.7 }, 12.0, 0.0),
    (
        Unary::Selu {
            alpha: 1.673_263_2,
            gamma: 1.050_701,
        },
        9.0,
        0.0,
    ),
    (Unary::Celu { alpha: 0.5 }, 12.0, 0.0),
    (Unary::ThresholdedRelu { alpha: 1.0 }, 0.0, 0.0),
    (
        Unary::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        2.0,
        1.0,
    ),
    (Unary::HardSwish, 2.0, 2.0),
    (Unary::Sigmoid, 4.0, 0.0),
    (Unary::Silu, 4.0, 0.0),
    (Unary::Tanh, 5.0, 0.0),
    (Unary::Gelu, 4.0, 4.0),
    // The exponent −2u is rounded three times, and e to it takes that as a relative error: up to |2u| ≤ 104 ULP.
    (Unary::GeluTanh, 170.0, 0.0),
    (Unary::Erf, 5.0, 0.0),
    (Unary::Exp, 2.0, 0.0),
    (Unary::Log, 2.0, 0.0),
    (Unary::Sqrt, 0.51, 0.0),
    (Unary::Rsqrt, 1.5, 0.0),
    (Unary::Reciprocal, 0.51, 0.0),
    (Unary::Neg, 0.0, 0.0),
    (Unary::Abs, 0.0, 0.0),
    (Unary::Floor, 0.0, 0.0),
    (Unary::Ceil, 0.0, 0.0),
    (Unary::Round, 0.0, 0.0),
    (Unary::Sign, 0.0, 0.0),
    (Unary::Softplus, 4.0, 0.0),
    (Unary::Softsign, 1.5, 0.0),
    (Unary::Mish, 12.0, 0.0),
    (Unary::Square, 0.51, 0.0),
    (Unary::Affine { mul: 0.5, add: 0.0 }, 0.51, 0.0),
    (Unary::Affine { mul: 1.0, add: 3.0 }, 0.51, 0.0),
    (Unary::Affine { mul: -2.0, add: 0.0 }, 0.51, 0.0),
];

/// An ULP of the f32 nearest to v, in f64.
fn ulp(v: f64) -> f64 {
    let e = v
        .abs()
        .clamp(f64::from(f32::MIN_POSITIVE), f64::from(f32::MAX))
        .log2()
        .floor();
    2.0f64.powi(e as i32 - 23)
}

/// The result as f32 arithmetic can have it: what is beyond the largest f32 is infinite.
fn in_range(v: f64) -> f64 {
    if v.abs() >= 2.0f64.powi(128) {
        f64::INFINITY.copysign(v)
    } else {
        v
    }
}

#[test]
fn every_function_within_its_bound() {
    let mut values = all_f16();
    values.extend(dense_f32());
    for (f, ulps, argument_ulps) in ALL {
        // Silu-like functions of an infinite argument are ∞·0: not a number in any order of operations.
        let x: Vec<f32> = values
            .iter()
            .copied()
            .filter(|v| v.is_finite() || !indefinite(f))
            .collect();
        let want: Vec<f64> = x.iter().map(|&v| in_range(exact(f, f64::from(v)))).collect();
        // Without fused multiply-add range reductions round once more.
        for best in Best::available() {
            let slack = if fused(best) { 1.0 } else { 2.0 };
            let mut y = vec![0.0; x.len()];
            unary(Ctx::inline(best), f, &x, &mut y).unwrap();
            for ((&x, &y), &w) in x.iter().zip(&y).zip(&want) {
                let underflow = 2.0f64.powi(-119);
                let flushed = through_sigmoid(f) && w.abs() < underflow && f64::from(y).abs() < underflow;
                let same = f64::from(y) == w || (y.is_nan() && w.is_nan()) || flushed;
                let argument = if argument_ulps > 0.0 {
                    argument_ulps * ulp(f64::from(x))
                } else {
                    0.0
                };
                // A subnormal factor of x has an absolute error.
                let subnormal = f64::from(x).abs().min(1e30) * 2.0f64.powi(-149);
                let bound = slack * (ulps * ulp(w) + argument) + if ulps > 0.51 { subnormal } else { 0.0 };
                let error = (f64::from(y) - w).abs();
                assert!(
                    same || error <= bound,
                    "{f:?}({x:e}) on {}: {y:e}, not {w:e}: {} ULP",
                    best.name(),
                    error / ulp(w)
                );
            }
        }
    }
}

/// Whether f(±∞) is ∞·0 or ∞ − ∞ on the way.
fn indefinite(f: Unary) -> bool {
    matches!(
        f,
        Unary::Silu | Unary::GeluTanh | Unary::Gelu | Unary::HardSwish | Unary::Mish | Unary::Softsign
    )
}

/// Whether 1 / (1 + e^−x) is inside, whose denominator overflows before the result underflows.
fn through_sigmoid(f: Unary) -> bool {
    matches!(f, Unary::Sigmoid | Unary::Silu | Unary::GeluTanh)
}

#[test]
fn the_same_bytes_for_any_split_and_fused_instruction_set() {
    let x: Vec<f32> = Rng::new(5).vec(70_001).iter().map(|v| v * 12.0).collect();
    for (f, ..) in ALL {
        let want: Vec<f64> = x.iter().map(|&v| exact(f, f64::from(v))).collect();
        check_all(
            &std::format!("{f:?}"),
            &want,
            |i| 1e-4 * (1.0 + want[i].abs()),
            |ctx| {
                let mut y = x.clone();
                unary_inplace(ctx, f, &mut y);
                y
            },
        );
    }
}

#[test]
fn not_a_number_stays() {
    for (f, ..) in ALL {
        for best in Best::available() {
            let mut y = [f32::NAN; 5];
            unary_inplace(Ctx::inline(best), f, &mut y);
            assert!(y.iter().all(|v| v.is_nan()), "{f:?} on {}", best.name());
        }
    }
    assert!(unary(Ctx::inline(Best::detect()), Unary::Exp, &[0.0; 3], &mut [0.0; 2]).is_err());
}
