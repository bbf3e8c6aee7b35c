//! Softmax against f64.

use std::vec;

use super::*;
use crate::testing::{Rng, check_all};

#[test]
fn random_rows_and_columns() {
    let mut rng = Rng::new(30);
    let axes = [
        (1, 1, 1),
        (3, 31, 1),
        (2, 32, 1),
        (4, 214, 1),
        (3, 1000, 1),
        (2, 9, 17),
        (3, 50, 3),
        (100, 128, 1),
    ];
    for (outer, len, inner) in axes {
        let axis = Axis { outer, len, inner };
        let mut x = rng.vec(outer * len * inner);
        x.iter_mut().for_each(|v| *v *= 20.0);
        let (mut plain, mut log) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        for (o, i) in (0..outer).flat_map(|o| (0..inner).map(move |i| (o, i))) {
            let at = |l: usize| (o * len + l) * inner + i;
            let max = (0..len)
                .map(|l| f64::from(x[at(l)]))
                .fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = (0..len).map(|l| (f64::from(x[at(l)]) - max).exp()).sum();
            for l in 0..len {
                log[at(l)] = f64::from(x[at(l)]) - max - sum.ln();
                plain[at(l)] = (f64::from(x[at(l)]) - max).exp() / sum;
            }
        }
        let what = std::format!("{axis:?}");
        // The exponent's own rounding: |x − max| ≤ 40, each half an ULP of which is a relative error of the result.
        let bound = |i: usize| plain[i] * 40.0 * 2.0f64.powi(-23) + 1e-45;
        check_all(&what, &plain, bound, |ctx| {
            let mut y = vec![7.0; x.len()];
            softmax(ctx, axis, &x, &mut y).unwrap();
            y
        });
        check_all(&what, &plain, bound, |ctx| {
            let mut y = x.clone();
            softmax_inplace(ctx, axis, &mut y).unwrap();
            y
        });
        check_all(
            &what,
            &log,
            |_| 1e-5,
            |ctx| {
                let mut y = vec![7.0; x.len()];
                log_softmax(ctx, axis, &x, &mut y).unwrap();
                y
            },
        );
    }
}

#[test]
fn large_values_and_masks() {
    let x = [1e30, 1e30, f32::NEG_INFINITY, -1e30];
    let axis = Axis {
        outer: 1,
        len: 4,
        inner: 1,
    };
    check_all(
        "mask",
        &[0.5, 0.5, 0.0, 0.0],
        |_| 0.0,
        |ctx| {
            let mut y = vec![7.0; 4];
            softmax(ctx, axis, &x, &mut y).unwrap();
            y
        },
    );
    let ctx = Ctx::inline(sanderling_simd::Best::detect());
    assert!(softmax(ctx, axis, &x[1..], &mut [0.0; 4]).is_err());
    assert!(softmax_inplace(ctx, axis, &mut [0.0; 3]).is_err());
}
