//! Pooling against the definition, over random geometries.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, check_all};

fn reference(p: &Pool2d, x: &[f32], average: Option<bool>) -> Vec<f64> {
    let (oh, ow) = p.out_hw().unwrap();
    let [top, left, bottom, right] = p.pads;
    let mut out = vec![];
    for plane in x.chunks_exact(p.in_h * p.in_w) {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            let (mut sum, mut max, mut count) = (0.0, f64::NEG_INFINITY, 0);
            for (r, s) in (0..p.kernel[0]).flat_map(|r| (0..p.kernel[1]).map(move |s| (r, s))) {
                let (y, z) = (
                    oy * p.strides[0] + r * p.dilations[0],
                    ox * p.strides[1] + s * p.dilations[1],
                );
                let inside = y >= top && y < top + p.in_h && z >= left && z < left + p.in_w;
                if inside {
                    let v = f64::from(plane[(y - top) * p.in_w + z - left]);
                    sum += v;
                    max = if v.is_nan() || max.is_nan() {
                        f64::NAN
                    } else {
                        max.max(v)
                    };
                }
                let padded = y < top + p.in_h + bottom && z < left + p.in_w + right;
                count += usize::from(if average == Some(true) { padded } else { inside });
            }
            out.push(if average.is_some() {
                sum / count as f64
            } else {
                max
            });
        }
    }
    out
}

fn check(p: &Pool2d, seed: u64) {
    let mut x = Rng::new(seed).vec(p.planes * p.in_h * p.in_w);
    for average in [None, Some(false), Some(true)] {
        let want = reference(p, &x, average);
        check_all(
            &std::format!("{p:?} {average:?}"),
            &want,
            |_| 1e-5,
            |ctx| {
                let mut y = vec![7.0; want.len()];
                let mut scratch = vec![f32::NAN; p.scratch_len(ctx)];
                match average {
                    None => max_pool2d(ctx, p, &x, &mut y, &mut scratch).unwrap(),
                    Some(include) => avg_pool2d(ctx, p, include, &x, &mut y, &mut scratch).unwrap(),
                }
                y
            },
        );
    }
    x[p.in_w / 2] = f32::NAN;
    check_all(
        "NaN",
        &reference(p, &x, None),
        |_| 0.0,
        |ctx| {
            let (oh, ow) = p.out_hw().unwrap();
            let mut y = vec![7.0; p.planes * oh * ow];
            max_pool2d(ctx, p, &x, &mut y, &mut vec![0.0; p.scratch_len(ctx)]).unwrap();
            y
        },
    );
}

#[test]
fn table_and_random_geometries() {
    let p = Pool2d {
        planes: 3,
        in_h: 13,
        in_w: 18,
        kernel: [3, 3],
        strides: [2, 2],
        dilations: [1, 1],
        pads: [1; 4],
        ceil_mode: false,
    };
    check(&p, 1);
    check(
        &Pool2d {
            ceil_mode: true,
            pads: [0; 4],
            ..p
        },
        2,
    );
    check(
        &Pool2d {
            kernel: [9, 9],
            strides: [1, 1],
            pads: [4; 4],
            ..p
        },
        3,
    );
    let mut rng = Rng::new(6);
    for seed in 0..100 {
        let kernel = [1 + rng.below(4), 1 + rng.below(5)];
        let p = Pool2d {
            planes: 1 + rng.below(3),
            in_h: 1 + rng.below(12),
            in_w: 1 + rng.below(30),
            kernel,
            strides: [1 + rng.below(3), 1 + rng.below(3)],
            dilations: [1, 1 + rng.below(2)],
            // ONNX wants padding smaller than the kernel, else a window may see nothing.
            pads: [
                rng.below(kernel[0]),
                rng.below(kernel[1]),
                rng.below(kernel[0]),
                rng.below(kernel[1]),
            ],
            ceil_mode: rng.below(2) == 0,
        };
        let Some((oh, ow)) = p.out_hw() else { continue };
        let sees = |o: usize, i: usize| {
            let at = |o: usize| {
                (0..p.kernel[i]).any(|t| {
                    let y = o * p.strides[i] + t * p.dilations[i];
                    y >= p.pads[i] && y < p.pads[i] + [p.in_h, p.in_w][i]
                })
            };
            (0..o).all(at)
        };
        if sees(oh, 0) && sees(ow, 1) {
            check(&p, seed);
        }
    }
}
