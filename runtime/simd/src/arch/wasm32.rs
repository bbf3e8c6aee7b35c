//! WebAssembly's vectors: 4 lanes, with the 128-bit instructions alone or with the relaxed ones on top.
//!
//! A module that holds these instructions does not load without them, so a token needs no check: whoever builds the module says
//! by a feature of this crate, or by the compiler's flags, which of them it may hold.
//!
//! # Relaxed instructions
//!
//! Their results may differ between engines where the definition leaves them open. Only those are used whose results it fixes
//! for what they are given here, so that a relaxed module gives the bytes of any other:
//!
//! - `i32x4.relaxed_trunc_f32x4_s` is open for NaN and out of range. [`Isa::to_i32`] is defined below 2^31 alone.
//! - `i32x4.relaxed_laneselect` is open where a lane of the mask is neither all ones nor all zeros. Comparisons make no such mask.
//! - `i32x4.relaxed_dot_i8x16_i7x16_add_s` is open where the second operand has its top bit set, and where a sum of two products leaves
//!   16 bits. [`Isa::dot_i8`] asks for 0 to 127, and two products are then between −32 512 and 32 258.
//!
//! Not used: `relaxed_madd`, whose rounding is open, and `relaxed_min` and `relaxed_max`, which are open for NaN and zeros.

use core::arch::wasm32::*;

use crate::{Isa, SimdOp, sealed::Sealed};

/// 128-bit SIMD: 4 lanes; engines map them to 16 registers on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wasm<const RELAXED: bool>(());

/// The 128-bit instructions.
#[cfg(any(feature = "simd128", target_feature = "simd128"))]
pub type Simd128 = Wasm<false>;
/// The 128-bit instructions and the relaxed ones.
#[cfg(any(feature = "relaxed-simd", target_feature = "relaxed-simd"))]
pub type Relaxed = Wasm<true>;

#[cfg(any(feature = "simd128", target_feature = "simd128"))]
impl Wasm<false> {
    /// The token.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Wasm(())
    }
}

#[cfg(any(feature = "relaxed-simd", target_feature = "relaxed-simd"))]
impl Wasm<true> {
    /// The token.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Wasm(())
    }
}

impl<const RELAXED: bool> Sealed for Wasm<RELAXED> {}

impl<const RELAXED: bool> Isa for Wasm<RELAXED> {
    type F = v128;
    type I = v128;
    type M = v128;
    const LANES: usize = 4;
    const REGISTERS: usize = 16;
    const FUSED: bool = false;
    const DOT_I8: bool = RELAXED;

    #[inline(always)]
    fn run<Op: SimdOp>(self, op: Op) -> Op::Output {
        #[target_feature(enable = "simd128")]
        fn plain<I: Isa, Op: SimdOp>(isa: I, op: Op) -> Op::Output {
            op.eval(isa)
        }
        #[target_feature(enable = "simd128,relaxed-simd")]
        fn relaxed<I: Isa, Op: SimdOp>(isa: I, op: Op) -> Op::Output {
            op.eval(isa)
        }
        if RELAXED {
            relaxed(self, op)
        } else {
            plain(self, op)
        }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        f32x4_splat(x)
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::F {
        // SAFETY: the caller vouches for LANES readable f32; the load may be unaligned.
        unsafe { v128_load(p.cast()) }
    }
    #[inline(always)]
    unsafe fn load_ptr_n(self, p: *const f32, n: usize) -> Self::F {
        let mut x = [0.0; 4];
        // SAFETY: the caller vouches for n <= LANES readable f32; x has LANES.
        unsafe {
            core::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), n);
            v128_load(x.as_ptr().cast())
        }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F) {
        // SAFETY: the caller vouches for LANES writable f32; the store may be unaligned.
        unsafe { v128_store(p.cast(), x) }
    }
    #[inline(always)]
    unsafe fn store_ptr_n(self, p: *mut f32, n: usize, x: Self::F) {
        let mut y = [0.0f32; 4];
        // SAFETY: y has LANES; the caller vouches for n <= LANES writable f32.
        unsafe {
            v128_store(y.as_mut_ptr().cast(), x);
            core::ptr::copy_nonoverlapping(y.as_ptr(), p, n);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_add(a, b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_sub(a, b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_mul(a, b)
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_div(a, b)
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        f32x4_add(f32x4_mul(a, b), c)
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        f32x4_sub(c, f32x4_mul(a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_pmin(b, a)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        f32x4_pmax(b, a)
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        f32x4_sqrt(a)
    }
    #[inline(always)]
    fn round_ties_even(self, a: Self::F) -> Self::F {
        f32x4_nearest(a)
    }

    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        f32x4_lt(a, b)
    }
    #[inline(always)]
    fn le(self, a: Self::F, b: Self::F) -> Self::M {
        f32x4_le(a, b)
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        f32x4_eq(a, b)
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
        if RELAXED {
            i32x4_relaxed_laneselect(a, b, m)
        } else {
            v128_bitselect(a, b, m)
        }
    }
    #[inline(always)]
    fn mask_and(self, a: Self::M, b: Self::M) -> Self::M {
        v128_and(a, b)
    }
    #[inline(always)]
    fn mask_or(self, a: Self::M, b: Self::M) -> Self::M {
        v128_or(a, b)
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        i32x4_splat(x)
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        i32x4_add(a, b)
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        i32x4_sub(a, b)
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        v128_and(a, b)
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        v128_or(a, b)
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        v128_xor(a, b)
    }
    #[inline(always)]
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I {
        i32x4_shl(a, N as u32)
    }
    #[inline(always)]
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I {
        i32x4_shr(a, N as u32)
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        a
    }
    #[inline(always)]
    fn with_bits(self, a: Self::I) -> Self::F {
        a
    }
    #[inline(always)]
    fn to_i32(self, a: Self::F) -> Self::I {
        if RELAXED {
            i32x4_relaxed_trunc_f32x4(f32x4_nearest(a))
        } else {
            i32x4_trunc_sat_f32x4(f32x4_nearest(a))
        }
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        f32x4_convert_i32x4(a)
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> Self::I {
        // SAFETY: the caller vouches for LANES = 4 readable i8.
        let bytes = unsafe { v128_load32_zero(p.cast()) };
        i32x4_extend_low_i16x8(i16x8_extend_low_i8x16(bytes))
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> Self::I {
        // SAFETY: the caller vouches for LANES = 4 readable u8.
        let bytes = unsafe { v128_load32_zero(p.cast()) };
        u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes))
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8, a: Self::I) {
        let bytes = i8x16_shuffle::<0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>(a, a);
        // SAFETY: the caller vouches for LANES = 4 writable u8.
        unsafe { p.cast::<u32>().write_unaligned(u32x4_extract_lane::<0>(bytes)) }
    }
    #[inline(always)]
    fn dot_i16(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        i32x4_add(acc, i32x4_dot_i16x8(a, b))
    }
    #[inline(always)]
    fn dot_i8(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        if RELAXED {
            i32x4_relaxed_dot_i8x16_i7x16_add(a, b, acc)
        } else {
            let low = i32x4_dot_i16x8(i16x8_extend_low_i8x16(a), i16x8_extend_low_i8x16(b));
            let high = i32x4_dot_i16x8(i16x8_extend_high_i8x16(a), i16x8_extend_high_i8x16(b));
            let (even, odd) = self.deinterleave(low, high);
            i32x4_add(acc, i32x4_add(even, odd))
        }
    }

    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        (
            i32x4_shuffle::<0, 4, 1, 5>(a, b),
            i32x4_shuffle::<2, 6, 3, 7>(a, b),
        )
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        (
            i32x4_shuffle::<0, 2, 4, 6>(a, b),
            i32x4_shuffle::<1, 3, 5, 7>(a, b),
        )
    }

    #[inline(always)]
    fn reduce_sum(self, a: Self::F) -> f32 {
        let x = self.add(a, i32x4_shuffle::<2, 3, 0, 1>(a, a));
        f32x4_extract_lane::<0>(self.add(x, i32x4_shuffle::<1, 0, 3, 2>(x, x)))
    }
    #[inline(always)]
    fn reduce_max(self, a: Self::F) -> f32 {
        let x = self.max(a, i32x4_shuffle::<2, 3, 0, 1>(a, a));
        f32x4_extract_lane::<0>(self.max(x, i32x4_shuffle::<1, 0, 3, 2>(x, x)))
    }
    #[inline(always)]
    fn reduce_min(self, a: Self::F) -> f32 {
        let x = self.min(a, i32x4_shuffle::<2, 3, 0, 1>(a, a));
        f32x4_extract_lane::<0>(self.min(x, i32x4_shuffle::<1, 0, 3, 2>(x, x)))
    }
}
