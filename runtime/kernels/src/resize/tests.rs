//! Resizing against the definition.

use std::vec;
use std::vec::Vec;

use super::*;
use crate::testing::{Rng, check_all};

#[test]
fn nearest_and_linear() {
    let mut rng = Rng::new(1);
    for (planes, h, w, oh, ow) in [
        (1, 1, 1, 3, 3),
        (3, 5, 7, 10, 14),
        (2, 20, 9, 7, 40),
        (2, 4, 4, 4, 4),
    ] {
        let x = rng.vec(planes * h * w);
        let rows: Vec<u32> = (0..oh).map(|i| (i * h / oh) as u32).collect();
        let cols: Vec<u32> = (0..ow).map(|i| (i * w / ow) as u32).collect();
        let mut y = vec![0.0; planes * oh * ow];
        resize_nearest(planes, [h, w], &x, &rows, &cols, &mut y).unwrap();
        for (i, &got) in y.iter().enumerate() {
            let (p, r, c) = (i / ow / oh, rows[i / ow % oh] as usize, cols[i % ow] as usize);
            assert_eq!(got, x[(p * h + r) * w + c]);
        }
        let mut taps = |n: usize, from: usize| -> Vec<Tap> {
            let mut tap = || {
                let lo = rng.below(from) as u32;
                Tap {
                    lo,
                    hi: (lo + 1).min(from as u32 - 1),
                    t: rng.unit().abs(),
                }
            };
            (0..n).map(|_| tap()).collect()
        };
        let (rows, cols) = (taps(oh, h), taps(ow, w));
        let want: Vec<f64> = (0..planes * oh * ow)
            .map(|i| {
                let (p, r, c) = (i / ow / oh, rows[i / ow % oh], cols[i % ow]);
                let at = |r: u32, c: u32| f64::from(x[(p * h + r as usize) * w + c as usize]);
                let blend = |a: f64, b: f64, t: f32| a + (b - a) * f64::from(t);
                blend(
                    blend(at(r.lo, c.lo), at(r.lo, c.hi), c.t),
                    blend(at(r.hi, c.lo), at(r.hi, c.hi), c.t),
                    r.t,
                )
            })
            .collect();
        check_all(
            "linear",
            &want,
            |_| 5e-7,
            |ctx| {
                let mut y = vec![7.0; want.len()];
                resize_linear(ctx, planes, [h, w], &x, &rows, &cols, &mut y).unwrap();
                y
            },
        );
        let ctx = Ctx::inline(sanderling_simd::Best::detect());
        let outside = [Tap {
            lo: 0,
            hi: h as u32,
            t: 0.5,
        }];
        assert!(resize_linear(ctx, planes, [h, w], &x, &outside, &cols, &mut y).is_err());
        assert!(resize_nearest(planes, [h, w], &x, &[h as u32], &[0], &mut y).is_err());
    }
}
