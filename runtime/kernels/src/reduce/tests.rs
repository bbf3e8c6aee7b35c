//! Reductions against f64.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, check_all};

const ALL: [Reduce; 10] = [
    Reduce::Sum,
    Reduce::Mean,
    Reduce::Max,
    Reduce::Min,
    Reduce::Prod,
    Reduce::SumSquare,
    Reduce::L1,
    Reduce::L2,
    Reduce::LogSum,
    Reduce::LogSumExp,
];

fn exact(reduce: Reduce, x: &[f64]) -> f64 {
    let n = x.len() as f64;
    let sum = |f: fn(f64) -> f64| x.iter().map(|&v| f(v)).sum::<f64>();
    match reduce {
        Reduce::Sum => sum(|v| v),
        Reduce::Mean => sum(|v| v) / n,
        Reduce::Max => x.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        Reduce::Min => x.iter().copied().fold(f64::INFINITY, f64::min),
        Reduce::Prod => x.iter().product(),
        Reduce::SumSquare => sum(|v| v * v),
        Reduce::L1 => sum(f64::abs),
        Reduce::L2 => sum(|v| v * v).sqrt(),
        Reduce::LogSum => sum(|v| v).ln(),
        Reduce::LogSumExp => sum(f64::exp).ln(),
    }
}

#[test]
fn every_reduction() {
    let mut rng = Rng::new(12);
    let axes = [
        (1, 1, 1),
        (3, 31, 1),
        (2, 32, 1),
        (4, 33, 1),
        (5, 1000, 1),
        (2, 9, 17),
        (3, 50, 3),
        (70, 300, 1),
    ];
    for (outer, len, inner) in axes {
        let axis = Axis { outer, len, inner };
        for reduce_by in ALL {
            let mut x = rng.vec(outer * len * inner);
            match reduce_by {
                Reduce::Prod => x.iter_mut().for_each(|v| *v = 1.0 + *v * 0.01),
                Reduce::LogSum => x.iter_mut().for_each(|v| *v = v.abs() + 0.5),
                _ => {}
            }
            let mut want = vec![];
            for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
                let row: Vec<f64> = (0..len)
                    .map(|l| f64::from(x[(o * len + l) * inner + i]))
                    .collect();
                want.push(exact(reduce_by, &row));
            }
            let bound = |i: usize| match reduce_by {
                Reduce::Max | Reduce::Min => 0.0,
                Reduce::Mean => 1e-6,
                Reduce::LogSum | Reduce::LogSumExp => 2e-6,
                Reduce::Prod => want[i].abs() * len as f64 * 2.0f64.powi(-24),
                _ => (len as f64 / 32.0 + 10.0) * len as f64 * 2.0f64.powi(-24),
            };
            check_all(&std::format!("{reduce_by:?} {axis:?}"), &want, bound, |ctx| {
                let mut y = vec![7.0; outer * inner];
                reduce(ctx, reduce_by, axis, &x, &mut y).unwrap();
                y
            });
        }
    }
}

#[test]
fn not_a_number_and_nothing() {
    for len in [1, 5, 40, 100] {
        for at in 0..len {
            let mut x = vec![1.0; len];
            x[at] = f32::NAN;
            for by in [Reduce::Max, Reduce::Min] {
                check_all(
                    "NaN",
                    &[f64::NAN],
                    |_| 0.0,
                    |ctx| {
                        let mut y = vec![0.0];
                        reduce(
                            ctx,
                            by,
                            Axis {
                                outer: 1,
                                len,
                                inner: 1,
                            },
                            &x,
                            &mut y,
                        )
                        .unwrap();
                        y
                    },
                );
            }
        }
    }
    for (by, want) in [
        (Reduce::Sum, 0.0),
        (Reduce::Mean, f64::NAN),
        (Reduce::Max, f64::NEG_INFINITY),
        (Reduce::Prod, 1.0),
    ] {
        for inner in [1, 3] {
            check_all(
                "nothing",
                &vec![want; 2 * inner],
                |_| 0.0,
                |ctx| {
                    let mut y = vec![7.0; 2 * inner];
                    reduce(
                        ctx,
                        by,
                        Axis {
                            outer: 2,
                            len: 0,
                            inner,
                        },
                        &[],
                        &mut y,
                    )
                    .unwrap();
                    y
                },
            );
        }
    }
    let ctx = Ctx::inline(sanderling_simd::Best::detect());
    let axis = Axis {
        outer: 2,
        len: 3,
        inner: 1,
    };
    assert!(reduce(ctx, Reduce::Sum, axis, &[0.0; 5], &mut [0.0; 2]).is_err());
    assert!(reduce(ctx, Reduce::Sum, axis, &[0.0; 6], &mut [0.0; 1]).is_err());
}
