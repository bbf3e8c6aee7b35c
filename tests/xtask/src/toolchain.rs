//! Cargo for another target: with rustup's standard library for it where that is installed; else with Debian's compiler,
//! which ships the sources, and builds it.

use crate::{Context, StepResult, install};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Debian's compiler, its cargo, and the sources of the standard library.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];
/// What is there once they are installed.
const INSTALLED: &[&str] = &[
    "/usr/bin/rustc",
    "/usr/bin/cargo",
    "/usr/lib/rustlib/src/rust/library/core",
];

/// A target, and what of the standard library its crates want.
pub(crate) struct Target {
    /// Target triple.
    pub(crate) triple: &'static str,
    /// Crates of the standard library, for `-Zbuild-std`.
    pub(crate) std: &'static str,
}

impl Target {
    /// Installs a compiler for the target, where there is none.
    pub(crate) fn install(&self) -> StepResult {
        if self.is_installed() || INSTALLED.iter().all(|path| Path::new(path).exists()) {
            return Ok(());
        }
        install::debian(DEBIAN)
            .map_err(|error| format!("{error}; or run `rustup target add {}`", self.triple))
    }

    /// Cargo with these arguments, for the target, with a target folder of its own.
    pub(crate) fn cargo(&self, cx: &Context, args: &[&str]) -> Command {
        let target = ["--target", self.triple];
        if self.is_installed() {
            let mut command = cx.cargo(args);
            command.args(target);
            return command;
        }
        // Debian's cargo must find Debian's compiler; the flag needs the bootstrap switch outside nightly.
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = cx.command("/usr/bin/cargo");
        command
            .args(args)
            .args(target)
            .arg(format!("-Zbuild-std={}", self.std))
            .env("PATH", format!("/usr/bin:{path}"))
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_TARGET_DIR", self.target_folder(cx))
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN");
        command
    }

    /// Where cargo puts what it builds for the target.
    pub(crate) fn target_folder(&self, cx: &Context) -> PathBuf {
        let folder = cx.target_folder();
        if self.is_installed() {
            folder
        } else {
            folder.join("cross")
        }
    }

    /// Whether rustup has the standard library for it.
    pub(crate) fn is_installed(&self) -> bool {
        let output = Command::new("rustc")
            .args(["--print", "target-libdir", "--target", self.triple])
            .output();
        output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
    }
}

/// Rust's own linker where rustup has it, else Debian's of this name.
pub(crate) fn linker(debian: &str) -> Option<PathBuf> {
    let rustc = |args: &[&str]| {
        let output = Command::new("rustc").args(args).output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_string())
    };
    let host = rustc(&["--print", "host-tuple"])?;
    let ours = Path::new(&rustc(&["--print", "sysroot"])?)
        .join("lib/rustlib")
        .join(host)
        .join("bin/rust-lld");
    let theirs = || install::is_there(debian).then(|| PathBuf::from(debian));
    if ours.is_file() { Some(ours) } else { theirs() }
}
