//! Choosing an instruction set, once, as a value.

use crate::Isa;
#[cfg(target_arch = "aarch64")]
use crate::arch::aarch64::Neon;
use crate::arch::scalar::Scalar;
#[cfg(all(
    target_arch = "wasm32",
    any(feature = "relaxed-simd", target_feature = "relaxed-simd")
))]
use crate::arch::wasm32::Relaxed;
#[cfg(all(target_arch = "wasm32", any(feature = "simd128", target_feature = "simd128")))]
use crate::arch::wasm32::Simd128;
#[cfg(target_arch = "x86_64")]
use crate::arch::x86_64::{Avx2, Avx512};

/// A computation that can be compiled for any instruction set: the arguments are its fields.
pub trait SimdOp {
    /// What it gives back.
    type Output;
    /// The computation. Implementations put `#[inline(always)]` on it and on every generic helper below it.
    fn eval<I: Isa>(self, isa: I) -> Self::Output;
}

/// A token chosen at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Best {
    /// Portable code, four lanes that the compiler may put into whatever the target has.
    Scalar(Scalar),
    /// x86-64 with AVX2 and FMA.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// Armv8-A Advanced SIMD.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    /// WebAssembly's 128-bit SIMD.
    #[cfg(all(target_arch = "wasm32", any(feature = "simd128", target_feature = "simd128")))]
    Simd128(Simd128),
    /// WebAssembly's 128-bit SIMD with the relaxed instructions.
    #[cfg(all(
        target_arch = "wasm32",
        any(feature = "relaxed-simd", target_feature = "relaxed-simd")
    ))]
    Relaxed(Relaxed),
}

impl Best {
    /// The widest instruction set of this CPU. Without the feature `std`: of the features the build was given. In WebAssembly: of
    /// those the module was built for.
    pub fn detect() -> Self {
        Self::available().last().unwrap_or(Best::Scalar(Scalar))
    }

    /// Portable code, on any CPU.
    pub fn scalar() -> Self {
        Best::Scalar(Scalar)
    }

    /// Every instruction set that this CPU has, the narrowest first.
    pub fn available() -> impl Iterator<Item = Best> {
        #[cfg(target_arch = "x86_64")]
        let wide = [Avx2::new().map(Best::Avx2), Avx512::new().map(Best::Avx512)];
        #[cfg(target_arch = "aarch64")]
        let wide = [Neon::new().map(Best::Neon)];
        #[cfg(target_arch = "wasm32")]
        let wide = [
            #[cfg(all(target_arch = "wasm32", any(feature = "simd128", target_feature = "simd128")))]
            Some(Best::Simd128(Simd128::new())),
            #[cfg(all(
                target_arch = "wasm32",
                any(feature = "relaxed-simd", target_feature = "relaxed-simd")
            ))]
            Some(Best::Relaxed(Relaxed::new())),
            None,
        ];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64", target_arch = "wasm32")))]
        let wide: [Option<Best>; 0] = [];
        core::iter::once(Best::Scalar(Scalar)).chain(wide.into_iter().flatten())
    }

    /// The one of [`Self::available`] with this [`Self::name`].
    pub fn by_name(name: &str) -> Option<Self> {
        Self::available().find(|b| b.name() == name)
    }

    /// Its name in messages and benchmarks: `scalar`, `avx2`, `avx512`, `neon`, `simd128`, `relaxed`.
    pub fn name(self) -> &'static str {
        match self {
            Best::Scalar(_) => "scalar",
            #[cfg(target_arch = "x86_64")]
            Best::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Best::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Best::Neon(_) => "neon",
            #[cfg(all(target_arch = "wasm32", any(feature = "simd128", target_feature = "simd128")))]
            Best::Simd128(_) => "simd128",
            #[cfg(all(
                target_arch = "wasm32",
                any(feature = "relaxed-simd", target_feature = "relaxed-simd")
            ))]
            Best::Relaxed(_) => "relaxed",
        }
    }

    /// Runs `op` compiled for this instruction set.
    #[inline]
    pub fn dispatch<Op: SimdOp>(self, op: Op) -> Op::Output {
        match self {
            Best::Scalar(isa) => isa.run(op),
            #[cfg(target_arch = "x86_64")]
            Best::Avx2(isa) => isa.run(op),
            #[cfg(target_arch = "x86_64")]
            Best::Avx512(isa) => isa.run(op),
            #[cfg(target_arch = "aarch64")]
            Best::Neon(isa) => isa.run(op),
            #[cfg(all(target_arch = "wasm32", any(feature = "simd128", target_feature = "simd128")))]
            Best::Simd128(isa) => isa.run(op),
            #[cfg(all(
                target_arch = "wasm32",
                any(feature = "relaxed-simd", target_feature = "relaxed-simd")
            ))]
            Best::Relaxed(isa) => isa.run(op),
        }
    }
}
