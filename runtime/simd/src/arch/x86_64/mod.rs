//! x86-64: AVX2 with FMA, and AVX-512 (F, BW, DQ, VL).

/// Whether the CPU has a feature: asked at run time with std, else what the build was given.
macro_rules! has {
    ($feature:tt) => {{
        #[cfg(any(feature = "std", test))]
        let has = std::arch::is_x86_feature_detected!($feature);
        #[cfg(not(any(feature = "std", test)))]
        let has = cfg!(target_feature = $feature);
        has
    }};
}

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

mod avx2;
mod avx512;

pub use avx2::Avx2;
pub use avx512::Avx512;
