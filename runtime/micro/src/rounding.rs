//! How sums are requantised: with the FPU's binary32, or by integers where there is none. The bytes are the same.

use sanderling_flat::requantise::{Multiplier, Requantise};

/// A way to compute docs/numerics.md section 2.
pub trait Rounding: 'static {
    /// The quantised value of a sum.
    fn requantise(output: &Requantise, acc: i32, multiplier: Multiplier) -> i32;
}

/// For cores with binary32 in hardware: Cortex-M4F, M7, M33 with FPU.
#[derive(Debug, Clone, Copy)]
pub enum Fpu {}

/// For cores without: Cortex-M0, M3, RV32IMC.
#[derive(Debug, Clone, Copy)]
pub enum NoFpu {}

impl Rounding for Fpu {
    fn requantise(output: &Requantise, acc: i32, multiplier: Multiplier) -> i32 {
        output.apply_by_addition(acc, multiplier)
    }
}

impl Rounding for NoFpu {
    fn requantise(output: &Requantise, acc: i32, multiplier: Multiplier) -> i32 {
        output.apply_in_integers(acc, multiplier)
    }
}
