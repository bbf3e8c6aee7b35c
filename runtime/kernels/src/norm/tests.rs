//! Normalisation against f64.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, check_all};

#[test]
fn layer_and_rms_norm() {
    let mut rng = Rng::new(2);
    for (rows, cols) in [(1, 1), (3, 7), (40, 384), (17, 33), (5, 1000), (0, 5)] {
        // A mean far from zero: what a one-pass variance would lose.
        let x: Vec<f32> = rng.vec(rows * cols).iter().map(|v| v + 30.0).collect();
        let (scale, bias) = (rng.vec(cols), rng.vec(cols));
        let eps = 1e-5;
        let want = |centred: bool| {
            let mut out = vec![];
            for row in x.chunks_exact(cols) {
                let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
                let n = cols as f64;
                let mean = if centred { row.iter().sum::<f64>() / n } else { 0.0 };
                let variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
                for (c, v) in row.iter().enumerate() {
                    let y = (v - mean) / (variance + f64::from(eps)).sqrt() * f64::from(scale[c]);
                    out.push(y + if centred { f64::from(bias[c]) } else { 0.0 });
                }
            }
            out
        };
        // 30 / σ with σ ≈ 0.6 and a few dozen roundings; a single column has σ = √eps.
        let bound = if cols == 1 {
            0.02
        } else {
            50.0 * 40.0 * 2.0f64.powi(-24)
        };
        check_all(
            "layer_norm",
            &want(true),
            |_| bound,
            |ctx| {
                let mut y = vec![7.0; rows * cols];
                layer_norm(ctx, rows, cols, &x, &scale, Some(&bias), eps, &mut y).unwrap();
                y
            },
        );
        check_all(
            "rms_norm",
            &want(false),
            |_| 1e-5,
            |ctx| {
                let mut y = vec![7.0; rows * cols];
                rms_norm(ctx, rows, cols, &x, &scale, eps, &mut y).unwrap();
                y
            },
        );
    }
}

#[test]
fn batch_norm_is_a_scale_and_shift() {
    let mut rng = Rng::new(3);
    for [outer, channels, inner] in [[1, 1, 1], [2, 5, 49], [3, 4, 1], [1, 3, 100]] {
        let x = rng.vec(outer * channels * inner);
        let (scale, shift) = (rng.vec(channels), rng.vec(channels));
        let want: Vec<f64> = (0..x.len())
            .map(|i| {
                let c = i / inner % channels;
                (f64::from(x[i]) * f64::from(scale[c]) + f64::from(shift[c])).clamp(-0.25, 0.5)
            })
            .collect();
        check_all(
            "scale_shift",
            &want,
            |_| 2e-7,
            |ctx| {
                let mut y = vec![7.0; x.len()];
                let act = Some(Unary::Clip { min: -0.25, max: 0.5 });
                scale_shift(ctx, &x, &mut y, [outer, channels, inner], &scale, &shift, act).unwrap();
                y
            },
        );
    }
}
