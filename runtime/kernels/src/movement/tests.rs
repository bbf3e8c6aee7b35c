//! Movement against index arithmetic, for all permutations and several element sizes.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::Rng;

/// All orders of `0..n`.
fn permutations(n: usize) -> Vec<Vec<usize>> {
    if n == 0 {
        return vec![vec![]];
    }
    let mut out = vec![];
    for rest in permutations(n - 1) {
        for at in 0..n {
            let mut p = rest.clone();
            p.insert(at, n - 1);
            out.push(p);
        }
    }
    out
}

fn check_transpose<T: Copy + PartialEq + std::fmt::Debug + Default>(
    shape: &[usize],
    perm: &[usize],
    make: impl Fn(usize) -> T,
) {
    let len: usize = shape.iter().product();
    let x: Vec<T> = (0..len).map(make).collect();
    let mut y = vec![T::default(); len];
    transpose(&x, shape, perm, &mut y).unwrap();
    for (i, &got) in y.iter().enumerate() {
        let (mut rest, mut at) = (i, 0);
        for &p in perm.iter().rev() {
            at += rest % shape[p] * shape[p + 1..].iter().product::<usize>();
            rest /= shape[p];
        }
        assert_eq!(got, x[at], "{shape:?} {perm:?} at {i}");
    }
}

#[test]
fn every_permutation() {
    for shape in [
        &[][..],
        &[5],
        &[40, 33],
        &[3, 17, 20],
        &[2, 19, 1, 18],
        &[2, 3, 4, 3, 2],
        &[2, 2, 3, 1, 2, 3],
    ] {
        for perm in permutations(shape.len()) {
            check_transpose(shape, &perm, |i| i as f32);
            check_transpose(shape, &perm, |i| i as u8);
            check_transpose(shape, &perm, |i| i as u64);
        }
    }
    let mut y = [0.0; 6];
    assert!(transpose(&[0.0; 6], &[2, 3], &[0, 0], &mut y).is_err());
    assert!(transpose(&[0.0; 6], &[2, 3], &[0], &mut y).is_err());
    assert!(transpose(&[0.0; 5], &[2, 3], &[1, 0], &mut y).is_err());
}

#[test]
fn strides_of_either_sign_and_zero() {
    let mut rng = Rng::new(4);
    for _ in 0..300 {
        let rank = rng.below(5);
        let shape: Vec<usize> = (0..rank).map(|_| 1 + rng.below(6)).collect();
        let strides: Vec<isize> = (0..rank).map(|_| rng.below(9) as isize - 4).collect();
        let reach = |s: isize| {
            shape
                .iter()
                .zip(&strides)
                .map(|(&d, &t)| (t * s).max(0) as usize * (d - 1))
                .sum()
        };
        let (before, behind): (usize, usize) = (reach(-1), reach(1));
        let x: Vec<i16> = (0..(before + behind + 1) as i16).collect();
        let len: usize = shape.iter().product();
        let mut y = vec![0; len];
        strided_copy(&x, before, &shape, &strides, &mut y).unwrap();
        for (i, &got) in y.iter().enumerate() {
            let (mut rest, mut at) = (i, before as isize);
            for (d, s) in shape.iter().zip(&strides).rev() {
                at += (rest % d) as isize * s;
                rest /= d;
            }
            assert_eq!(got, x[at as usize]);
        }
        if before > 0 {
            assert!(strided_copy(&x, before - 1, &shape, &strides, &mut y).is_err());
        }
        assert!(strided_copy(&x, before + 1, &shape, &strides, &mut y).is_err());
    }
}

#[test]
fn gathers() {
    let axis = Axis {
        outer: 2,
        len: 3,
        inner: 2,
    };
    let x: Vec<u8> = (0..12).collect();
    let mut y = [0; 16];
    gather(axis, &x, &[2, 0, -1, -3], &mut y).unwrap();
    assert_eq!(y, [4, 5, 0, 1, 4, 5, 0, 1, 10, 11, 6, 7, 10, 11, 6, 7]);
    assert!(gather(axis, &x, &[3], &mut y).is_err());
    assert!(gather(axis, &x, &[-4], &mut y).is_err());
    assert!(gather(axis, &x, &[0; 5], &mut y).is_err());
    gather(Axis { inner: 1, ..axis }, &x, &[1], &mut y).unwrap();
    assert_eq!(y[..2], [1, 4]);
}
