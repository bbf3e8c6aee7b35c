//! Crates marked no_std, built for a microcontroller: the proof that neither they nor their dependencies need `std`.
//!
//! With rustup's target where it is installed; else with Debian's compiler, which ships the sources of `core`.

use crate::{Context, StepResult, install, run};
use std::path::Path;
use std::process::Command;

/// Cortex-M4F: no operating system, no 64-bit atomics.
const TARGET: &str = "thumbv7em-none-eabihf";
/// What must build for it: what ARCHITECTURE.md marks no_std (`tests/tidy` compares them).
const CRATES: &[&str] = &[
    "bundle", "core", "simd", "kernels", "cpu", "wire", "trust", "slots", "agent",
];
/// Debian's compiler, its cargo, and the sources of the standard library.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
/// What is there once they are installed.
const INSTALLED: &[&str] = &[
    "/usr/bin/rustc",
    "/usr/bin/cargo",
    "/usr/lib/rustlib/src/rust/library/core",
];

/// Installs a compiler for the target, where there is none.
pub(crate) fn install() -> StepResult {
    if has_target() || INSTALLED.iter().all(|path| Path::new(path).exists()) {
        return Ok(());
    }
    install::debian(DEBIAN).map_err(|error| format!("{error}; or run `rustup target add {TARGET}`"))
}

/// Builds them.
pub(crate) fn build(cx: &Context) -> StepResult {
    let packages: Vec<String> = CRATES.iter().map(|name| format!("sanderling-{name}")).collect();
    let packages = packages.iter().flat_map(|name| ["-p", name]);
    let args = [
        "build",
        "--quiet",
        "--profile=bare-metal",
        "--no-default-features",
        "--target",
        TARGET,
    ];
    if has_target() {
        return run(cx.cargo(&args).args(packages));
    }
    // Debian's cargo must find Debian's compiler; the flag needs the bootstrap switch outside nightly.
    let path = std::env::var("PATH").unwrap_or_default();
    run(cx
        .command("/usr/bin/cargo")
        .args(args)
        .arg("-Zbuild-std=core,alloc")
        .args(packages)
        .env("PATH", format!("/usr/bin:{path}"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", cx.root.join("target/bare"))
        .env_remove("CARGO")
        .env_remove("RUSTC")
        .env_remove("RUSTUP_TOOLCHAIN"))
}

fn has_target() -> bool {
    let output = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}
