//! Armv8-A Advanced SIMD (NEON): 4 lanes, 32 registers.

use core::arch::aarch64::*;

use crate::{Isa, SimdOp, sealed::Sealed};

/// An intrinsic that touches registers only, called from a token's method.
macro_rules! op {
    ($e:expr) => {{
        // SAFETY: the token is the proof that this CPU has the feature that the intrinsic needs.
        #[allow(unused_unsafe)]
        unsafe {
            $e
        }
    }};
}

/// Advanced SIMD: 4 lanes, 32 registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

impl Neon {
    /// The token, if the target has Advanced SIMD (every Armv8-A profile with floating point has).
    pub fn new() -> Option<Self> {
        cfg!(target_feature = "neon").then_some(Neon(()))
    }

    /// The token without a check.
    ///
    /// # Safety
    /// The CPU has Advanced SIMD.
    pub const unsafe fn new_unchecked() -> Self {
        Neon(())
    }
}

impl Sealed for Neon {}

impl Isa for Neon {
    type F = float32x4_t;
    type I = int32x4_t;
    type M = uint32x4_t;
    const LANES: usize = 4;
    const REGISTERS: usize = 32;
    const FUSED: bool = true;

    #[inline(always)]
    fn run<Op: SimdOp>(self, op: Op) -> Op::Output {
        #[target_feature(enable = "neon")]
        fn enter<Op: SimdOp>(isa: Neon, op: Op) -> Op::Output {
            op.eval(isa)
        }
        // SAFETY: the token is the proof that this CPU has the features.
        unsafe { enter(self, op) }
    }

    #[inline(always)]
    fn splat(self, x: f32) -> Self::F {
        op!(vdupq_n_f32(x))
    }
    #[inline(always)]
    unsafe fn load_ptr(self, p: *const f32) -> Self::F {
        // SAFETY: the caller vouches for LANES readable f32; the token for NEON.
        unsafe { vld1q_f32(p) }
    }
    #[inline(always)]
    unsafe fn load_ptr_n(self, p: *const f32, n: usize) -> Self::F {
        let mut x = [0.0; 4];
        // SAFETY: the caller vouches for n <= LANES readable f32; x has LANES.
        unsafe {
            core::ptr::copy_nonoverlapping(p, x.as_mut_ptr(), n);
            vld1q_f32(x.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, p: *mut f32, x: Self::F) {
        // SAFETY: the caller vouches for LANES writable f32; the token for NEON.
        unsafe { vst1q_f32(p, x) }
    }
    #[inline(always)]
    unsafe fn store_ptr_n(self, p: *mut f32, n: usize, x: Self::F) {
        let mut y = [0.0; 4];
        // SAFETY: y has LANES; the caller vouches for n <= LANES writable f32.
        unsafe {
            vst1q_f32(y.as_mut_ptr(), x);
            core::ptr::copy_nonoverlapping(y.as_ptr(), p, n);
        }
    }

    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vaddq_f32(a, b))
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vsubq_f32(a, b))
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vmulq_f32(a, b))
    }
    #[inline(always)]
    fn div(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vdivq_f32(a, b))
    }
    #[inline(always)]
    fn mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        op!(vfmaq_f32(c, a, b))
    }
    #[inline(always)]
    fn neg_mul_add(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F {
        op!(vfmsq_f32(c, a, b))
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vbslq_f32(vcltq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        op!(vbslq_f32(vcgtq_f32(a, b), a, b))
    }
    #[inline(always)]
    fn sqrt(self, a: Self::F) -> Self::F {
        op!(vsqrtq_f32(a))
    }
    #[inline(always)]
    fn round_ties_even(self, a: Self::F) -> Self::F {
        op!(vrndnq_f32(a))
    }

    #[inline(always)]
    fn lt(self, a: Self::F, b: Self::F) -> Self::M {
        op!(vcltq_f32(a, b))
    }
    #[inline(always)]
    fn le(self, a: Self::F, b: Self::F) -> Self::M {
        op!(vcleq_f32(a, b))
    }
    #[inline(always)]
    fn eq(self, a: Self::F, b: Self::F) -> Self::M {
        op!(vceqq_f32(a, b))
    }
    #[inline(always)]
    fn select(self, m: Self::M, a: Self::F, b: Self::F) -> Self::F {
        op!(vbslq_f32(m, a, b))
    }
    #[inline(always)]
    fn mask_and(self, a: Self::M, b: Self::M) -> Self::M {
        op!(vandq_u32(a, b))
    }
    #[inline(always)]
    fn mask_or(self, a: Self::M, b: Self::M) -> Self::M {
        op!(vorrq_u32(a, b))
    }

    #[inline(always)]
    fn splat_i(self, x: i32) -> Self::I {
        op!(vdupq_n_s32(x))
    }
    #[inline(always)]
    fn add_i(self, a: Self::I, b: Self::I) -> Self::I {
        op!(vaddq_s32(a, b))
    }
    #[inline(always)]
    fn sub_i(self, a: Self::I, b: Self::I) -> Self::I {
        op!(vsubq_s32(a, b))
    }
    #[inline(always)]
    fn and_i(self, a: Self::I, b: Self::I) -> Self::I {
        op!(vandq_s32(a, b))
    }
    #[inline(always)]
    fn or_i(self, a: Self::I, b: Self::I) -> Self::I {
        op!(vorrq_s32(a, b))
    }
    #[inline(always)]
    fn xor_i(self, a: Self::I, b: Self::I) -> Self::I {
        op!(veorq_s32(a, b))
    }
    #[inline(always)]
    fn shl_i<const N: i32>(self, a: Self::I) -> Self::I {
        op!(vshlq_n_s32::<N>(a))
    }
    #[inline(always)]
    fn shr_i<const N: i32>(self, a: Self::I) -> Self::I {
        op!(vshrq_n_s32::<N>(a))
    }
    #[inline(always)]
    fn to_bits(self, a: Self::F) -> Self::I {
        op!(vreinterpretq_s32_f32(a))
    }
    #[inline(always)]
    fn with_bits(self, a: Self::I) -> Self::F {
        op!(vreinterpretq_f32_s32(a))
    }
    #[inline(always)]
    fn to_i32(self, a: Self::F) -> Self::I {
        op!(vcvtnq_s32_f32(a))
    }
    #[inline(always)]
    fn to_f32(self, a: Self::I) -> Self::F {
        op!(vcvtq_f32_s32(a))
    }
    #[inline(always)]
    unsafe fn load_i8(self, p: *const i8) -> Self::I {
        // SAFETY: the caller vouches for LANES = 4 readable i8.
        let word = unsafe { p.cast::<u32>().read_unaligned() };
        op!(vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(u64::from(word))))))
    }
    #[inline(always)]
    unsafe fn load_u8(self, p: *const u8) -> Self::I {
        // SAFETY: the caller vouches for LANES = 4 readable u8.
        let word = unsafe { p.cast::<u32>().read_unaligned() };
        op!(vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(
            vcreate_u8(u64::from(word))
        )))))
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8, a: Self::I) {
        let word = op!({
            let halves = vmovn_s32(a);
            let bytes = vmovn_s16(vcombine_s16(halves, halves));
            vget_lane_u32::<0>(vreinterpret_u32_s8(bytes))
        });
        // SAFETY: the caller vouches for LANES = 4 writable u8.
        unsafe { p.cast::<u32>().write_unaligned(word) }
    }
    #[inline(always)]
    fn dot_i16(self, acc: Self::I, a: Self::I, b: Self::I) -> Self::I {
        op!({
            let (a, b) = (vreinterpretq_s16_s32(a), vreinterpretq_s16_s32(b));
            let low = vmull_s16(vget_low_s16(a), vget_low_s16(b));
            vaddq_s32(acc, vpaddq_s32(low, vmull_high_s16(a, b)))
        })
    }

    #[inline(always)]
    fn interleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        op!((vzip1q_f32(a, b), vzip2q_f32(a, b)))
    }
    #[inline(always)]
    fn deinterleave(self, a: Self::F, b: Self::F) -> (Self::F, Self::F) {
        op!((vuzp1q_f32(a, b), vuzp2q_f32(a, b)))
    }

    #[inline(always)]
    fn reduce_sum(self, a: Self::F) -> f32 {
        op!({
            let x = vadd_f32(vget_low_f32(a), vget_high_f32(a));
            vget_lane_f32::<0>(x) + vget_lane_f32::<1>(x)
        })
    }
    #[inline(always)]
    fn reduce_max(self, a: Self::F) -> f32 {
        let halves = self.max(a, op!(vextq_f32::<2>(a, a)));
        op!(vgetq_lane_f32::<0>(
            self.max(halves, vextq_f32::<1>(halves, halves))
        ))
    }
    #[inline(always)]
    fn reduce_min(self, a: Self::F) -> f32 {
        let halves = self.min(a, op!(vextq_f32::<2>(a, a)));
        op!(vgetq_lane_f32::<0>(
            self.min(halves, vextq_f32::<1>(halves, halves))
        ))
    }
}
