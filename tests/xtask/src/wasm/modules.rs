//! The WebAssembly modules of the npm package: a table, and how a row becomes a file.

use super::TARGET;
use crate::toolchain::linker;
use crate::{Context, StepResult, run};
use std::fs;
use std::path::{Path, PathBuf};

/// A module.
pub(super) struct Module {
    /// What its file is called: `<name>_bg.wasm`.
    pub(super) name: &'static str,
    /// The binary of targets/wasm that it is. Modules of one binary share the glue in `<bin>.js`; the first has this name.
    bin: &'static str,
    /// Instructions that it may hold.
    instructions: Instructions,
    /// Features of targets/wasm beside those of the instructions.
    features: &'static [&'static str],
    /// Most bytes, and most after gzip.
    most: [u64; 2],
}

/// Instructions beyond what every engine with reference types has.
#[derive(Clone, Copy)]
enum Instructions {
    Scalar,
    Simd128,
    Relaxed,
}

/// Every module: operators of int8 image classifiers for three sorts of engine, every operator, the first
/// with WebGPU, and the updater.
pub(super) const ALL: &[Module] = &[
    Module {
        name: "sanderling_wasm_vision",
        bin: "sanderling_wasm_vision",
        instructions: Instructions::Simd128,
        features: &[],
        most: [600_000, 250_000],
    },
    Module {
        name: "sanderling_wasm_vision_scalar",
        bin: "sanderling_wasm_vision",
        instructions: Instructions::Scalar,
        features: &[],
        most: [600_000, 250_000],
    },
    Module {
        name: "sanderling_wasm_vision_relaxed",
        bin: "sanderling_wasm_vision",
        instructions: Instructions::Relaxed,
        features: &[],
        most: [600_000, 250_000],
    },
    Module {
        name: "sanderling_wasm_all",
        bin: "sanderling_wasm_all",
        instructions: Instructions::Simd128,
        features: &[],
        most: [2_500_000, 700_000],
    },
    Module {
        name: "sanderling_wasm_webgpu",
        bin: "sanderling_wasm_webgpu",
        instructions: Instructions::Simd128,
        features: &[],
        most: [1_500_000, 400_000],
    },
    Module {
        name: "sanderling_wasm_agent",
        bin: "sanderling_wasm_agent",
        instructions: Instructions::Simd128,
        features: &[],
        most: [600_000, 250_000],
    },
];

/// The module of `sanderling/vision` for these instructions, by the name they have in JavaScript.
pub(super) fn vision(instructions: &str) -> Option<&'static Module> {
    let mut all = ALL.iter().filter(|module| module.bin == "sanderling_wasm_vision");
    all.find(|module| module.instructions.name() == instructions)
}

/// The module of this name.
pub(super) fn named(name: &str) -> Option<&'static Module> {
    ALL.iter().find(|module| module.name == name)
}

/// What wasm-opt may use beside vectors: all of it is in browsers since 2023.
const ENGINE: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-multivalue",
];

impl Instructions {
    /// As in the option of the package.
    fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Simd128 => "simd128",
            Self::Relaxed => "relaxed",
        }
    }

    /// The feature of targets/wasm.
    fn feature(self) -> Option<&'static str> {
        match self {
            Self::Scalar => None,
            Self::Simd128 => Some("simd128"),
            Self::Relaxed => Some("relaxed-simd"),
        }
    }

    /// What wasm-opt may use; it refuses a module that holds more.
    fn engine(self) -> &'static [&'static str] {
        match self {
            Self::Scalar => &[],
            Self::Simd128 => &["--enable-simd"],
            Self::Relaxed => &["--enable-simd", "--enable-relaxed-simd"],
        }
    }
}

impl Module {
    /// Builds it and writes its files into `package`.
    pub(super) fn build(&self, cx: &Context, package: &Path) -> StepResult {
        let module = self.compile(cx)?;
        let folder = cx.root.join("target/npm/modules").join(self.name);
        run(cx
            .command(super::bindgen(cx).join("bin/wasm-bindgen"))
            .args([
                "--target",
                "web",
                "--no-typescript",
                "--omit-default-module-path",
                "--out-name",
                self.bin,
                "--out-dir",
            ])
            .arg(&folder)
            .arg(module))?;
        self.share_glue(&folder, package)?;
        let bound = folder.join(format!("{}_bg.wasm", self.bin));
        let optimised = folder.join("optimised.wasm");
        let flags = [&["-Oz"], ENGINE, self.instructions.engine()].concat();
        self.optimise(cx, &bound, &optimised, &flags)?;
        copy(&optimised, &self.file(package))
    }

    /// Runs wasm-opt, unless it was for this module and with these flags that it ran last.
    fn optimise(&self, cx: &Context, from: &Path, to: &Path, flags: &[&str]) -> StepResult {
        let stamp = from.with_extension("stamp");
        let module = fs::read(from).map_err(|e| format!("cannot read {}: {e}", from.display()))?;
        let wanted = [flags.join(" ").as_bytes(), &module].concat();
        if to.exists() && fs::read(&stamp).is_ok_and(|found| found == wanted) {
            return Ok(());
        }
        let optimiser = cx.cache().join("npm/node_modules/binaryen/bin/wasm-opt");
        run(cx
            .command("node")
            .arg(optimiser)
            .args(flags)
            .arg(from)
            .arg("-o")
            .arg(to))?;
        fs::write(&stamp, wanted).map_err(|e| format!("cannot write {}: {e}", stamp.display()))
    }

    /// Puts the glue into the package, or finds that what is there is the same.
    fn share_glue(&self, folder: &Path, package: &Path) -> StepResult {
        let name = format!("{}.js", self.bin);
        let read = |folder: &Path| {
            let file = folder.join(&name);
            fs::read(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))
        };
        let glue = read(folder)?;
        if self.name == self.bin {
            let file = package.join(&name);
            return fs::write(&file, glue).map_err(|e| format!("cannot write {}: {e}", file.display()));
        }
        if glue == read(package)? {
            return Ok(());
        }
        Err(format!(
            "{} wants another {name} than {}: give it a binary of its own",
            self.name, self.bin
        ))
    }

    /// Where its WebAssembly lies in a package.
    pub(super) fn file(&self, package: &Path) -> PathBuf {
        package.join(format!("{}_bg.wasm", self.name))
    }

    /// A line that the tests read: name, most bytes, most after gzip.
    pub(super) fn limits(&self) -> String {
        format!("{} {} {}", self.name, self.most[0], self.most[1])
    }

    /// The same flags for all modules, so that they share the standard library; what they differ in are features.
    fn compile(&self, cx: &Context) -> Result<PathBuf, String> {
        let args = ["build", "--quiet", "--profile=wasm", "-p", "sanderling-wasm"];
        let mut cargo = TARGET.cargo(cx, &args);
        cargo.args(["--bin", self.bin]);
        let features = self.instructions.feature().into_iter();
        for feature in features.chain(self.features.iter().copied()) {
            cargo.args(["--features", feature]);
        }
        if let (Some(linker), false) = (linker("wasm-ld"), TARGET.is_installed()) {
            cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
        }
        // Where it was built is nobody's business, and makes two builds differ.
        let hide = |folder: &Path, name: &str| format!("--remap-path-prefix={}={name}", folder.display());
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
        let flags = [
            hide(&cx.root, "sanderling"),
            hide(&home.unwrap_or_default().join("registry/src"), "crates"),
        ];
        run(cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")))?;
        let folder = TARGET.target_folder(cx).join(TARGET.triple).join("wasm");
        // The next row may be the same binary with other features.
        let kept = folder.join(format!("{}.wasm", self.name));
        let built = folder.join(self.bin).with_extension("wasm");
        if built != kept {
            copy(&built, &kept)?;
        }
        Ok(kept)
    }
}

fn copy(from: &Path, to: &Path) -> StepResult {
    let copied = fs::copy(from, to).map(drop);
    copied.map_err(|e| format!("cannot copy {} to {}: {e}", from.display(), to.display()))
}
