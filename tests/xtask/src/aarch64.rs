//! NEON: kernels and vectors of docs/numerics.md on 64-bit Arm, in QEMU's user mode, as three processors. Built as released:
//! the boards' package takes the same standard library, and emulation is slow enough.

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
/// Its tests: what has instructions of its own, by the vectors and by whole models. The executor for microcontrollers has none.
const ON_LEAST: &[&str] = &["--test=cpu", "--test=models", "--test=reference"];
/// Others: dot products and half floats; everything that QEMU has.
const OTHERS: &[&str] = &["cortex-a76", "max"];
/// Debian's linker and libraries for it.
pub(crate) const SYSROOT: &str = "/usr/aarch64-linux-gnu";
pub(crate) const LINKER: &str = "aarch64-linux-gnu-gcc";
/// What takes symbols out of its programs.
pub(crate) const STRIP: &str = "aarch64-linux-gnu-strip";
pub(crate) const EMULATOR: &str = "qemu-aarch64";

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
        "--release",
        "--quiet",
        "--features=sanderling-kernels/std",
        "-p=sanderling-exactness",
        "-p=sanderling-kernels",
        "-p=sanderling-simd",
        "--lib",
    ];
    let on = |processor: &str, tests: &[&str]| {
        println!("as {processor}");
        run(cargo(cx, &args).args(tests).env("QEMU_CPU", processor))
    };
    // A Jetson's backend: there is no GPU to run it on.
    run(&mut cargo(
        cx,
        &["build", "--release", "--quiet", "-p=sanderling-cuda"],
    ))?;
    on(LEAST, ON_LEAST)?;
    OTHERS
        .iter()
        .try_for_each(|processor| on(processor, &["--test=cpu"]))
}

/// Cargo for it.
pub(crate) fn cargo(cx: &Context, args: &[&str]) -> std::process::Command {
    let mut command = TARGET.cargo(cx, args);
    command
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER", EMULATOR)
        .env("QEMU_LD_PREFIX", SYSROOT);
    command
}

/// The emulator, as a processor: the program and its arguments follow.
pub(crate) fn emulated(cx: &Context, processor: &str) -> std::process::Command {
    let mut command = cx.command(EMULATOR);
    command.args(["-cpu", processor, "-L", SYSROOT]);
    command
}

/// What cargo built for it, by its name below the profile's folder.
pub(crate) fn program(cx: &Context, name: &str) -> std::path::PathBuf {
    TARGET
        .target_folder(cx)
        .join(TARGET.triple)
        .join("release")
        .join(name)
}
