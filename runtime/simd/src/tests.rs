//! Every token against the scalar one, bit for bit, over awkward values and all tail lengths.

use std::vec::Vec;

use super::*;

const AWKWARD: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.5,
    -3.5,
    1e-40,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    8_388_609.0,
    -16_777_216.0,
    3.4e38,
    -7.25,
    123.456,
];

/// Applies `f` to whole vectors of awkward pairs and gathers the bits of what comes out; NaNs count as one value.
fn over<I: Isa>(isa: I, f: impl Fn(I, I::F, I::F) -> I::F) -> Vec<u32> {
    let mut out = Vec::new();
    for shift in 0..16 {
        for start in (0..16).step_by(I::LANES) {
            let a: Vec<f32> = (0..I::LANES).map(|i| AWKWARD[start + i]).collect();
            let b: Vec<f32> = (0..I::LANES).map(|i| AWKWARD[(start + i + shift) % 16]).collect();
            let mut y = [0.0; 16];
            isa.store(&mut y, f(isa, isa.load(&a), isa.load(&b)));
            out.extend(
                y[..I::LANES]
                    .iter()
                    .map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }),
            );
        }
    }
    out
}

struct AllOps;

impl SimdOp for AllOps {
    type Output = Vec<Vec<u32>>;
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> Self::Output {
        std::vec![
            over(isa, |s, a, b| s.add(a, b)),
            over(isa, |s, a, b| s.sub(a, b)),
            over(isa, |s, a, b| s.mul(a, b)),
            over(isa, |s, a, b| s.div(a, b)),
            over(isa, |s, a, b| s.min(a, b)),
            over(isa, |s, a, b| s.max(a, b)),
            over(isa, |s, a, _| s.sqrt(a)),
            over(isa, |s, a, _| s.round_ties_even(a)),
            over(isa, |s, a, _| s.neg(a)),
            over(isa, |s, a, _| s.abs(a)),
            over(isa, |s, a, b| s.copysign(a, b)),
            over(isa, |s, a, b| s.select(s.lt(a, b), a, b)),
            over(isa, |s, a, b| s.select(s.le(a, b), a, b)),
            over(isa, |s, a, b| s.select(s.eq(a, b), s.splat(1.0), b)),
            over(isa, |s, a, b| s.select(s.gt(a, b), a, s.zero())),
            over(isa, |s, a, b| s.select(s.ge(a, b), a, s.zero())),
            over(isa, |s, a, b| s.select(
                s.mask_and(s.lt(a, b), s.lt(a, s.zero())),
                a,
                b
            )),
            over(isa, |s, a, b| s.select(
                s.mask_or(s.lt(a, b), s.lt(a, s.zero())),
                a,
                b
            )),
            over(isa, |s, a, b| s.clamp(a, s.splat(-1.0), s.max(s.zero(), b))),
            over(isa, |s, a, b| s.with_bits(s.add_i(s.to_bits(a), s.to_bits(b)))),
            over(isa, |s, a, b| s.with_bits(s.sub_i(s.to_bits(a), s.to_bits(b)))),
            over(isa, |s, a, b| s.with_bits(s.xor_i(s.to_bits(a), s.to_bits(b)))),
            over(isa, |s, a, b| s.with_bits(
                s.or_i(s.to_bits(a), s.and_i(s.to_bits(b), s.splat_i(255)))
            )),
            over(isa, |s, a, _| s.to_f32(s.to_bits(a))),
            over(isa, |s, a, b| s.with_bits(s.dot_i16(
                s.to_bits(b),
                s.to_bits(a),
                s.xor_i(s.to_bits(b), s.splat_i(-1))
            ))),
            over(isa, |s, a, b| s.with_bits(s.dot_i8(
                s.to_bits(b),
                s.to_bits(a),
                s.and_i(s.xor_i(s.to_bits(b), s.splat_i(-1)), s.splat_i(0x7f7f_7f7f))
            ))),
            over(isa, |s, a, _| s.with_bits(s.shl_i::<3>(s.to_bits(a)))),
            over(isa, |s, a, _| s.with_bits(s.shr_i::<23>(s.to_bits(a)))),
            over(isa, |s, a, _| s.to_f32(s.to_i32(s.clamp(
                a,
                s.splat(-1e9),
                s.splat(1e9)
            )))),
        ]
    }
}

/// NaN in, and what `to_i32` of it is, differs by architecture: those lanes are left out by clamping first, and a
/// NaN that passes the clamp is made zero here.
fn without_nan_conversion(mut r: Vec<Vec<u32>>) -> Vec<Vec<u32>> {
    let last = r.last_mut().expect("the list above is not empty");
    for (i, v) in last.iter_mut().enumerate() {
        if AWKWARD[i % 16].is_nan() {
            *v = 0;
        }
    }
    r
}

#[test]
fn every_token_agrees_with_scalar() {
    let want = without_nan_conversion(Best::scalar().dispatch(AllOps));
    for best in Best::available() {
        let got = without_nan_conversion(best.dispatch(AllOps));
        for (op, (g, w)) in got.iter().zip(&want).enumerate() {
            assert_eq!(g, w, "operation {op} on {}", best.name());
        }
    }
}

struct Memory;

impl SimdOp for Memory {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let x: Vec<f32> = (1..=I::LANES as i32).map(|v| v as f32).collect();
        for n in 0..=I::LANES {
            let v = isa.load_partial(&x[..n]);
            let mut whole = std::vec![9.0; I::LANES];
            isa.store(&mut whole, v);
            assert!(
                whole
                    .iter()
                    .enumerate()
                    .all(|(i, &w)| w == if i < n { x[i] } else { 0.0 })
            );
            let mut part = std::vec![9.0; I::LANES];
            isa.store_partial(&mut part[..n], isa.load(&x));
            assert!(
                part.iter()
                    .enumerate()
                    .all(|(i, &w)| w == if i < n { x[i] } else { 9.0 })
            );
        }
        let bytes: Vec<i8> = (0..I::LANES as i8).map(|v| v * 5 - 100).collect();
        let mut y = std::vec![0.0; I::LANES];
        // SAFETY: there are LANES bytes.
        isa.store(&mut y, isa.to_f32(unsafe { isa.load_i8(bytes.as_ptr()) }));
        assert!(y.iter().zip(&bytes).all(|(&f, &b)| f == f32::from(b)));
        let bytes: Vec<u8> = (0..I::LANES as u8).map(|v| v * 13 + 50).collect();
        let mut stored = std::vec![7u8; I::LANES + 1];
        // SAFETY: there are LANES bytes in each.
        unsafe {
            let wide = isa.load_u8(bytes.as_ptr());
            isa.store(&mut y, isa.to_f32(wide));
            isa.store_u8(stored.as_mut_ptr(), isa.add_i(wide, isa.splat_i(-256)));
        }
        assert!(y.iter().zip(&bytes).all(|(&f, &b)| f == f32::from(b)));
        assert_eq!((&stored[..I::LANES], stored[I::LANES]), (&bytes[..], 7));
    }
}

#[test]
fn partial_loads_and_stores_touch_no_more_than_they_say() {
    Best::available().for_each(|best| best.dispatch(Memory));
}

/// Four products of bytes a lane, against plain loops.
struct Bytes;

impl SimdOp for Bytes {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let signed = [i8::MIN, i8::MAX, -1, 0, 1, 77, -93];
        let small = [127, 127, 0, 1, 64, 3];
        for turn in 0..signed.len() * small.len() {
            let a: Vec<[i8; 4]> = (0..I::LANES)
                .map(|lane| [0, 1, 2, 3].map(|i| signed[(turn + lane * i + i) % signed.len()]))
                .collect();
            let b: Vec<[i8; 4]> = (0..I::LANES)
                .map(|lane| [0, 1, 2, 3].map(|i| small[(turn + lane + i) % small.len()]))
                .collect();
            let word = |bytes: &[i8; 4]| f32::from_bits(u32::from_le_bytes(bytes.map(|b| b as u8)));
            let vector = |rows: &[[i8; 4]]| {
                let words: Vec<f32> = rows.iter().map(word).collect();
                isa.to_bits(isa.load(&words))
            };
            let mut y = std::vec![0.0; I::LANES];
            let sums = isa.dot_i8(isa.splat_i(i32::MAX - 40_000), vector(&a), vector(&b));
            isa.store(&mut y, isa.with_bits(sums));
            for (lane, y) in y.iter().enumerate() {
                let products = a[lane].iter().zip(&b[lane]);
                let sum: i32 = products.map(|(&a, &b)| i32::from(a) * i32::from(b)).sum();
                let want = (i32::MAX - 40_000).wrapping_add(sum);
                assert_eq!(
                    y.to_bits().cast_signed(),
                    want,
                    "{:?} with {:?}",
                    a[lane],
                    b[lane]
                );
            }
        }
    }
}

#[test]
fn products_of_bytes_are_whole() {
    Best::available().for_each(|best| best.dispatch(Bytes));
}

struct Lanes;

impl SimdOp for Lanes {
    type Output = ();
    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let n = I::LANES;
        let x: Vec<f32> = (0..2 * n).map(|v| ((v * 7) % 31) as f32).collect();
        let (a, b) = (isa.load(&x), isa.load(&x[n..]));
        let mut y = std::vec![0.0; 2 * n];
        let (lo, hi) = isa.interleave(a, b);
        isa.store(&mut y, lo);
        isa.store(&mut y[n..], hi);
        assert!((0..n).all(|i| y[2 * i] == x[i] && y[2 * i + 1] == x[n + i]));
        let (even, odd) = isa.deinterleave(a, b);
        isa.store(&mut y, even);
        isa.store(&mut y[n..], odd);
        assert!((0..n).all(|i| y[i] == x[2 * i] && y[n + i] == x[2 * i + 1]));
        assert_eq!(isa.reduce_sum(a), x[..n].iter().sum::<f32>());
        assert_eq!(isa.reduce_max(a), x[..n].iter().copied().fold(f32::MIN, f32::max));
        assert_eq!(isa.reduce_min(a), x[..n].iter().copied().fold(f32::MAX, f32::min));
        let fused = isa.mul_add(
            isa.splat(1.0 + f32::EPSILON),
            isa.splat(1.0 - f32::EPSILON),
            isa.splat(-1.0),
        );
        assert_eq!(isa.reduce_max(fused) != 0.0, I::FUSED);
        let fused = isa.neg_mul_add(
            isa.splat(1.0 + f32::EPSILON),
            isa.splat(1.0 - f32::EPSILON),
            isa.splat(1.0),
        );
        assert_eq!(isa.reduce_max(fused) != 0.0, I::FUSED);
    }
}

#[test]
fn lanes_are_moved_and_reduced_in_order() {
    Best::available().for_each(|best| best.dispatch(Lanes));
}

#[test]
fn names_find_their_tokens() {
    for best in Best::available() {
        assert_eq!(Best::by_name(best.name()), Some(best));
    }
    assert_eq!(Best::by_name("mmx"), None);
    assert!(Best::available().any(|b| b == Best::detect()));
}
