//! Convolutions against a direct sum in f64, over awkward geometries, weights, epilogues, instruction sets, threads.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, check_all};

/// The definition (ONNX Conv): the sum, and the sum of magnitudes.
fn reference(c: &Conv2d, x: &[f32], w: &[f32]) -> Vec<(f64, f64)> {
    let (oh, ow) = c.out_hw().unwrap();
    let (ic, oc) = (c.in_channels / c.groups, c.out_channels / c.groups);
    let mut out = vec![];
    for n in 0..c.batch {
        for o in 0..c.out_channels {
            for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
                let (mut sum, mut size) = (0.0, 0.0);
                for i in 0..ic {
                    for (r, s) in (0..c.kernel[0]).flat_map(|r| (0..c.kernel[1]).map(move |s| (r, s))) {
                        let y = (oy * c.strides[0] + r * c.dilations[0]).wrapping_sub(c.pads[0]);
                        let z = (ox * c.strides[1] + s * c.dilations[1]).wrapping_sub(c.pads[1]);
                        if y < c.in_h && z < c.in_w {
                            let channel = n * c.in_channels + o / oc * ic + i;
                            let v = f64::from(x[(channel * c.in_h + y) * c.in_w + z])
                                * f64::from(w[((o * ic + i) * c.kernel[0] + r) * c.kernel[1] + s]);
                            sum += v;
                            size += v.abs();
                        }
                    }
                }
                out.push((sum, size));
            }
        }
    }
    out
}

fn check(c: &Conv2d, seed: u64) {
    let mut rng = Rng::new(seed);
    let Ok(sizes) = c.sizes() else {
        panic!("{c:?} does not fit")
    };
    let (x, w) = (rng.vec(sizes.input), rng.vec(sizes.weights));
    let (bias, residual) = (rng.vec(c.out_channels), rng.vec(sizes.output));
    let sums = reference(c, &x, &w);
    let plane = sizes.n;
    for variant in 0..3 {
        let (packed, full) = (variant > 0, variant > 1);
        let act = [None, Some(Unary::Relu), Some(Unary::HardSwish)][variant];
        let finish = |i: usize, sum: f64| {
            let sum = if full { sum + f64::from(residual[i]) } else { sum };
            let sum = if packed {
                sum + f64::from(bias[i / plane % c.out_channels])
            } else {
                sum
            };
            match act {
                None => sum,
                Some(Unary::Relu) => sum.max(0.0),
                _ => sum * (sum / 6.0 + 0.5).clamp(0.0, 1.0),
            }
        };
        let want: Vec<f64> = sums.iter().enumerate().map(|(i, s)| finish(i, s.0)).collect();
        let bound = |i: usize| 2.0f64.powi(-23) * ((sizes.k as f64 + 4.0) * sums[i].1 + 8.0);
        check_all(&std::format!("{c:?} variant {variant}"), &want, bound, |ctx| {
            let packing = PackedConv::new(ctx.isa, c, &w).unwrap();
            let weights = if packed {
                ConvWeights::Packed(&packing)
            } else {
                ConvWeights::Plain(&w)
            };
            let mut scratch = vec![f32::NAN; c.scratch_len(ctx)];
            let mut y = vec![7.0; sizes.output];
            let (bias, residual) = (packed.then_some(&bias[..]), full.then_some(&residual[..]));
            conv2d(ctx, c, &x, weights, bias, residual, act, &mut y, &mut scratch).unwrap();
            y
        });
    }
}

fn simple(in_channels: usize, out_channels: usize, size: usize, kernel: usize) -> Conv2d {
    Conv2d {
        batch: 1,
        in_channels,
        out_channels,
        in_h: size,
        in_w: size,
        kernel: [kernel; 2],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [kernel / 2; 4],
        groups: 1,
    }
}

#[test]
fn table() {
    for case in [
        simple(3, 8, 9, 3),
        simple(5, 13, 7, 1),
        Conv2d {
            strides: [2, 2],
            ..simple(3, 8, 17, 3)
        },
        Conv2d {
            strides: [2, 2],
            pads: [0, 0, 1, 1],
            ..simple(3, 4, 16, 3)
        },
        Conv2d {
            strides: [2, 2],
            pads: [0; 4],
            ..simple(6, 4, 8, 1)
        },
        Conv2d {
            kernel: [5, 1],
            pads: [0; 4],
            in_w: 1,
            in_h: 40,
            ..simple(8, 16, 0, 1)
        },
        Conv2d {
            kernel: [1, 5],
            pads: [0, 2, 0, 2],
            in_h: 1,
            in_w: 70,
            ..simple(8, 16, 0, 1)
        },
        Conv2d {
            dilations: [2, 3],
            pads: [2, 3, 2, 3],
            ..simple(2, 3, 11, 3)
        },
        Conv2d {
            groups: 2,
            batch: 2,
            ..simple(6, 10, 6, 3)
        },
        Conv2d {
            in_h: 7,
            in_w: 50,
            pads: [1, 4, 0, 2],
            kernel: [3, 7],
            ..simple(2, 5, 0, 3)
        },
        Conv2d {
            batch: 2,
            pads: [3; 4],
            ..simple(1, 1, 2, 3)
        },
        // Depthwise.
        Conv2d {
            groups: 4,
            ..simple(4, 4, 12, 3)
        },
        Conv2d {
            groups: 4,
            batch: 3,
            strides: [2, 2],
            ..simple(4, 4, 15, 5)
        },
        Conv2d {
            groups: 3,
            ..simple(3, 6, 7, 3)
        },
        Conv2d {
            groups: 3,
            strides: [2, 1],
            in_w: 5,
            ..simple(3, 3, 30, 3)
        },
        Conv2d {
            groups: 2,
            strides: [3, 3],
            dilations: [2, 2],
            pads: [1, 2, 3, 4],
            ..simple(2, 2, 20, 3)
        },
        Conv2d {
            groups: 2,
            in_h: 120,
            in_w: 130,
            ..simple(2, 2, 0, 3)
        },
        Conv2d {
            groups: 2,
            kernel: [1, 1],
            pads: [0; 4],
            ..simple(2, 2, 9, 1)
        },
        Conv2d {
            groups: 2,
            kernel: [1, 9],
            pads: [0, 8, 0, 0],
            in_h: 1,
            in_w: 33,
            ..simple(2, 2, 0, 1)
        },
    ] {
        check(&case, 11);
    }
}

#[test]
fn random_geometries() {
    let mut rng = Rng::new(5);
    for seed in 0..120 {
        let groups = 1 + rng.below(4);
        let depthwise = rng.below(2) == 0;
        let c = Conv2d {
            batch: 1 + rng.below(2),
            in_channels: groups * if depthwise { 1 } else { 1 + rng.below(4) },
            out_channels: groups * (1 + rng.below(if depthwise { 2 } else { 9 })),
            in_h: 1 + rng.below(14),
            in_w: 1 + rng.below(40),
            kernel: [1 + rng.below(4), 1 + rng.below(5)],
            strides: [1 + rng.below(3), 1 + rng.below(3)],
            dilations: [1 + rng.below(2), 1 + rng.below(3)],
            pads: [rng.below(4), rng.below(4), rng.below(4), rng.below(4)],
            groups,
        };
        if c.out_hw().is_some() {
            check(&c, seed);
        }
    }
}

#[test]
fn eight_bit_weights_are_their_f32_expansion() {
    let mut rng = Rng::new(9);
    for c in [
        simple(3, 14, 9, 3),
        Conv2d {
            groups: 2,
            ..simple(4, 6, 8, 3)
        },
        Conv2d {
            groups: 4,
            ..simple(4, 4, 8, 3)
        },
    ] {
        let sizes = c.sizes().unwrap();
        let (x, q) = (rng.vec(sizes.input), rng.bytes(sizes.weights));
        let u: Vec<u8> = q.iter().map(|&v| v as u8).collect();
        for each in [1, c.out_channels] {
            let scales: Vec<f32> = rng.vec(each).iter().map(|v| v.abs() + 0.01).collect();
            let zeros: Vec<i32> = (0..each as i32).map(|z| 3 * z - 2).collect();
            for unsigned in [false, true] {
                let value = |i: usize| {
                    if unsigned {
                        i32::from(u[i])
                    } else {
                        i32::from(q[i])
                    }
                };
                let at = |i: usize| if each == 1 { 0 } else { i / sizes.k };
                let w: Vec<f32> = (0..q.len())
                    .map(|i| (value(i) - zeros[at(i)]) as f32 * scales[at(i)])
                    .collect();
                let data = if unsigned {
                    QuantData::U8(&u)
                } else {
                    QuantData::I8(&q)
                };
                for ctx in crate::testing::contexts() {
                    let packed = PackedConv::from_int8(ctx.isa, &c, data, &scales, &zeros).unwrap();
                    let mut scratch = vec![0.0; c.scratch_len(ctx)];
                    let (mut got, mut want) = (vec![0.0; sizes.output], vec![0.0; sizes.output]);
                    let weights = ConvWeights::Packed(&packed);
                    conv2d(ctx, &c, &x, weights, None, None, None, &mut got, &mut scratch).unwrap();
                    let weights = ConvWeights::Plain(&w);
                    conv2d(ctx, &c, &x, weights, None, None, None, &mut want, &mut scratch).unwrap();
                    assert_eq!(got, want, "{c:?} on {ctx:?}");
                }
            }
        }
    }
}

#[test]
fn transposed() {
    let mut rng = Rng::new(21);
    for seed in 0..60 {
        let groups = 1 + rng.below(2);
        let c = ConvTranspose2d {
            batch: 1 + rng.below(2),
            in_channels: groups * (1 + rng.below(5)),
            out_channels: groups * (1 + rng.below(4)),
            in_h: 1 + rng.below(6),
            in_w: 1 + rng.below(20),
            kernel: [1 + rng.below(4), 1 + rng.below(4)],
            strides: [1 + rng.below(3), 1 + rng.below(3)],
            dilations: [1 + rng.below(2), 1 + rng.below(2)],
            pads: [rng.below(2), rng.below(3), rng.below(2), rng.below(3)],
            output_padding: [rng.below(2), rng.below(2)],
            groups,
        };
        let Some((oh, ow)) = c.out_hw() else { continue };
        let (ic, oc, taps) = (
            c.in_channels / groups,
            c.out_channels / groups,
            c.kernel[0] * c.kernel[1],
        );
        let mut rng = Rng::new(seed);
        let x = rng.vec(c.batch * c.in_channels * c.in_h * c.in_w);
        let (w, bias) = (rng.vec(c.in_channels * oc * taps), rng.vec(c.out_channels));
        let mut want = vec![0.0; c.batch * c.out_channels * oh * ow];
        for (i, v) in want.iter_mut().enumerate() {
            *v = f64::from(bias[i / (oh * ow) % c.out_channels]);
        }
        for (i, &v) in x.iter().enumerate() {
            let (ix, iy) = (i % c.in_w, i / c.in_w % c.in_h);
            let (channel, n) = (
                i / (c.in_w * c.in_h) % c.in_channels,
                i / (c.in_w * c.in_h * c.in_channels),
            );
            for (o, tap) in (0..oc).flat_map(|o| (0..taps).map(move |t| (o, t))) {
                let y = (iy * c.strides[0] + tap / c.kernel[1] * c.dilations[0]).wrapping_sub(c.pads[0]);
                let z = (ix * c.strides[1] + tap % c.kernel[1] * c.dilations[1]).wrapping_sub(c.pads[1]);
                if y < oh && z < ow {
                    let out = n * c.out_channels + channel / ic * oc + o;
                    want[(out * oh + y) * ow + z] +=
                        f64::from(v) * f64::from(w[(channel * oc + o) * taps + tap]);
                }
            }
        }
        want.iter_mut().for_each(|v| *v = v.max(0.0));
        check_all(
            &std::format!("{c:?}"),
            &want,
            |_| 1e-5,
            |ctx| {
                let mut y = vec![7.0; want.len()];
                let mut scratch = vec![f32::NAN; c.scratch_len(ctx)];
                conv_transpose2d(
                    ctx,
                    &c,
                    &x,
                    &w,
                    Some(&bias),
                    Some(Unary::Relu),
                    &mut y,
                    &mut scratch,
                )
                .unwrap();
                y
            },
        );
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let ctx = Ctx::inline(Best::detect());
    let c = simple(2, 3, 4, 3);
    let (x, w) = (vec![0.0; 32], vec![0.0; 54]);
    let mut scratch = vec![0.0; c.scratch_len(ctx)];
    let mut y = vec![0.0; 48];
    let mut run = |c: &Conv2d, x: &[f32], w: &[f32], y: &mut [f32]| {
        conv2d(
            ctx,
            c,
            x,
            ConvWeights::Plain(w),
            None,
            None,
            None,
            y,
            &mut scratch,
        )
    };
    assert!(run(&c, &x, &w, &mut y).is_ok());
    assert!(run(&c, &x[1..], &w, &mut y).is_err());
    assert!(run(&c, &x, &w[1..], &mut y).is_err());
    assert!(run(&c, &x, &w, &mut y[1..]).is_err());
    assert!(run(&Conv2d { groups: 0, ..c }, &x, &w, &mut y).is_err());
    assert!(run(&Conv2d { groups: 4, ..c }, &x, &w, &mut y).is_err());
    assert!(run(&Conv2d { strides: [0, 1], ..c }, &x, &w, &mut y).is_err());
    assert!(run(&Conv2d { kernel: [9, 9], ..c }, &x, &w, &mut y).is_err());
    assert!(
        run(
            &Conv2d {
                in_h: usize::MAX / 2,
                ..c
            },
            &x,
            &w,
            &mut y
        )
        .is_err()
    );
    let packed = PackedConv::new(ctx.isa, &c, &w).unwrap();
    let other = Conv2d {
        kernel: [1, 9],
        pads: [0, 4, 0, 4],
        ..c
    };
    let weights = ConvWeights::Packed(&packed);
    assert!(
        conv2d(
            ctx,
            &other,
            &x,
            weights,
            None,
            None,
            None,
            &mut y,
            &mut vec![0.0; 9999]
        )
        .is_err()
    );
}
