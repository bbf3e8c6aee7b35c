//! The steps of `cargo xtask test`, in order.

use crate::{
    Context, StepResult, aarch64, android, bare, board, cuda, embedded, everywhere, install, ios, python,
    run, wasm,
};

/// One step.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&Context) -> StepResult,
}

/// All steps. Cheap ones that fail often come first.
pub(crate) const ALL: &[Step] = &[
    Step {
        name: "setup",
        about: "install what the tests need",
        run: install::all,
    },
    Step {
        name: "fmt",
        about: "formatting",
        run: |cx| run(&mut cx.cargo(&["fmt", "--all", "--check"])),
    },
    Step {
        name: "clippy",
        about: "lints, warnings as errors",
        run: clippy,
    },
    Step {
        name: "unit",
        about: "unit, property and integration tests of every crate",
        run: unit,
    },
    Step {
        name: "bare-metal",
        about: "no_std crates for a Cortex-M4F",
        run: bare::build,
    },
    Step {
        name: "embedded",
        about: "firmware for a Cortex-M4F and an RV32IMC, in QEMU: digests as natively, arena and stack as certified",
        run: embedded::test,
    },
    Step {
        name: "aarch64",
        about: "kernels and integer vectors on 64-bit Arm, in QEMU",
        run: aarch64::test,
    },
    Step {
        name: "build",
        about: "the release build of the README's first command",
        run: build,
    },
    Step {
        name: "conformance",
        about: "ONNX backend cases that passed still pass",
        run: conformance,
    },
    Step {
        name: "exactness",
        about: "NumPy passes the vectors of docs/numerics.md",
        run: exactness,
    },
    Step {
        name: "models",
        about: "zoo models against onnxruntime",
        run: models,
    },
    Step {
        name: "wasm",
        about: "the npm package in Node and in Chromium: digests as natively, bad input, sizes",
        run: wasm::test,
    },
    Step {
        name: "python",
        about: "the wheel: digests as natively, bad input, threads",
        run: python::test,
    },
    Step {
        name: "android",
        about: "the Java library on this JVM: digests as natively, bad input, an update from a real server",
        run: android::test,
    },
    Step {
        name: "ios",
        about: "the Swift package's C side: module map, header, calls",
        run: ios::test,
    },
    Step {
        name: "deb",
        about: "the packages of boards: unit, lintian, a prediction, an update under load; arm64 in QEMU",
        run: board::test,
    },
    Step {
        name: "e2e",
        about: "the demo, bad input, kills, restarts, the page in a real browser",
        run: end_to_end,
    },
    Step {
        name: "everywhere",
        about: "the int8 models on every target: equal digests of every integer layer",
        run: everywhere::all,
    },
];

/// What the step `unit` covers: the rest runs whole processes.
pub(crate) const UNIT_TESTED: &[&str] = &[
    "--workspace",
    "--exclude",
    "sanderling-e2e",
    "--exclude",
    "sanderling-xtask",
];

fn clippy(cx: &Context) -> StepResult {
    run(&mut cx.cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn unit(cx: &Context) -> StepResult {
    let mut args = UNIT_TESTED.to_vec();
    args.extend(cx.full.then_some("--features=sanderling-tidy/full"));
    let mut cargo = cx.cargo(&["test"]);
    cargo.args(args);
    if let Some(nvrtc) = cuda::library(cx)? {
        cargo.env("SANDERLING_NVRTC", nvrtc);
    }
    run(&mut cargo)
}

fn build(cx: &Context) -> StepResult {
    run(&mut cx.cargo(&["build", "--release"]))
}

fn conformance(cx: &Context) -> StepResult {
    let cases = cx.python_package("onnx")?.join("backend/test/data");
    run(cx
        .cargo(&[
            "run",
            "--release",
            "--quiet",
            "-p",
            "sanderling-conformance",
            "--",
        ])
        .arg(cases))
}

fn exactness(cx: &Context) -> StepResult {
    run(cx
        .command(cx.python())
        .args(["tests/exactness/numerics.py", "check"]))
}

fn models(cx: &Context) -> StepResult {
    run(cx
        .command(cx.python())
        .arg("tests/bench/compare.py")
        .arg("--check"))
}

fn end_to_end(cx: &Context) -> StepResult {
    let test = ["test", "--release", "-p", "sanderling-e2e"];
    run(cx.cargo(&test).args(["--", "--nocapture", "--test-threads=1"]))
}

impl Context {
    /// Folder of a package in the tests' Python environment.
    pub(crate) fn python_package(&self, name: &str) -> Result<std::path::PathBuf, String> {
        let code =
            format!("import importlib.util as u; print(u.find_spec('{name}').submodule_search_locations[0])");
        let output = self
            .command(self.python())
            .args(["-c", &code])
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().into())
        } else {
            Err(format!(
                "the Python package {name} is not installed; run `cargo xtask setup`"
            ))
        }
    }
}
