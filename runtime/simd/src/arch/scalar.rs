//! Portable code: four lanes in an array, every operation in plain Rust.
//!
//! It is what runs on a CPU without SIMD (or without detection), and what the other tokens are tested against. Four
//! lanes let the compiler use whatever 128-bit registers the target's baseline has.

use crate::{Isa, SimdOp, sealed::Sealed};

/// The token of portable code; it needs no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalar;

const N: usize = 4;

/// 2^23: from here on every f32 is an integer.
const INTEGRAL: f32 = 8_388_608.0;

#[inline(always)]
fn map<A: Copy, B: Copy>(a: [A; N], f: impl Fn(A) -> B) -> [B; N] {
    [f(a[0]), f(a[1]), f(a[2]), f(a[3])]
}

#[inline(always)]
fn zip<A: Copy, B: Copy, C: Copy>(a: [A; N], b: [B; N], f: impl Fn(A, B) -> C) -> [C; N] {
    [f(a[0], b[0]), f(a[1], b[1]), f(a[2], b[2]), f(a[3], b[3])]
}

#[inline(always)]
fn round(x: f32) -> f32 {
    let magnitude = f32::from_bits(x.to_bits() & 0x7fff_ffff);
    if magnitude < INTEGRAL {
        // Adding 2^23 pushes the fraction out, rounding to nearest even.
        let r = (magnitude + INTEGRAL) - INTEGRAL;
        f32::from_bits(r.to_bits() | (x.to_bits() & 0x8000_0000))
    } else {
        x
    }
}

impl Sealed for Scalar {}

impl Isa for Scalar {
    type F = [f32; N];
    type I = [i32; N];
    type M = [bool; N];
    const LANES: usize = N;
    const REGISTERS: usize = 16;
    const FUSED: bool = false;

    #[inline(always)]
    fn run<Op: SimdOp>(self, op: Op) -> Op::Output {
        // A function of its own, as where features are switched on: an operation inside an operation is compiled once.
        #[inline(never)]
        fn enter<Op: SimdOp>(isa: Scalar, op: Op) -> Op::Output {
            op.eval(isa)
        }
        enter(self, op)
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        [x; N]
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::F {
        // SAFETY: the caller vouches for LANES readable f32; the read is unaligned.
        unsafe { p.cast::<[f32; N]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn load_ptr_n(self, p: *const f32, n: usize) -> Self::F {
        let mut x = [0.0; N];
        // SAFETY: the caller vouches for n <= LANES readable f32.
        unsafe { core::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), n) };
        x
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F) {
        // SAFETY: the caller vouches for LANES writable f32; the write is unaligned.
        unsafe { p.cast::<[f32; N]>().write_unaligned(x) }
    }
    #[inline(always)]
    unsafe fn store_ptr_n(self, p: *mut f32, n: usize, x: Self::F) {
        // SAFETY: the caller vouches for n <= LANES writable f32.
        unsafe { core::ptr::copy_nonoverlapping(x.as_ptr(), p, n) }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.add(self.mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        self.sub(c, self.mul(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        map(a, libm::sqrtf)
    }
    #[inline(always)]
    fn round_ties_even(self, a: Self::F) -> Self::F {
        map(a, round)
    }

    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        zip(a, b, |a, b| a < b)
    }
    #[inline(always)]
    fn le(self, a: Self::F, b: Self::F) -> Self::M {
        zip(a, b, |a, b| a <= b)
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        zip(a, b, |a, b| a == b)
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
        let ab = zip(a, b, |a, b| (a, b));
        zip(m, ab, |m, (a, b)| if m { a } else { b })
    }
    #[inline(always)]
    fn mask_and(self, a: Self::M, b: Self::M) -> Self::M {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn mask_or(self, a: Self::M, b: Self::M) -> Self::M {
        zip(a, b, |a, b| a | b)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        [x; N]
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, i32::wrapping_add)
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, i32::wrapping_sub)
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, |a, b| a & b)
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, |a, b| a | b)
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        zip(a, b, |a, b| a ^ b)
    }
    #[inline(always)]
    fn shl_i<const S: i32>(self, a: Self::I) -> Self::I {
        map(a, |a| a << S)
    }
    #[inline(always)]
    fn shr_i<const S: i32>(self, a: Self::I) -> Self::I {
        map(a, |a| a >> S)
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        map(a, |a| a.to_bits() as i32)
    }
    #[inline(always)]
    fn with_bits(self, a: Self::I) -> Self::F {
        map(a, |a| f32::from_bits(a as u32))
    }
    #[inline(always)]
    fn to_i32(self, a: Self::F) -> Self::I {
        map(a, |a| round(a) as i32)
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        map(a, |a| a as f32)
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> Self::I {
        // SAFETY: the caller vouches for LANES readable i8.
        map(unsafe { p.cast::<[i8; N]>().read_unaligned() }, i32::from)
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> Self::I {
        // SAFETY: the caller vouches for LANES readable u8.
        map(unsafe { p.cast::<[u8; N]>().read_unaligned() }, i32::from)
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8, a: Self::I) {
        // SAFETY: the caller vouches for LANES writable u8.
        unsafe { p.cast::<[u8; N]>().write_unaligned(map(a, |a| a as u8)) }
    }
    #[inline(always)]
    fn dot_i16(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        let halves = |x: i32| (i32::from(x as i16), x >> 16);
        let products = zip(a, b, |a, b| {
            let ((a0, a1), (b0, b1)) = (halves(a), halves(b));
            (a0 * b0).wrapping_add(a1 * b1)
        });
        self.add_i(acc, products)
    }

    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        ([a[0], b[0], a[1], b[1]], [a[2], b[2], a[3], b[3]])
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        ([a[0], a[2], b[0], b[2]], [a[1], a[3], b[1], b[3]])
    }

    #[inline(always)]
    fn reduce_sum(self, a: Self::F) -> f32 {
        (a[0] + a[2]) + (a[1] + a[3])
    }
    #[inline(always)]
    fn reduce_max(self, a: Self::F) -> f32 {
        let pick = |a: f32, b: f32| if a > b { a } else { b };
        pick(pick(a[0], a[2]), pick(a[1], a[3]))
    }
    #[inline(always)]
    fn reduce_min(self, a: Self::F) -> f32 {
        let pick = |a: f32, b: f32| if a < b { a } else { b };
        pick(pick(a[0], a[2]), pick(a[1], a[3]))
    }
}
