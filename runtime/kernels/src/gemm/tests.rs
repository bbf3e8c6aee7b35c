//! Products against f64, over awkward shapes, strides, packings, epilogues, instruction sets and threads.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::Unary;
use crate::testing::{Rng, check_all};

/// One case; the reference is computed from it in f64.
#[derive(Clone, Debug)]
struct Case {
    m: usize,
    n: usize,
    k: usize,
    transpose_a: bool,
    transpose_b: bool,
    pack_a: bool,
    pack_b: bool,
    bias: u8,
    residual: bool,
    act: Option<Unary>,
    alpha: f32,
    gap: usize,
}

fn view(data: &[f32], rows: usize, cols: usize, transposed: bool) -> MatRef<'_> {
    if transposed {
        MatRef::row_major(data, cols, rows).transposed()
    } else {
        MatRef::row_major(data, rows, cols)
    }
}

fn element(m: &MatRef<'_>, r: usize, c: usize) -> f64 {
    f64::from(m.data[r * m.row_stride + c * m.col_stride])
}

fn act64(act: Option<Unary>, x: f64) -> f64 {
    match act {
        Some(Unary::Relu) => x.max(0.0),
        Some(Unary::Clip { min, max }) => x.clamp(f64::from(min), f64::from(max)),
        Some(Unary::HardSwish) => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Some(Unary::Sigmoid) => 1.0 / (1.0 + (-x).exp()),
        None => x,
        other => panic!("no reference for {other:?}"),
    }
}

fn check(case: &Case, seed: u64) {
    let Case { m, n, k, gap, .. } = *case;
    let mut rng = Rng::new(seed);
    let (a, b) = (rng.vec(m * k), rng.vec(k * n));
    let (a, b) = (view(&a, m, k, case.transpose_a), view(&b, k, n, case.transpose_b));
    let ld = n + gap;
    let len = if m == 0 || n == 0 { 0 } else { (m - 1) * ld + n };
    let (bias, residual) = (rng.vec(m.max(n)), rng.vec(len));
    let mut want = vec![7.0; len];
    let mut bound = vec![0.0; len];
    for i in 0..m {
        for j in 0..n {
            let (mut sum, mut size) = (0.0, 0.0);
            for p in 0..k {
                let x = element(&a, i, p) * element(&b, p, j);
                sum += x;
                size += x.abs();
            }
            let at = i * ld + j;
            sum *= f64::from(case.alpha);
            sum += [0.0, f64::from(bias[i]), f64::from(bias[j])][usize::from(case.bias)];
            sum += if case.residual {
                f64::from(residual[at])
            } else {
                0.0
            };
            want[at] = act64(case.act, sum);
            bound[at] = 2.0f64.powi(-23) * ((k as f64 + 4.0) * size + 4.0 * sum.abs() + 4.0);
        }
    }
    check_all(
        &std::format!("{case:?}"),
        &want,
        |i| bound[i],
        |ctx| {
            let packed_a = PackedA::new(ctx.isa, a).unwrap();
            let packed_b = PackedB::new(ctx.isa, b).unwrap();
            let epilogue = Epilogue {
                alpha: case.alpha,
                bias: [Bias::None, Bias::PerRow(&bias), Bias::PerCol(&bias)][usize::from(case.bias)],
                residual: case.residual.then_some(&residual),
                act: case.act,
            };
            let lhs = if case.pack_a {
                Lhs::Packed(&packed_a)
            } else {
                Lhs::Plain(a)
            };
            let rhs = if case.pack_b {
                Rhs::Packed(&packed_b)
            } else {
                Rhs::Plain(b)
            };
            let mut scratch = vec![f32::NAN; gemm_scratch_len(ctx, m, n, k)];
            let mut out = vec![7.0; len];
            gemm(ctx, lhs, rhs, &mut out, ld, &epilogue, &mut scratch).unwrap();
            out
        },
    );
}

fn plain(m: usize, n: usize, k: usize) -> Case {
    Case {
        m,
        n,
        k,
        transpose_a: false,
        transpose_b: false,
        pack_a: false,
        pack_b: false,
        bias: 0,
        residual: false,
        act: None,
        alpha: 1.0,
        gap: 0,
    }
}

#[test]
fn table() {
    for (m, n, k) in [
        (0, 3, 3),
        (3, 0, 3),
        (3, 3, 0),
        (1, 1, 1),
        (1, 5, 9),
        (5, 1, 9),
        (1, 70, 513),
        (70, 1, 300),
        (12, 32, 256),
        (12, 32, 257),
        (13, 33, 12),
        (6, 16, 1),
        (241, 17, 40),
        (7, 513, 40),
        (25, 49, 600),
    ] {
        check(&plain(m, n, k), 1);
        check(
            &Case {
                transpose_a: true,
                bias: 1,
                ..plain(m, n, k)
            },
            2,
        );
        check(
            &Case {
                transpose_b: true,
                bias: 2,
                act: Some(Unary::Relu),
                ..plain(m, n, k)
            },
            3,
        );
        check(
            &Case {
                pack_a: true,
                residual: true,
                gap: 3,
                ..plain(m, n, k)
            },
            4,
        );
        check(
            &Case {
                pack_b: true,
                alpha: 0.5,
                act: Some(Unary::HardSwish),
                ..plain(m, n, k)
            },
            5,
        );
    }
}

#[test]
fn random_shapes() {
    let mut rng = Rng::new(42);
    for seed in 0..150 {
        let mut flag = || rng.next() >> 40 & 1 == 1;
        let [transpose_a, transpose_b, pack_a, pack_b, residual] = [flag(), flag(), flag(), flag(), flag()];
        let case = Case {
            m: rng.below(50),
            n: rng.below(80),
            k: rng.below(90),
            transpose_a,
            transpose_b,
            pack_a,
            pack_b,
            bias: rng.below(3) as u8,
            residual,
            act: [
                None,
                Some(Unary::Relu),
                Some(Unary::Clip { min: -0.5, max: 0.75 }),
                Some(Unary::HardSwish),
                Some(Unary::Sigmoid),
            ][rng.below(5)],
            alpha: [1.0, 0.125, -1.5][rng.below(3)],
            gap: rng.below(4),
        };
        check(&case, seed);
    }
}

/// Weights of 8 bits give the bytes of the f32 matrix that they stand for, on either side and for any axis.
#[test]
fn eight_bit_weights_are_their_f32_expansion() {
    let mut rng = Rng::new(7);
    for (m, n, k) in [(1, 40, 30), (13, 37, 70), (30, 64, 300)] {
        for axis in [QuantAxis::Tensor, QuantAxis::Row, QuantAxis::Col] {
            for unsigned in [false, true] {
                for left in [false, true] {
                    int8_case(&mut rng, [m, n, k], axis, unsigned, left);
                }
            }
        }
    }
}

fn int8_case(rng: &mut Rng, [m, n, k]: [usize; 3], axis: QuantAxis, unsigned: bool, left: bool) {
    let (rows, cols) = if left { (m, k) } else { (k, n) };
    let q = rng.bytes(rows * cols);
    let u: Vec<u8> = q.iter().map(|&v| v as u8).collect();
    let along = match axis {
        QuantAxis::Tensor => 1,
        QuantAxis::Row => rows,
        QuantAxis::Col => cols,
    };
    let scales: Vec<f32> = rng.vec(along).iter().map(|v| v.abs() * 0.01 + 0.001).collect();
    let zeros: Vec<i32> = rng.bytes(along).iter().map(|&v| i32::from(v)).collect();
    let quant = QuantMat {
        data: if unsigned {
            QuantData::U8(&u)
        } else {
            QuantData::I8(&q)
        },
        rows,
        cols,
        row_stride: cols,
        col_stride: 1,
        scales: &scales,
        zero_points: &zeros,
        axis,
    };
    let expanded: Vec<f32> = (0..rows * cols)
        .map(|i| {
            let s = match axis {
                QuantAxis::Tensor => 0,
                QuantAxis::Row => i / cols,
                QuantAxis::Col => i % cols,
            };
            let value = if unsigned {
                i32::from(u[i])
            } else {
                i32::from(q[i])
            };
            (value - zeros[s]) as f32 * scales[s]
        })
        .collect();
    let other = rng.vec(if left { k * n } else { m * k });
    for ctx in crate::testing::contexts() {
        let mut scratch = vec![f32::NAN; gemm_scratch_len(ctx, m, n, k)];
        let (mut got, mut want) = (vec![0.0; m * n], vec![0.0; m * n]);
        let epilogue = Epilogue::default();
        let expanded = MatRef::row_major(&expanded, rows, cols);
        if left {
            let packed = PackedA::from_int8(ctx.isa, &quant).unwrap();
            let b = Rhs::Plain(MatRef::row_major(&other, k, n));
            gemm(ctx, Lhs::Packed(&packed), b, &mut got, n, &epilogue, &mut scratch).unwrap();
            gemm(
                ctx,
                Lhs::Plain(expanded),
                b,
                &mut want,
                n,
                &epilogue,
                &mut scratch,
            )
            .unwrap();
        } else {
            let packed = PackedB::from_int8(ctx.isa, &quant).unwrap();
            assert!(packed.bytes() < 4 * rows * cols);
            let a = Lhs::Plain(MatRef::row_major(&other, m, k));
            gemm(ctx, a, Rhs::Packed(&packed), &mut got, n, &epilogue, &mut scratch).unwrap();
            gemm(
                ctx,
                a,
                Rhs::Plain(expanded),
                &mut want,
                n,
                &epilogue,
                &mut scratch,
            )
            .unwrap();
        }
        assert_eq!(
            got, want,
            "{m}x{n}x{k} {axis:?} unsigned {unsigned} left {left} on {ctx:?}"
        );
    }
}

#[test]
fn batches() {
    let (count, m, n, k) = (5, 7, 9, 11);
    let mut rng = Rng::new(3);
    let (a, b) = (rng.vec(count * m * k), rng.vec(count * k * n));
    // Heads side by side in each row of the output, and one matrix after the other.
    for (ld, out_stride) in [(n, m * n), (count * n, n)] {
        for rhs_stride in [0, k * n] {
            let mut want = vec![0.0; count * m * n];
            for c in 0..count {
                for i in 0..m {
                    for j in 0..n {
                        want[c * out_stride + i * ld + j] = (0..k)
                            .map(|p| {
                                f64::from(a[c * m * k + i * k + p]) * f64::from(b[c * rhs_stride + p * n + j])
                            })
                            .sum();
                    }
                }
            }
            check_all(
                "batch",
                &want,
                |_| 1e-5,
                |ctx| {
                    let batch = Batch {
                        count,
                        lhs_stride: m * k,
                        rhs_stride,
                        out_stride,
                    };
                    let (a, b) = (MatRef::row_major(&a, m, k), MatRef::row_major(&b, k, n));
                    let mut out = vec![0.0; count * m * n];
                    let mut scratch = vec![0.0; gemm_batched_scratch_len(ctx, count, m, n, k)];
                    gemm_batched(ctx, batch, a, b, &mut out, ld, &Epilogue::default(), &mut scratch).unwrap();
                    out
                },
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let ctx = Ctx::inline(sanderling_simd::Best::detect());
    let data = [0.0; 12];
    let (a, b) = (MatRef::row_major(&data, 3, 4), MatRef::row_major(&data, 4, 3));
    let mut out = [0.0; 9];
    let mut scratch = vec![0.0; gemm_scratch_len(ctx, 3, 3, 4)];
    let epilogue = Epilogue::default();
    let mut run = |a, b, out: &mut [f32], ld, epilogue: &Epilogue<'_>| {
        gemm(ctx, Lhs::Plain(a), Rhs::Plain(b), out, ld, epilogue, &mut scratch)
    };
    assert!(run(a, b, &mut out, 3, &epilogue).is_ok());
    assert!(run(a, a, &mut out, 3, &epilogue).is_err());
    assert!(run(a, b, &mut out[..8], 3, &epilogue).is_err());
    assert!(run(a, b, &mut out, 2, &epilogue).is_err());
    assert!(
        run(
            MatRef {
                data: &data[..11],
                ..a
            },
            b,
            &mut out,
            3,
            &epilogue
        )
        .is_err()
    );
    assert!(
        run(
            MatRef {
                row_stride: usize::MAX / 2,
                ..a
            },
            b,
            &mut out,
            3,
            &epilogue
        )
        .is_err()
    );
    let short = Epilogue {
        bias: Bias::PerRow(&data[..2]),
        ..epilogue
    };
    assert!(run(a, b, &mut out, 3, &short).is_err());
    assert!(gemm(ctx, Lhs::Plain(a), Rhs::Plain(b), &mut out, 3, &epilogue, &mut []).is_err());
    let packed = PackedB::new(sanderling_simd::Best::scalar(), b).unwrap();
    if ctx.isa != sanderling_simd::Best::scalar() {
        let refused = gemm(
            ctx,
            Lhs::Plain(a),
            Rhs::Packed(&packed),
            &mut out,
            3,
            &epilogue,
            &mut scratch,
        );
        assert!(matches!(refused, Err(crate::Error::OtherIsa { .. })));
    }
}
