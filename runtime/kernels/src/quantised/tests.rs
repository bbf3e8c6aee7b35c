//! Every kernel against plain loops, on every instruction set, alone and with threads: the same bytes.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::conv::Conv2d;
use crate::testing::{Rng, contexts};

/// numerics.md, section 2.
fn requantised(sum: i32, multiplier: f32, out: &Requantise<'_>) -> u8 {
    let (least, most) = ((out.least - out.zero) as f32, (out.most - out.zero) as f32);
    ((libm::rintf(sum as f32 * multiplier).clamp(least, most)) as i32 + out.zero) as u8
}

fn value(byte: u8, bytes: Bytes) -> i32 {
    match bytes {
        Bytes::Unsigned => i32::from(byte),
        Bytes::Signed => i32::from(byte as i8),
    }
}

fn bytes(rng: &mut Rng, len: usize) -> Vec<u8> {
    (0..len).map(|_| rng.next() as u8).collect()
}

/// Multipliers that bring sums of `k` products into the range, and a little beyond.
fn multipliers(rng: &mut Rng, channels: usize, k: usize) -> Vec<f32> {
    let typical = 1.0 / (40.0 * libm::sqrtf(k as f32 + 1.0));
    (0..channels).map(|_| typical * (1.1 + rng.unit())).collect()
}

/// Biases; every fifth so large that sums wrap.
fn biases(rng: &mut Rng, channels: usize) -> Vec<i32> {
    (0..channels)
        .map(|c| {
            if c % 5 == 4 {
                i32::MAX - 3
            } else {
                rng.below(20_000) as i32 - 10_000
            }
        })
        .collect()
}

/// With weights of 9 bits, which are packed as pairs, and with weights of 8, which are packed as quads.
fn check_conv(rng: &mut Rng, conv: Conv2d, reading: Bytes) {
    check_conv_of(rng, conv, reading, Packing::Pairs);
    check_conv_of(rng, conv, reading, Packing::Quads);
}

fn check_conv_of(rng: &mut Rng, conv: Conv2d, reading: Bytes, packing: Packing) {
    let (oh, ow) = conv.out_hw().unwrap();
    let (cg, mg) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let [kh, kw] = conv.kernel;
    let k = cg * kh * kw;
    let x = bytes(rng, conv.batch * conv.in_channels * conv.in_h * conv.in_w);
    let w: Vec<i16> = (0..conv.out_channels * k)
        .map(|_| match packing {
            Packing::Pairs => rng.below(511) as i16 - 255,
            // Both ends are often there: two products of them are what 16 bits just hold.
            Packing::Quads => i16::from([rng.next() as i8, i8::MIN, i8::MAX][rng.below(3)]),
        })
        .collect();
    let (bias, multipliers) = (
        biases(rng, conv.out_channels),
        multipliers(rng, conv.out_channels, 4 * k),
    );
    let zero = rng.next() as u8;
    let starts = PackedInt8::new(conv.groups, mg, k, |row, i| w[row * k + i])
        .unwrap()
        .starts(Some(&bias), zero, reading);
    let out = Requantise {
        starts: &starts,
        multipliers: &multipliers,
        zero: 17,
        least: 3,
        most: 250,
    };
    let mut want = Vec::new();
    for n in 0..conv.batch {
        for o in 0..conv.out_channels {
            for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
                let mut sum = bias[o];
                for i in 0..k {
                    let (c, ky, kx) = (i / (kh * kw), i / kw % kh, i % kw);
                    let iy = (oy * conv.strides[0] + ky * conv.dilations[0]).wrapping_sub(conv.pads[0]);
                    let ix = (ox * conv.strides[1] + kx * conv.dilations[1]).wrapping_sub(conv.pads[1]);
                    if iy < conv.in_h && ix < conv.in_w {
                        let plane = n * conv.in_channels + o / mg * cg + c;
                        let byte = x[(plane * conv.in_h + iy) * conv.in_w + ix];
                        let product = (value(byte, reading) - value(zero, reading)) * i32::from(w[o * k + i]);
                        sum = sum.wrapping_add(product);
                    }
                }
                want.push(requantised(sum, multipliers[o], &out));
            }
        }
    }
    for ctx in contexts() {
        let mut y = vec![0; want.len()];
        let mut scratch = vec![f32::NAN; qconv2d_scratch_len(ctx, &conv)];
        let operand = QuantBytes {
            data: &x,
            bytes: reading,
            zero,
        };
        let weights = PackedInt8::for_conv(ctx.isa, &conv, |row, i| w[row * k + i]).unwrap();
        if packing == Packing::Quads {
            let depthwise = depthwise::is_depthwise(&conv);
            assert_eq!(weights.packing == Packing::Pairs, depthwise, "{conv:?}");
        }
        assert_eq!(weights.starts(Some(&bias), zero, reading), starts);
        qconv2d(ctx, &conv, operand, &weights, &out, &mut y, &mut scratch).unwrap();
        let wrong = y.iter().zip(&want).position(|(a, b)| a != b);
        assert_eq!(wrong, None, "{conv:?} of {reading:?} on {ctx:?}");
    }
}

#[test]
fn convolutions() {
    let mut rng = Rng::new(7);
    let plain = Conv2d {
        batch: 1,
        in_channels: 3,
        out_channels: 5,
        in_h: 9,
        in_w: 11,
        kernel: [3, 3],
        strides: [1, 1],
        dilations: [1, 1],
        pads: [1, 1, 1, 1],
        groups: 1,
    };
    let deep = Conv2d {
        in_channels: 6,
        out_channels: 6,
        groups: 6,
        ..plain
    };
    let point = Conv2d {
        in_channels: 37,
        out_channels: 21,
        kernel: [1, 1],
        pads: [0; 4],
        ..plain
    };
    let cases = [
        plain,
        deep,
        point,
        Conv2d {
            batch: 2,
            strides: [2, 2],
            ..plain
        },
        Conv2d {
            strides: [1, 3],
            dilations: [2, 2],
            pads: [4, 3, 2, 1],
            ..plain
        },
        Conv2d {
            kernel: [5, 5],
            pads: [2, 2, 2, 2],
            strides: [2, 2],
            ..deep
        },
        Conv2d {
            out_channels: 12,
            batch: 2,
            ..deep
        },
        Conv2d {
            in_channels: 6,
            out_channels: 40,
            groups: 2,
            ..plain
        },
        Conv2d {
            in_h: 40,
            in_w: 40,
            ..point
        },
        Conv2d {
            strides: [2, 2],
            ..point
        },
        Conv2d {
            in_channels: 1,
            out_channels: 1,
            in_h: 1,
            in_w: 1,
            ..point
        },
        Conv2d {
            in_w: 1,
            pads: [1, 1, 1, 1],
            ..plain
        },
        Conv2d {
            kernel: [1, 9],
            pads: [0, 8, 0, 8],
            in_w: 3,
            ..plain
        },
        // Nothing but padding.
        Conv2d {
            in_w: 0,
            pads: [1, 2, 1, 2],
            ..deep
        },
        Conv2d {
            in_h: 0,
            pads: [2, 1, 2, 1],
            ..deep
        },
        Conv2d {
            in_w: 0,
            pads: [1, 2, 1, 2],
            ..plain
        },
        Conv2d {
            in_channels: 64,
            out_channels: 33,
            in_h: 20,
            in_w: 30,
            ..plain
        },
    ];
    for conv in cases {
        check_conv(&mut rng, conv, Bytes::Unsigned);
        check_conv(&mut rng, conv, Bytes::Signed);
    }
}

#[test]
fn products() {
    let mut rng = Rng::new(8);
    for (rows, k, channels) in [
        (1, 1, 1),
        (1, 64, 10),
        (5, 7, 16),
        (4, 33, 17),
        (9, 130, 50),
        (3, 2, 100),
    ] {
        for reading in [Bytes::Unsigned, Bytes::Signed] {
            let x = bytes(&mut rng, rows * k);
            let w: Vec<i16> = (0..channels * k).map(|_| rng.below(511) as i16 - 255).collect();
            let (bias, multipliers) = (biases(&mut rng, channels), multipliers(&mut rng, channels, 4 * k));
            let zero = rng.next() as u8;
            let weights = PackedInt8::new(1, channels, k, |row, i| w[row * k + i]).unwrap();
            let starts = weights.starts(Some(&bias), zero, reading);
            let out = Requantise {
                starts: &starts,
                multipliers: &multipliers,
                zero: -7,
                least: -128,
                most: 127,
            };
            let want: Vec<u8> = (0..rows * channels)
                .map(|i| {
                    let (r, n) = (i / channels, i % channels);
                    let sum = (0..k).fold(bias[n], |sum, i| {
                        let x = value(x[r * k + i], reading) - value(zero, reading);
                        sum.wrapping_add(x * i32::from(w[n * k + i]))
                    });
                    requantised(sum, multipliers[n], &out)
                })
                .collect();
            for ctx in contexts() {
                let mut y = vec![0; want.len()];
                let operand = QuantBytes {
                    data: &x,
                    bytes: reading,
                    zero,
                };
                qproduct(ctx, rows, operand, &weights, &out, &mut y).unwrap();
                assert_eq!(y, want, "{rows} x {k} x {channels} of {reading:?} on {ctx:?}");
            }
        }
    }
}

#[test]
fn pairs() {
    let mut rng = Rng::new(9);
    let shapes: [(&[usize], &[usize], &[usize]); 6] = [
        (&[2, 3, 5, 7], &[105, 35, 7, 1], &[105, 35, 7, 1]),
        (&[2, 3, 5, 7], &[105, 35, 7, 1], &[3, 1, 0, 0]),
        (&[3, 37], &[0, 1], &[37, 1]),
        (&[41], &[0], &[1]),
        (&[5, 4], &[1, 5], &[4, 1]),
        (&[1], &[1], &[0]),
    ];
    let ops = [
        Pair::Mul,
        Pair::Add {
            first: 1 << 22,
            second: 3_141_593,
        },
        Pair::Add {
            first: 1,
            second: 1 << 22,
        },
    ];
    for (shape, a_strides, b_strides) in shapes {
        for (op, reading) in ops
            .into_iter()
            .flat_map(|op| [(op, Bytes::Unsigned), (op, Bytes::Signed)])
        {
            let (a, b) = (bytes(&mut rng, 256), bytes(&mut rng, 256));
            let (za, zb) = (rng.next() as u8, rng.next() as u8);
            let multiplier = [if op == Pair::Mul { 0.01 } else { 1.3e-7 }];
            let out = Requantise {
                starts: &[0],
                multipliers: &multiplier,
                zero: 100,
                least: 0,
                most: 255,
            };
            let len: usize = shape.iter().product();
            let want: Vec<u8> = (0..len)
                .map(|i| {
                    let mut rest = i;
                    let (mut at_a, mut at_b) = (0, 0);
                    for d in (0..shape.len()).rev() {
                        at_a += rest % shape[d] * a_strides[d];
                        at_b += rest % shape[d] * b_strides[d];
                        rest /= shape[d];
                    }
                    let a = value(a[at_a], reading) - value(za, reading);
                    let b = value(b[at_b], Bytes::Unsigned) - value(zb, Bytes::Unsigned);
                    let sum = match op {
                        Pair::Mul => a * b,
                        Pair::Add { first, second } => (a * first).wrapping_add(b * second),
                    };
                    requantised(sum, multiplier[0], &out)
                })
                .collect();
            for ctx in contexts() {
                let mut y = vec![0; len];
                let (a, b) = (
                    QuantBytes {
                        data: &a,
                        bytes: reading,
                        zero: za,
                    },
                    QuantBytes {
                        data: &b,
                        bytes: Bytes::Unsigned,
                        zero: zb,
                    },
                );
                qpair(ctx, op, shape, (a, a_strides), (b, b_strides), &out, &mut y).unwrap();
                assert_eq!(y, want, "{op:?} over {shape:?} of {reading:?} on {ctx:?}");
            }
        }
    }
}

#[test]
fn means_and_tables() {
    let mut rng = Rng::new(10);
    for (planes, len) in [(1, 1), (5, 49), (3, 1000)] {
        let x = bytes(&mut rng, planes * len);
        let multiplier = [1.7 / len as f32];
        let out = Requantise {
            starts: &[0],
            multipliers: &multiplier,
            zero: 9,
            least: -128,
            most: 127,
        };
        for reading in [Bytes::Unsigned, Bytes::Signed] {
            let mean = |plane: &[u8]| {
                let sum = plane
                    .iter()
                    .map(|&byte| value(byte, reading) - value(131, reading))
                    .sum();
                requantised(sum, multiplier[0], &out)
            };
            let want: Vec<u8> = x.chunks_exact(len).map(mean).collect();
            for ctx in contexts() {
                let mut y = vec![0; planes];
                let operand = QuantBytes {
                    data: &x,
                    bytes: reading,
                    zero: 131,
                };
                qmean(ctx, planes, len, operand, &out, &mut y).unwrap();
                assert_eq!(y, want, "{planes} planes of {len} on {ctx:?}");
            }
        }
    }
    let (x, table) = (bytes(&mut rng, 50_000), bytes(&mut rng, 256));
    for ctx in contexts() {
        let mut y = vec![0; x.len()];
        lookup(ctx, &x, &table, &mut y).unwrap();
        assert!(x.iter().zip(&y).all(|(&x, &y)| table[usize::from(x)] == y));
    }
}

#[test]
fn short_slices_are_refused() {
    let ctx = contexts()[0];
    let weights = PackedInt8::new(1, 2, 3, |_, _| 1).unwrap();
    for (groups, rows, k) in [(1, 2, 3), (7, 1, 9), (2, 17, 4), (1, 33, 1)] {
        let packed = PackedInt8::new(groups, rows, k, |_, _| 1).unwrap();
        assert_eq!(PackedInt8::bytes_of(groups, rows, k), packed.bytes());
    }
    assert_eq!(PackedInt8::bytes_of(1, usize::MAX, 1 << 40), usize::MAX);
    let out = Requantise {
        starts: &[0, 0],
        multipliers: &[1.0, 1.0],
        zero: 0,
        least: 0,
        most: 255,
    };
    let x = QuantBytes {
        data: &[0; 6],
        bytes: Bytes::Unsigned,
        zero: 0,
    };
    assert!(qproduct(ctx, 3, x, &weights, &out, &mut [0; 6]).is_err());
    assert!(qproduct(ctx, 2, x, &weights, &out, &mut [0; 3]).is_err());
    let one = Requantise { starts: &[0], ..out };
    assert!(qproduct(ctx, 2, x, &weights, &one, &mut [0; 4]).is_err());
    assert!(qproduct(ctx, 2, x, &weights, &out, &mut [0; 4]).is_ok());
    assert!(qmean(ctx, 2, 4, x, &out, &mut [0; 2]).is_err());
    assert!(lookup(ctx, x.data, &[0; 255], &mut [0; 6]).is_err());
    assert!(qpair(ctx, Pair::Mul, &[7], (x, &[1]), (x, &[1]), &out, &mut [0; 7]).is_err());
}

#[test]
fn convolutions_of_any_shape() {
    let mut rng = Rng::new(11);
    let mut seen = 0;
    while seen < 400 {
        let groups = 1 + rng.below(4);
        let (cg, mg) = (1 + rng.below(3), 1 + rng.below(3));
        let depthwise = rng.below(2) == 0;
        let conv = Conv2d {
            batch: 1 + rng.below(2),
            in_channels: groups * if depthwise { 1 } else { cg },
            out_channels: groups * if depthwise { 1 } else { mg },
            in_h: 1 + rng.below(9),
            in_w: 1 + rng.below(20),
            kernel: [1 + rng.below(5), 1 + rng.below(5)],
            strides: [1 + rng.below(3), 1 + rng.below(3)],
            dilations: [1 + rng.below(2) * rng.below(2), 1 + rng.below(2) * rng.below(2)],
            pads: [(); 4].map(|()| rng.below(5) * rng.below(2)),
            groups,
        };
        if conv.out_hw().is_some_and(|(h, w)| h * w > 0) {
            let reading = [Bytes::Unsigned, Bytes::Signed][rng.below(2)];
            check_conv(&mut rng, conv, reading);
            seen += 1;
        }
    }
}
