//! Microcontrollers: the firmware of examples/cortex-m, built for two boards, booted in QEMU, and judged.

use crate::toolchain::{Target, linker};
use crate::{Context, StepResult, install, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A target and QEMU's machine for it.
struct Board {
    target: Target,
    emulator: &'static str,
    machine: &'static [&'static str],
}

/// With an FPU, and without: what has no F and D and still runs needs neither. `core` alone is built: there is no heap to link.
const BOARDS: &[Board] = &[
    Board {
        target: Target {
            triple: "thumbv7em-none-eabihf",
            std: "core",
        },
        emulator: "qemu-system-arm",
        machine: &["-M", "mps2-an386"],
    },
    Board {
        target: Target {
            triple: "riscv32imc-unknown-none-elf",
            std: "core",
        },
        emulator: "qemu-system-riscv32",
        machine: &[
            "-M",
            "virt",
            "-cpu",
            "rv32,a=off,f=off,d=off",
            "-m",
            "32M",
            "-bios",
            "none",
        ],
    },
];
const PACKAGE: &str = "sanderling-cortex-m";
const MODEL: &str = "examples/cortex-m/model";
/// Debian's package with the test images.
const DATA: (&str, &str) = ("/usr/share/datasets/fashion-mnist", "dataset-fashion-mnist");

/// What one board did: a row of a table of targets and models.
pub(crate) struct Row {
    pub(crate) target: String,
    pub(crate) model: String,
    /// Of the first image.
    pub(crate) label: String,
    /// Integer layers compared with the native session's.
    pub(crate) layers: usize,
    pub(crate) differences: usize,
    /// None: an emulator's time says nothing of a board.
    pub(crate) milliseconds: Option<f64>,
    /// Bytes of flash, bundle and images included.
    pub(crate) artefact_bytes: usize,
}

/// Installs compilers, linker, emulators and test images.
pub(crate) fn install() -> StepResult {
    for board in BOARDS {
        board.target.install()?;
        if !board.target.is_installed() && linker("ld.lld").is_none() {
            install::debian(&["lld"])?;
        }
    }
    if !Path::new(DATA.0).is_dir() {
        install::debian(&[DATA.1])?;
    }
    Ok(())
}

/// The step: the model is what its script makes, is as good as it says, and runs on every board as it does here.
pub(crate) fn test(cx: &Context) -> StepResult {
    run(cx
        .command(cx.python())
        .args(["-B", &format!("{MODEL}/quantise.py"), "--check"]))?;
    for row in rows(cx)? {
        println!(
            "{} {}: {}, {} integer layers, {} differences, {}, {} bytes",
            row.target,
            row.model,
            row.label,
            row.layers,
            row.differences,
            row.milliseconds
                .map_or("-".to_string(), |ms| format!("{ms:.1} ms")),
            row.artefact_bytes
        );
        if row.differences > 0 {
            return Err(format!("{} differs from the native session", row.target));
        }
    }
    Ok(())
}

/// Builds and boots the firmware for every board.
pub(crate) fn rows(cx: &Context) -> Result<Vec<Row>, String> {
    let folder = cx.target_folder().join("embedded");
    fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
    let bundle = folder.join("fashion.sdl");
    let judge = ["run", "--quiet", "-p", PACKAGE, "--"];
    run(cx.cargo(&judge).args(["pack", MODEL]).arg(&bundle))?;
    BOARDS
        .iter()
        .map(|board| board.row(cx, &folder, &bundle))
        .collect()
}

impl Board {
    fn row(&self, cx: &Context, folder: &Path, bundle: &Path) -> Result<Row, String> {
        let elf = self.build(cx, bundle)?;
        let log = folder.join(format!("{}.log", self.target.triple));
        let printed =
            File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        // A firmware that hangs must not hang the tests.
        run(cx
            .command("timeout")
            .args(["120", self.emulator, "-nographic"])
            .args(["-semihosting-config", "enable=on,target=native"])
            .args(self.machine)
            .arg("-kernel")
            .arg(&elf)
            .stdin(std::process::Stdio::null())
            .stdout(printed))
        .map_err(|error| {
            format!(
                "{error}; it said:\n{}",
                fs::read_to_string(&log).unwrap_or_default()
            )
        })?;
        let output = cx
            .cargo(&["run", "--quiet", "-p", PACKAGE, "--", "judge"])
            .args([bundle, &elf, &log])
            .arg(self.target.triple)
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        print!("{text}");
        let said = String::from_utf8_lossy(&output.stderr);
        eprint!("{said}");
        let row = text.lines().find_map(|line| line.strip_prefix("row\t"));
        row.and_then(Row::read).ok_or_else(|| said.into_owned())
    }

    /// The firmware, as an ELF file.
    fn build(&self, cx: &Context, bundle: &Path) -> Result<PathBuf, String> {
        let target = &self.target;
        let mut cargo = target.cargo(cx, &["build", "--quiet", "--profile=firmware", "-p", PACKAGE]);
        if let (Some(linker), false) = (linker("ld.lld"), target.is_installed()) {
            let name = target.triple.to_uppercase().replace('-', "_");
            cargo.env(format!("CARGO_TARGET_{name}_LINKER"), linker);
        }
        run(cargo.env("SANDERLING_BUNDLE", bundle))?;
        Ok(target
            .target_folder(cx)
            .join(target.triple)
            .join("firmware")
            .join(PACKAGE))
    }
}

impl Row {
    /// Reads what the judge prints.
    fn read(line: &str) -> Option<Self> {
        let mut words = line.split('\t');
        let mut word = || words.next().map(String::from);
        Some(Self {
            target: word()?,
            model: word()?,
            label: word()?,
            layers: word()?.parse().ok()?,
            differences: word()?.parse().ok()?,
            milliseconds: word()?.parse().ok(),
            artefact_bytes: word()?.parse().ok()?,
        })
    }
}
