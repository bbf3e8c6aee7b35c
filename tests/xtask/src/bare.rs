//! Crates marked no_std, built for a microcontroller: the proof that neither they nor their dependencies need `std`.

use crate::toolchain::Target;
use crate::{Context, StepResult, run};

/// Cortex-M4F: no operating system, no 64-bit atomics.
pub(crate) const TARGET: Target = Target {
    triple: "thumbv7em-none-eabihf",
    std: "core,alloc",
};
/// What must build for it: what ARCHITECTURE.md marks no_std (`tests/tidy` compares them).
const CRATES: &[&str] = &[
    "flat", "micro", "bundle", "core", "simd", "kernels", "cpu", "launch", "shaders", "wire", "trust",
    "slots", "agent", "embedded",
];

/// Builds them.
pub(crate) fn build(cx: &Context) -> StepResult {
    let packages: Vec<String> = CRATES.iter().map(|name| format!("sanderling-{name}")).collect();
    let packages = packages.iter().flat_map(|name| ["-p", name]);
    let args = [
        "build",
        "--quiet",
        "--profile=bare-metal",
        "--no-default-features",
    ];
    run(TARGET.cargo(cx, &args).args(packages))
}
