//! What the kernels' tests share: numbers, contexts, comparison.

use std::vec::Vec;

use sanderling_simd::Best;

use crate::ctx::{Ctx, Parallel, Task};

/// A small generator (xorshift64*), so that failures repeat.
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }

    /// In −1 … 1.
    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub(crate) fn vec(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.unit()).collect()
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<i8> {
        (0..len).map(|_| self.next() as i8).collect()
    }
}

/// Claims several workers and runs tasks backwards, each on another worker: what a pool may do, made repeatable.
pub(crate) struct Backwards;

// SAFETY: one loop, each index once, workers below threads().
unsafe impl Parallel for Backwards {
    fn threads(&self) -> usize {
        3
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(Task) + Sync)) {
        for index in (0..tasks).rev() {
            f(Task {
                index,
                worker: index % 3,
            });
        }
    }
}

/// Every instruction set of this machine, with one thread and with several.
pub(crate) fn contexts() -> Vec<Ctx<'static>> {
    Best::available()
        .flat_map(|isa| [Ctx::inline(isa), Ctx::new(isa, &Backwards)])
        .collect()
}

/// Whether the instruction set rounds multiply-adds once: all that do must give the same bytes.
pub(crate) fn fused(isa: Best) -> bool {
    !matches!(isa.name(), "scalar" | "simd128")
}

/// Runs `f` in every context; results must be within `bound(i)` of `want[i]`, and the same bytes for any thread count
/// and for every instruction set with fused multiply-add.
pub(crate) fn check_all(
    what: &str,
    want: &[f64],
    bound: impl Fn(usize) -> f64,
    mut f: impl FnMut(Ctx<'_>) -> Vec<f32>,
) {
    let mut fused_bits: Option<Vec<u32>> = None;
    let mut last: Option<(Best, Vec<u32>)> = None;
    for ctx in contexts() {
        let got = f(ctx);
        assert_eq!(got.len(), want.len(), "{what}");
        for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
            let same = f64::from(g) == w || (g.is_nan() && w.is_nan());
            let error = (f64::from(g) - w).abs();
            assert!(
                same || error <= bound(i),
                "{what} on {ctx:?}: element {i} is {g}, not {w}: off by {error:e}, bound {:e}",
                bound(i)
            );
        }
        let bits: Vec<u32> = got
            .iter()
            .map(|v| if v.is_nan() { 0x7fc0_0000 } else { v.to_bits() })
            .collect();
        if let Some((isa, before)) = &last
            && *isa == ctx.isa
        {
            assert!(*before == bits, "{what} on {ctx:?}: the thread count shows");
        }
        if fused(ctx.isa) {
            let first = fused_bits.get_or_insert_with(|| bits.clone());
            assert!(
                *first == bits,
                "{what} on {ctx:?}: bytes differ between fused instruction sets"
            );
        }
        last = Some((ctx.isa, bits));
    }
}
