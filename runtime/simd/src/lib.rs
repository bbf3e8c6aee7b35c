//! Instruction sets as values.
//!
//! # Mental model
//!
//! An ISA *token* ([`Scalar`], [`Avx2`](arch::x86_64::Avx2), [`Avx512`](arch::x86_64::Avx512), `Neon`, `Simd128`, `Relaxed`) is
//! a zero-sized value whose existence proves that the running CPU has these instructions: its constructor is checked
//! (`new() -> Option<Self>`) or unsafe. Every vector operation is a method of a token, so there is no instruction
//! without a token, and the operations themselves are safe to call.
//!
//! A kernel is a struct that holds its arguments and implements [`SimdOp`]: one generic `eval` over [`Isa`].
//! [`Best::dispatch`] picks the token once per call and enters `eval` through a function compiled with the CPU
//! features on; everything generic below it is `#[inline(always)]` and so is compiled with them too. A generic helper
//! that is *not* inlined there still computes the same values, only slowly.
//!
//! [`Best`] is found by [`Best::detect`] and then held and handed on by the caller: nothing here is a process global
//! (apart from the cache inside std's own feature detection).
//!
//! # What differs between instruction sets
//!
//! [`Isa::FUSED`] tells whether `mul_add` rounds once. The lane count differs, and with it the reduction tree of
//! [`Isa::reduce_sum`]. All else (comparisons, rounding, NaN rules) is equal on all; the tests hold each token to the
//! scalar one, bit for bit.
//!
//! The float rules: `max(a, b)` is `if a > b { a } else { b }` and `min` likewise, so a NaN in either place gives `b`.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "std", test))]
extern crate std;

pub mod arch;
mod best;
#[cfg(test)]
mod tests;

pub use arch::scalar::Scalar;
pub use best::{Best, SimdOp};

/// Stops other crates from implementing [`Isa`]: a token must be a proof, and only this crate writes proofs.
mod sealed {
    /// Implemented by the tokens.
    pub trait Sealed {}
}

/// Vectors of f32 and i32 of one instruction set, and what it can do with them.
///
/// `F` holds [`Self::LANES`] f32, `I` as many i32 and `M` a truth value per lane. Operations are lane-wise unless said
/// otherwise.
pub trait Isa: sealed::Sealed + Copy + Send + Sync + core::fmt::Debug + 'static {
    /// A vector of f32.
    type F: Copy;
    /// A vector of i32.
    type I: Copy;
    /// A mask: one truth value per lane.
    type M: Copy;

    /// Lanes of a vector.
    const LANES: usize;
    /// Architectural vector registers; kernels size their tiles by it.
    const REGISTERS: usize;
    /// Whether [`Self::mul_add`] rounds once.
    const FUSED: bool;
    /// Whether [`Self::dot_i8`] is one instruction, and the faster way to products of eight bits.
    const DOT_I8: bool = false;

    /// Runs `op` compiled for this instruction set.
    fn run<Op: SimdOp>(self, op: Op) -> Op::Output;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::F;
    /// Reads `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` f32; it need not be aligned.
    unsafe fn load_ptr(self, p: *const f32) -> Self::F;
    /// Reads the first `n` lanes; the others are zero.
    ///
    /// # Safety
    /// `n <= LANES`, and `p` must be valid for reading `n` f32.
    unsafe fn load_ptr_n(self, p: *const f32, n: usize) -> Self::F;
    /// Writes `LANES` values.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` f32; it need not be aligned.
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F);
    /// Writes the first `n` lanes.
    ///
    /// # Safety
    /// `n <= LANES`, and `p` must be valid for writing `n` f32.
    unsafe fn store_ptr_n(self, p: *mut f32, n: usize, x: Self::F);

    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a - b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a / b`, correctly rounded.
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a * b + c`, rounded once where [`Self::FUSED`].
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `c - a * b`, rounded once where [`Self::FUSED`].
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// `if a < b { a } else { b }`.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// `if a > b { a } else { b }`.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// The square root, correctly rounded.
    fn sqrt(self, a: Self::F) -> Self::F;
    /// To the nearest integer, ties to even; beyond 2^23, infinities and NaN unchanged.
    fn round_ties_even(self, a: Self::F) -> Self::F;

    /// `a < b`, false for NaN.
    fn lt(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a <= b`, false for NaN.
    fn le(self, a: Self::F, b: Self::F) -> Self::M;
    /// `a == b`, false for NaN.
    fn eq(self, a: Self::F, b: Self::F) -> Self::M;
    /// `m ? a : b`.
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F;
    /// Both.
    fn mask_and(self, a: Self::M, b: Self::M) -> Self::M;
    /// Either.
    fn mask_or(self, a: Self::M, b: Self::M) -> Self::M;

    /// All lanes `x`.
    fn splat_i(self, x: i32) -> Self::I;
    /// `a + b`, wrapping.
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a - b`, wrapping.
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise and.
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise or.
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Bitwise exclusive or.
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I;
    /// Shift left by `N < 32`.
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// Arithmetic shift right by `1 <= N < 32`.
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I;
    /// The bits of each f32.
    fn to_bits(self, a: Self::F) -> Self::I;
    /// The f32 with these bits.
    fn with_bits(self, a: Self::I) -> Self::F;
    /// Nearest integer, ties to even; defined for |a| < 2^31.
    fn to_i32(self, a: Self::F) -> Self::I;
    /// To f32, rounding to nearest even.
    fn to_f32(self, a: Self::I) -> Self::F;
    /// Reads `LANES` i8 and widens them.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` i8.
    unsafe fn load_i8(self, p: *const i8) -> Self::I;

    /// Reads `LANES` u8 and widens them.
    ///
    /// # Safety
    /// `p` must be valid for reading `LANES` u8.
    unsafe fn load_u8(self, p: *const u8) -> Self::I;
    /// Writes the low byte of each lane.
    ///
    /// # Safety
    /// `p` must be valid for writing `LANES` u8.
    unsafe fn store_u8(self, p: *mut u8, a: Self::I);
    /// Each lane as two i16: `acc + a.low * b.low + a.high * b.high`, wrapping.
    fn dot_i16(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// Each lane as four bytes, of `a` −128 to 127, of `b` 0 to 127: `acc + Σ a.byte · b.byte`, wrapping. What it gives for other
    /// bytes of `b` is not defined.
    #[inline(always)]
    fn dot_i8(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        // Bytes 0 and 2, 1 and 3 as pairs. Of `a` unsigned, 128 more than they are: what that adds is taken off at the end.
        let low = self.splat_i(0x00ff_00ff);
        let (a, offset) = (
            self.xor_i(a, self.splat_i(i32::from_ne_bytes([0x80; 4]))),
            self.splat_i(0x0080_0080),
        );
        let (a_even, a_odd) = (self.and_i(a, low), self.and_i(self.shr_i::<8>(a), low));
        let (b_even, b_odd) = (self.and_i(b, low), self.and_i(self.shr_i::<8>(b), low));
        let sum = self.dot_i16(self.dot_i16(acc, a_even, b_even), a_odd, b_odd);
        self.sub_i(
            sum,
            self.dot_i16(self.splat_i(0), self.add_i(b_even, b_odd), offset),
        )
    }

    /// `[a0, b0, a1, b1, …]`, first half and second half.
    fn interleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F);
    /// Even and odd lanes of the concatenation of `a` and `b`.
    fn deinterleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F);

    /// The sum of all lanes by halving: lane i with lane i + n/2, until one is left.
    fn reduce_sum(self, a: Self::F) -> f32;
    /// The greatest lane, by halving.
    fn reduce_max(self, a: Self::F) -> f32;
    /// The least lane, by halving.
    fn reduce_min(self, a: Self::F) -> f32;

    /// All lanes zero.
    #[inline(always)]
    fn zero(self) -> Self::F {
        self.splat(0.0)
    }

    /// `-a`: the sign bit flipped.
    #[inline(always)]
    fn neg(self, a: Self::F) -> Self::F {
        self.with_bits(self.xor_i(self.to_bits(a), self.splat_i(i32::MIN)))
    }

    /// `|a|`: the sign bit cleared.
    #[inline(always)]
    fn abs(self, a: Self::F) -> Self::F {
        self.with_bits(self.and_i(self.to_bits(a), self.splat_i(i32::MAX)))
    }

    /// The magnitude of `a` with the sign of `sign`.
    #[inline(always)]
    fn copysign(self, a: Self::F, sign: Self::F) -> Self::F {
        let s = self.and_i(self.to_bits(sign), self.splat_i(i32::MIN));
        self.with_bits(self.or_i(self.to_bits(self.abs(a)), s))
    }

    /// `a > b`, false for NaN.
    #[inline(always)]
    fn gt(self, a: Self::F, b: Self::F) -> Self::M {
        self.lt(b, a)
    }

    /// `a >= b`, false for NaN.
    #[inline(always)]
    fn ge(self, a: Self::F, b: Self::F) -> Self::M {
        self.le(b, a)
    }

    /// `min(hi, max(lo, a))`; a NaN stays.
    #[inline(always)]
    fn clamp(self, a: Self::F, lo: Self::F, hi: Self::F) -> Self::F {
        self.min(hi, self.max(lo, a))
    }

    /// The first `LANES` values of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn load(self, x: &[f32]) -> Self::F {
        assert!(x.len() >= Self::LANES);
        // SAFETY: the slice has LANES elements.
        unsafe { self.load_ptr(x.as_ptr()) }
    }

    /// The values of a slice of at most `LANES`; the lanes beyond are zero.
    ///
    /// # Panics
    /// If there are more.
    #[inline(always)]
    fn load_partial(self, x: &[f32]) -> Self::F {
        assert!(x.len() <= Self::LANES);
        // SAFETY: the slice has exactly the elements that are read.
        unsafe { self.load_ptr_n(x.as_ptr(), x.len()) }
    }

    /// Writes the first `LANES` values of a slice.
    ///
    /// # Panics
    /// If there are fewer.
    #[inline(always)]
    fn store(self, out: &mut [f32], x: Self::F) {
        assert!(out.len() >= Self::LANES);
        // SAFETY: the slice has LANES elements.
        unsafe { self.store_ptr(out.as_mut_ptr(), x) }
    }

    /// Fills a slice of at most `LANES` values.
    ///
    /// # Panics
    /// If there are more.
    #[inline(always)]
    fn store_partial(self, out: &mut [f32], x: Self::F) {
        assert!(out.len() <= Self::LANES);
        // SAFETY: the slice has exactly the elements that are written.
        unsafe { self.store_ptr_n(out.as_mut_ptr(), out.len(), x) }
    }
}
