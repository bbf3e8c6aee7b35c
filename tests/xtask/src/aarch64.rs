//! NEON: kernels and vectors of docs/numerics.md on 64-bit Arm, in QEMU's user mode, as three processors.

use crate::toolchain::Target;
use crate::{Context, StepResult, install, run};
use std::path::Path;

/// 64-bit Arm with Linux.
pub(crate) const TARGET: Target = Target {
    triple: "aarch64-unknown-linux-gnu",
    std: "std,panic_unwind,test",
};
/// The least processor, which runs whole models too.
const LEAST: &str = "cortex-a53";
/// Others: dot products and half floats; everything that QEMU has.
const OTHERS: &[&str] = &["cortex-a76", "max"];
/// Debian's linker and libraries for it.
const SYSROOT: &str = "/usr/aarch64-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";

/// Installs compiler, linker and emulator.
pub(crate) fn install() -> StepResult {
    if !(install::is_there(LINKER) && install::is_there(EMULATOR) && Path::new(SYSROOT).is_dir()) {
        install::debian(&["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross", "qemu-user"])?;
    }
    TARGET.install()
}

/// Runs the tests on each processor.
pub(crate) fn test(cx: &Context) -> StepResult {
    let args = [
        "test",
        "--quiet",
        "--features=sanderling-kernels/std",
        "-p=sanderling-exactness",
        "-p=sanderling-kernels",
        "-p=sanderling-simd",
        "--lib",
    ];
    let on = |processor: &str, tests: &[&str]| {
        println!("as {processor}");
        run(TARGET
            .cargo(cx, &args)
            .args(tests)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
            .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR)
            .env("QEMU_LD_PREFIX", SYSROOT)
            .env("QEMU_CPU", processor))
    };
    on(LEAST, &["--tests"])?;
    OTHERS
        .iter()
        .try_for_each(|processor| on(processor, &["--test=cpu"]))
}
