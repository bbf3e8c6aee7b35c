//! Sliding windows over one plane, as sums of shifted vectors.
//!
//! # Mental model
//!
//! A window of kernel kh×kw, strides (sh, sw) and dilations (dh, dw) reads, for output (oy, ox) and tap (r, s), the
//! padded input at row oy·sh + r·dh and column ox·sw + s·dw. Split the padded plane into sh·sw *phases*, phase (p, q)
//! holding the rows ≡ p mod sh and columns ≡ q mod sw, all with one pitch P. Then the element is in phase
//! (r·dh mod sh, s·dw mod sw), at (oy + r·dh/sh)·P + ox + s·dw/sw: **a fixed offset for each tap, plus oy·P + ox**. With
//! i = oy·P + ox, an output is `fold over taps of f(phases[offset[tap] + i])` for consecutive i: whole vectors whatever
//! the stride, the border or the width of the plane; the few columns between the output's width and P are computed in
//! vain and dropped when rows are copied out.
//!
//! Rows are taken in *bands* whose phases and sums fit the L1 cache.

use core::ops::Range;

use sanderling_simd::Isa;

use crate::error::{Error, Result, rule};
use crate::reduce::Fold;

/// f32 that a band may take: 32 KiB of the L1 cache, as long as single rows are not longer.
const BAND: usize = 8 * 1024;
/// Spare elements that the last vector of a band may run over.
const SPARE: usize = 16;

/// The geometry of a sliding window over one plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) in_h: usize,
    pub(crate) in_w: usize,
    pub(crate) out_h: usize,
    pub(crate) out_w: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) strides: [usize; 2],
    pub(crate) dilations: [usize; 2],
    /// Above and to the left.
    pub(crate) pads: [usize; 2],
}

impl Window {
    /// Rows and columns exchanged.
    pub(crate) fn turned(self) -> Self {
        let turn = |[a, b]: [usize; 2]| [b, a];
        Window {
            in_h: self.in_w,
            in_w: self.in_h,
            out_h: self.out_w,
            out_w: self.out_h,
            kernel: turn(self.kernel),
            strides: turn(self.strides),
            dilations: turn(self.dilations),
            pads: turn(self.pads),
        }
    }
}

/// The output size along one dimension: `(in + pads − (kernel − 1)·dilation − 1) / stride + 1`, rounded up with
/// `ceil_mode`, in which case a window must not start behind the input and its left padding (ONNX's rule).
pub(crate) fn out_len(
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: (usize, usize),
    ceil_mode: bool,
) -> Option<usize> {
    if kernel == 0 || stride == 0 || dilation == 0 {
        return None;
    }
    let span = (kernel - 1).checked_mul(dilation)?.checked_add(1)?;
    let free = input
        .checked_add(pads.0)?
        .checked_add(pads.1)?
        .checked_sub(span)?;
    if !ceil_mode {
        return Some(free / stride + 1);
    }
    let out = free.div_ceil(stride) + 1;
    let starts_behind = (out - 1) * stride >= input + pads.0;
    Some(if starts_behind { out - 1 } else { out })
}

/// How a window's plane is cut into bands and phases.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bands {
    window: Window,
    /// Elements from one row of a phase to the next.
    pitch: usize,
    /// Output rows of a band.
    pub(crate) rows: usize,
    /// Rows of a phase beyond the band's: what the lowest taps reach.
    halo: usize,
}

impl Bands {
    /// Chooses the bands.
    pub(crate) fn new(kernel: &'static str, window: Window) -> Result<Self> {
        let Window {
            out_h,
            out_w,
            kernel: [kh, kw],
            strides: [sh, sw],
            dilations: [dh, dw],
            ..
        } = window;
        rule(
            kernel,
            kh > 0 && kw > 0 && sh > 0 && sw > 0,
            "kernel and strides must be at least 1",
        )?;
        let overflow = Error::Overflow { kernel };
        let reach = |k: usize, d: usize, s: usize| (k - 1).checked_mul(d).map(|r| r / s);
        let halo = reach(kh, dh, sh).ok_or(overflow)?;
        let pitch = reach(kw, dw, sw)
            .and_then(|r| r.checked_add(out_w))
            .ok_or(overflow)?;
        let row = pitch.checked_mul(sh * sw + 1).ok_or(overflow)?;
        let rows = (BAND / row.max(1)).saturating_sub(halo).clamp(1, out_h.max(1));
        Ok(Bands {
            window,
            pitch,
            rows,
            halo,
        })
    }

    /// Elements of one phase.
    fn phase(&self) -> usize {
        (self.rows + self.halo) * self.pitch
    }

    /// The phases; the last taps of the last row run over by less than a row and [`SPARE`].
    fn phases(&self) -> usize {
        let [sh, sw] = self.window.strides;
        self.phase() * sh * sw + self.pitch + SPARE
    }

    /// Scratch: the phases, then the sums.
    pub(crate) fn scratch_len(&self) -> usize {
        self.phases() + self.rows * self.pitch + SPARE
    }

    /// Bands of the plane, as ranges of output rows.
    pub(crate) fn iter(self) -> impl Iterator<Item = Range<usize>> {
        let (rows, out_h) = (self.rows, self.window.out_h);
        (0..out_h)
            .step_by(rows)
            .map(move |start| start..(start + rows).min(out_h))
    }

    /// The two parts of the scratch: phases and sums.
    pub(crate) fn split<'a>(&self, scratch: &'a mut [f32]) -> (&'a mut [f32], &'a mut [f32]) {
        scratch.split_at_mut(self.phases())
    }

    /// Where tap (r, s) starts in the phases.
    pub(crate) fn offset(&self, r: usize, s: usize) -> usize {
        let Window {
            strides: [sh, sw],
            dilations: [dh, dw],
            ..
        } = self.window;
        let (y, x) = (r * dh, s * dw);
        ((y % sh) * sw + x % sw) * self.phase() + y / sh * self.pitch + x / sw
    }

    /// Whether one band is the whole plane: padding then lies where it lay in the plane before.
    pub(crate) fn single(&self) -> bool {
        self.rows >= self.window.out_h
    }

    /// Fills the phases with what output rows `band` need of `plane`. With `pad`, that value is put around it; without,
    /// the padding of an earlier plane is still there.
    #[inline(always)]
    pub(crate) fn fill<I: Isa>(
        &self,
        isa: I,
        plane: &[f32],
        band: &Range<usize>,
        pad: Option<f32>,
        phases: &mut [f32],
    ) {
        let Window {
            in_h,
            in_w,
            strides: [sh, sw],
            pads: [top, left],
            ..
        } = self.window;
        let rows = band.len() + self.halo;
        for p in 0..sh {
            // Row i of the phase is row (band.start + i)·sh + p − top of the plane.
            let behind = band.start * sh + p;
            let within = inside(top, behind, sh, in_h, rows);
            let source = within.start * sh + behind - top.min(within.start * sh + behind);
            let phase = |q: usize| (p * sw + q) * self.phase();
            for q in 0..sw {
                let columns = inside(left, q, sw, in_w, self.pitch);
                if let Some(pad) = pad {
                    self.pad(&mut phases[phase(q)..], rows, &within, &columns, pad);
                }
                let from = (columns.start * sw + q).saturating_sub(left);
                // With a stride of 2 both phases of a row are taken from one reading of it (below).
                if sw != 2 && !columns.is_empty() {
                    for (i, row) in within.clone().enumerate() {
                        let source = &plane[(source + i * sh) * in_w..][..in_w];
                        let to = &mut phases[phase(q) + row * self.pitch..][columns.clone()];
                        copy_strided(isa, &source[from..], sw, to);
                    }
                }
            }
            if sw == 2 {
                let columns = [
                    inside(left, 0, 2, in_w, self.pitch),
                    inside(left, 1, 2, in_w, self.pitch),
                ];
                for (i, row) in within.clone().enumerate() {
                    let source = &plane[(source + i * sh) * in_w..][..in_w];
                    let at = [0, 1].map(|q| phase(q) + row * self.pitch + columns[q].start);
                    let lens = [columns[0].len(), columns[1].len()];
                    split(isa, source, left % 2, phases, at, lens);
                }
            }
        }
    }

    /// Puts `pad` around what a phase holds of the plane.
    fn pad(&self, phase: &mut [f32], rows: usize, within: &Range<usize>, columns: &Range<usize>, pad: f32) {
        phase[..within.start * self.pitch].fill(pad);
        phase[within.end * self.pitch..rows * self.pitch].fill(pad);
        for row in within.clone() {
            let row = &mut phase[row * self.pitch..][..self.pitch];
            row[..columns.start].fill(pad);
            row[columns.end..].fill(pad);
        }
    }

    /// Folds all taps into the sums.
    ///
    /// A tap is its offset and its weight; with `more`, the sums already hold earlier taps.
    #[inline(always)]
    pub(crate) fn fold<I: Isa, F: Taps>(
        &self,
        isa: I,
        rows: usize,
        taps: (&[usize], &[f32]),
        phases: &[f32],
        sums: &mut [f32],
        more: bool,
    ) {
        let len = rows * self.pitch;
        let furthest = taps.0.iter().copied().max().unwrap_or(0);
        assert!(furthest + len + I::LANES <= phases.len() && len + I::LANES <= sums.len());
        let mut i = 0;
        while i < len {
            let vectors = (len - i).div_ceil(I::LANES);
            // SAFETY: a block starts before len and ends less than a vector behind it.
            i += I::LANES
                * unsafe {
                    match vectors {
                        8.. => block::<I, F, 8>(
                            isa,
                            taps,
                            phases.as_ptr().add(i),
                            sums.as_mut_ptr().add(i),
                            more,
                        ),
                        4.. => block::<I, F, 4>(
                            isa,
                            taps,
                            phases.as_ptr().add(i),
                            sums.as_mut_ptr().add(i),
                            more,
                        ),
                        2.. => block::<I, F, 2>(
                            isa,
                            taps,
                            phases.as_ptr().add(i),
                            sums.as_mut_ptr().add(i),
                            more,
                        ),
                        _ => block::<I, F, 1>(
                            isa,
                            taps,
                            phases.as_ptr().add(i),
                            sums.as_mut_ptr().add(i),
                            more,
                        ),
                    }
                };
        }
    }

    /// The sums of the `row`th output row of the band.
    pub(crate) fn row<'a>(&self, sums: &'a [f32], row: usize) -> &'a [f32] {
        &sums[row * self.pitch..][..self.window.out_w]
    }
}

/// Folds all taps into N vectors of sums; gives N.
///
/// # Safety
/// N vectors of `sums`, and of `phases` from each offset, are accessible.
#[inline(always)]
unsafe fn block<I: Isa, F: Taps, const N: usize>(
    isa: I,
    (offsets, weights): (&[usize], &[f32]),
    phases: *const f32,
    sums: *mut f32,
    more: bool,
) -> usize {
    let mut acc = [isa.splat(F::START); N];
    // SAFETY: by contract.
    unsafe {
        if more {
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = isa.load_ptr(sums.add(v * I::LANES));
            }
        }
        for (&offset, &weight) in offsets.iter().zip(weights) {
            let weight = isa.splat(weight);
            for (v, acc) in acc.iter_mut().enumerate() {
                *acc = F::step(isa, *acc, isa.load_ptr(phases.add(offset + v * I::LANES)), weight);
            }
        }
        for (v, &acc) in acc.iter().enumerate() {
            isa.store_ptr(sums.add(v * I::LANES), acc);
        }
    }
    N
}

/// What is done with an element under a tap.
pub(crate) trait Taps {
    /// The start of an accumulator.
    const START: f32;
    /// `acc` with the element x under a tap of this weight.
    fn step<I: Isa>(isa: I, acc: I::F, x: I::F, weight: I::F) -> I::F;
}

/// Σ x·w.
pub(crate) struct Weighted;

impl Taps for Weighted {
    const START: f32 = 0.0;
    #[inline(always)]
    fn step<I: Isa>(isa: I, acc: I::F, x: I::F, weight: I::F) -> I::F {
        isa.mul_add(x, weight, acc)
    }
}

/// A fold that does not look at weights.
pub(crate) struct Unweighted<F>(core::marker::PhantomData<F>);

impl<F: Fold> Taps for Unweighted<F> {
    const START: f32 = F::IDENTITY;
    #[inline(always)]
    fn step<I: Isa>(isa: I, acc: I::F, x: I::F, _: I::F) -> I::F {
        F::step(isa, acc, x)
    }
}

/// The i below `len` for which i·step + shift − front lies in 0..input; empty where there are none.
#[inline(always)]
fn inside(front: usize, shift: usize, step: usize, input: usize, len: usize) -> Range<usize> {
    let first = front.saturating_sub(shift).div_ceil(step).min(len);
    let last = (input + front)
        .saturating_sub(shift)
        .div_ceil(step)
        .clamp(first, len);
    first..last
}

/// `to[i] = from[i · step]`.
#[inline(always)]
fn copy_strided<I: Isa>(isa: I, from: &[f32], step: usize, to: &mut [f32]) {
    if step == 1 {
        return copy(isa, &from[..to.len()], to);
    }
    for (to, from) in to.iter_mut().zip(from.iter().step_by(step)) {
        *to = *from;
    }
}

/// Takes a row apart into both phases of a stride of 2: phase `even`, which starts at `at[even]`, gets the elements of
/// even index, the other one the rest; `lens` of them each.
#[inline(always)]
fn split<I: Isa>(isa: I, source: &[f32], even: usize, phases: &mut [f32], at: [usize; 2], lens: [usize; 2]) {
    let (even_at, odd_at) = (at[even], at[1 - even]);
    let (even, odd) = (lens[even], lens[1 - even]);
    let mut i = 0;
    while i < even.max(odd) {
        let rest = &source[(2 * i).min(source.len())..];
        let (first, second) = rest.split_at(rest.len().min(I::LANES));
        let second = &second[..second.len().min(I::LANES)];
        let (a, b) = isa.deinterleave(isa.load_partial(first), isa.load_partial(second));
        let n = even.saturating_sub(i).min(I::LANES);
        isa.store_partial(&mut phases[even_at + i..][..n], a);
        let n = odd.saturating_sub(i).min(I::LANES);
        isa.store_partial(&mut phases[odd_at + i..][..n], b);
        i += I::LANES;
    }
}

/// `to[i] = from[2i]`.
#[inline(always)]
pub(crate) fn copy_even<I: Isa>(isa: I, from: &[f32], to: &mut [f32]) {
    assert!(to.is_empty() || from.len() > 2 * (to.len() - 1));
    for (from, to) in from.chunks(2 * I::LANES).zip(to.chunks_mut(I::LANES)) {
        // Two vectors of the source hold one of the destination.
        let (first, second) = from.split_at(from.len().min(I::LANES));
        let (even, _) = isa.deinterleave(isa.load_partial(first), isa.load_partial(second));
        isa.store_partial(to, even);
    }
}

/// Copies a short row without a call: whole vectors, the last of which overlaps the one before.
#[inline(always)]
pub(crate) fn copy<I: Isa>(isa: I, from: &[f32], to: &mut [f32]) {
    let n = from.len();
    assert!(to.len() == n);
    if n < I::LANES {
        return isa.store_partial(to, isa.load_partial(from));
    }
    let mut i = 0;
    while i < n {
        let at = i.min(n - I::LANES);
        // SAFETY: at + LANES <= n, the length of both.
        unsafe { isa.store_ptr(to.as_mut_ptr().add(at), isa.load_ptr(from.as_ptr().add(at))) };
        i += I::LANES;
    }
}
