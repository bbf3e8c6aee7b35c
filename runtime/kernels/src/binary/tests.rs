//! Binary functions against f64 over random broadcasts and strides.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::broadcast_strides;
use crate::testing::{Rng, check_all};

fn exact(op: Binary, a: f64, b: f64) -> f64 {
    match op {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Pow => a.powf(b),
        Binary::PRelu if a < 0.0 => a * b,
        Binary::PRelu => a,
        Binary::Fmod => a % b,
    }
}

const ALL: [Binary; 9] = [
    Binary::Add,
    Binary::Sub,
    Binary::Mul,
    Binary::Div,
    Binary::Min,
    Binary::Max,
    Binary::Pow,
    Binary::PRelu,
    Binary::Fmod,
];

/// Offset of the `i`th element of a contiguous tensor of this shape in one with these strides.
fn offset(mut i: usize, shape: &[usize], strides: &[usize]) -> usize {
    let mut at = 0;
    for (d, &dim) in shape.iter().enumerate().rev() {
        at += i % dim * strides[d];
        i /= dim;
    }
    at
}

fn check(op: Binary, shape: &[usize], sa: &[usize], sb: &[usize], rng: &mut Rng) {
    let len: usize = shape.iter().product();
    let reach = |s: &[usize]| shape.iter().zip(s).map(|(d, s)| (d - 1) * s).sum::<usize>() + 1;
    let (mut a, b) = (rng.vec(reach(sa)), rng.vec(reach(sb)));
    if op == Binary::Pow {
        a.iter_mut().for_each(|v| *v = v.abs() + 0.01);
    }
    let pair = |i: usize| (a[offset(i, shape, sa)], b[offset(i, shape, sb)]);
    let want: Vec<f64> = (0..len)
        .map(&pair)
        .map(|(a, b)| exact(op, f64::from(a), f64::from(b)))
        .collect();
    let ulp = if op == Binary::Pow { 2.0 } else { 0.51 };
    let bound = |i: usize| want[i].abs() * ulp * 2.0f64.powi(-23) + 1e-45;
    let what = std::format!("{op:?} {shape:?} {sa:?} {sb:?}");
    check_all(&what, &want, bound, |ctx| {
        let mut y = vec![7.0; len];
        binary(ctx, op, shape, &a, sa, &b, sb, &mut y).unwrap();
        y
    });
    check_all(&what, &want, bound, |ctx| {
        let mut y: Vec<f32> = (0..len).map(|i| pair(i).0).collect();
        binary_inplace(ctx, op, shape, &mut y, &b, sb).unwrap();
        y
    });
    if op == Binary::Sub {
        let mut y = vec![0.0; len];
        zip_broadcast(shape, &a, sa, &b, sb, &mut y, |a, b| a - b).unwrap();
        assert!((0..len).all(|i| (y[i], pair(i)) == (pair(i).0 - pair(i).1, pair(i))));
    }
}

#[test]
fn broadcasts() {
    let mut rng = Rng::new(8);
    for op in ALL {
        check(op, &[], &[], &[], &mut rng);
        check(op, &[67], &[1], &[1], &mut rng);
        check(op, &[67], &[1], &[0], &mut rng);
        check(op, &[67], &[0], &[3], &mut rng);
        check(op, &[5, 40_000], &[40_000, 1], &[0, 1], &mut rng);
    }
    for round in 0..200 {
        let rank = 1 + rng.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + rng.below(7)).collect();
        let mut strides = || {
            let from: Vec<usize> = shape[rng.below(rank)..]
                .iter()
                .map(|&d| if rng.below(3) == 0 { 1 } else { d })
                .collect();
            let mut out = vec![0; rank];
            broadcast_strides(&from, &shape, &mut out).unwrap();
            out
        };
        let (sa, sb) = (strides(), strides());
        check(ALL[round % ALL.len()], &shape, &sa, &sb, &mut rng);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let ctx = Ctx::inline(sanderling_simd::Best::detect());
    let x = [1.0; 6];
    let mut y = [0.0; 6];
    assert!(binary(ctx, Binary::Add, &[2, 3], &x, &[3, 1], &x, &[3, 1], &mut y).is_ok());
    assert!(binary(ctx, Binary::Add, &[2, 3], &x, &[4, 1], &x, &[3, 1], &mut y).is_err());
    assert!(binary(ctx, Binary::Add, &[2, 3], &x, &[3], &x, &[3, 1], &mut y).is_err());
    assert!(binary(ctx, Binary::Add, &[2, 4], &x, &[0, 1], &x, &[0, 1], &mut y).is_err());
    assert!(
        binary(
            ctx,
            Binary::Add,
            &[usize::MAX, 2],
            &x,
            &[0, 0],
            &x,
            &[0, 0],
            &mut y
        )
        .is_err()
    );
    assert!(binary_inplace(ctx, Binary::Add, &[7], &mut y, &x, &[0]).is_err());
    assert!(binary(ctx, Binary::Add, &[0, 9], &[], &[9, 1], &[], &[9, 1], &mut []).is_ok());
}
