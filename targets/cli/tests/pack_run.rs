//! `pack`, `run`, `inspect`, `verify` and `bench` as a user runs them, on the model in examples/magika.
#![allow(missing_docs, clippy::unwrap_used)]

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use tempfile::TempDir;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sanderling(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sanderling"));
    command.args(args).current_dir(folder).output().unwrap()
}

/// Standard output of a command that must succeed.
fn text(args: &[&str]) -> String {
    let output = sanderling(args, &root());
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "sanderling {args:?}:\n{stdout}{stderr}");
    stdout.into_owned()
}

/// The JSON document that a command prints.
fn json(args: &[&str]) -> Value {
    let text = text(&[args, &["--json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("sanderling {args:?}: {error}\n{text}"))
}

/// What a command that must fail prints on standard error.
fn failure(args: &[&str]) -> String {
    let output = sanderling(args, &root());
    assert_eq!(output.status.code(), Some(1), "sanderling {args:?}: {output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The model packed as it is and with int8 weights, once for all tests.
struct Bundles {
    folder: TempDir,
    float: String,
    int8: String,
}

static BUNDLES: LazyLock<Bundles> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (float, int8) = (path("float.sdl"), path("int8.sdl"));
    text(&["pack", "examples/magika/model.onnx", "--out", &float]);
    text(&[
        "pack",
        "examples/magika",
        "--out",
        &int8,
        "--quantise",
        "int8",
        "--version",
        "3.3.0-int8",
        "--parent",
        &float,
    ]);
    Bundles { folder, float, int8 }
});

const FILES: [(&str, &str); 3] = [
    ("examples/magika/README.md", "markdown"),
    ("Cargo.toml", "toml"),
    ("runtime/core/src/infer.rs", "rust"),
];

fn labels(bundle: &str) -> Vec<String> {
    let files = FILES.map(|(file, _)| file);
    let answers = json(&[["run", bundle].as_slice(), &files].concat());
    let rows = answers["answers"].as_array().unwrap().clone();
    rows.iter()
        .map(|row| row["label"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn a_packed_model_is_whole_and_says_what_it_is() {
    let bundle = BUNDLES.float.as_str();
    text(&["verify", bundle]);
    let shown = json(&["inspect", bundle]);
    assert_eq!(shown["manifest"]["name"], "magika");
    assert_eq!(shown["manifest"]["version"], "3.3.0");
    assert_eq!(shown["manifest"]["licence"]["spdx"], "Apache-2.0");
    assert_eq!(shown["golden_vectors"], 2);
    assert_eq!(shown["inputs"][0]["name"], "bytes");
    let int8 = json(&["inspect", &BUNDLES.int8]);
    assert_eq!(int8["manifest"]["lineage"]["parent"], shown["sha256"]);
    assert!(int8["length"].as_u64().unwrap() < shown["length"].as_u64().unwrap());
    assert!(
        int8["manifest"]["lineage"]["quantisation"]["layers"]
            .as_array()
            .is_some_and(|layers| !layers.is_empty())
    );
}

#[test]
fn packing_twice_gives_the_same_bytes_and_the_default_name() {
    let folder = tempfile::tempdir().unwrap();
    let model = root().join("examples/magika/sanderling.toml");
    let output = sanderling(&["pack", model.to_str().unwrap(), "--json"], folder.path());
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bundle"], "magika-3.3.0.sdl");
    assert!(report["nodes_after"].as_u64().unwrap() <= report["nodes_before"].as_u64().unwrap());
    let again = std::fs::read(folder.path().join("magika-3.3.0.sdl")).unwrap();
    assert_eq!(again, std::fs::read(&BUNDLES.float).unwrap());
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        1,
        "nothing half-written stays"
    );
}

#[test]
fn files_come_out_as_labels_quantised_or_not() {
    let expected = FILES.map(|(_, label)| label);
    assert_eq!(labels(&BUNDLES.float), expected);
    assert_eq!(labels(&BUNDLES.int8), expected);
    let lines = text(&["run", &BUNDLES.float, "Cargo.toml", "--top-k", "2"]);
    assert!(
        lines.starts_with("Cargo.toml: toml ") && lines.contains('['),
        "{lines}"
    );
}

#[test]
fn a_file_that_cannot_be_read_does_not_hold_up_the_others() {
    let output = sanderling(&["run", &BUNDLES.float, "no-such-file", "Cargo.toml"], &root());
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        lines.contains("no-such-file: error: ") && lines.contains("Cargo.toml: toml"),
        "{lines}"
    );
}

#[test]
fn random_input_is_the_same_for_a_seed() {
    let run = |seed: &str| {
        json(&["run", "examples/magika/model.onnx", "--random", "--seed", seed])["outputs"].clone()
    };
    let one = run("1");
    assert_eq!(one, run("1"));
    assert_ne!(one, run("2"));
    assert_eq!(one[0]["type"], "float32[1,214]");
    // The same numbers, whether the graph was packed or optimised in memory.
    let packed = json(&["run", &BUNDLES.float, "--random", "--seed", "1"]);
    assert!(packed["answer"]["label"].is_string());
}

#[test]
fn arrays_go_in_and_come_out() {
    let folder = BUNDLES.folder.path();
    let npy = folder.join("tokens.npy");
    std::fs::write(&npy, tokens(&root().join("Cargo.toml"))).unwrap();
    let out = folder.join("out");
    let input = format!("bytes={}", npy.display());
    let ran = json(&[
        "run",
        &BUNDLES.float,
        "--input",
        &input,
        "--output-dir",
        out.to_str().unwrap(),
    ]);
    assert_eq!(ran["answer"]["label"], "toml");
    let written = std::fs::read(out.join("target_label.npy")).unwrap();
    assert!(written.starts_with(b"\x93NUMPY") && written.len() > 214 * 4);
    // What was written can be read; it is not what the model takes, and the error says so.
    let error = failure(&[
        "run",
        &BUNDLES.float,
        "--input",
        out.join("target_label.npy").to_str().unwrap(),
    ]);
    assert!(
        error.contains("float32[1,214]") && error.contains("int32"),
        "{error}"
    );
    let error = failure(&["run", &BUNDLES.float, "--input", "image=x.npy"]);
    assert!(
        error.contains("no input 'image'") && error.contains("bytes"),
        "{error}"
    );
}

/// The model's input for a text file of more than 2 kB without white space around it: an `.npy` file.
fn tokens(file: &Path) -> Vec<u8> {
    let bytes = std::fs::read(file).unwrap();
    let content = bytes.trim_ascii();
    let ends = content[..1024].iter().chain(&content[content.len() - 1024..]);
    let header = format!(
        "{:<117}\n",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (1, 2048), }"
    );
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend((header.len() as u16).to_le_bytes());
    npy.extend(header.as_bytes());
    ends.for_each(|&byte| npy.extend(i32::from(byte).to_le_bytes()));
    npy
}

#[test]
fn timing_says_where_time_goes() {
    let report = json(&["bench", &BUNDLES.float, "--runs", "3", "--profile"]);
    assert_eq!(report["runs"], 3);
    assert!(report["median_ms"].as_f64().unwrap() <= report["p99_ms"].as_f64().unwrap());
    let share = report["profile"]["operators"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["share"].as_f64().unwrap());
    assert!((share.sum::<f64>() - 1.0).abs() < 1e-6);
}

#[test]
fn what_cannot_be_packed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_string()
    };
    for (file, word) in [
        (write("page.onnx", b"<!DOCTYPE html>"), "HTML"),
        (write("empty.onnx", b""), "empty"),
        (
            write(
                "recipe.toml",
                b"name = \"x\"\nversion = \"1\"\nmodle = \"m.onnx\"",
            ),
            "modle",
        ),
    ] {
        let error = failure(&["pack", &file, "--out", "/dev/null"]);
        assert!(error.contains(&file) && error.contains(word), "{error}");
    }
    let error = failure(&[
        "pack",
        "examples/magika",
        "--name",
        "dogs",
        "--parent",
        &BUNDLES.float,
        "--out",
        "/dev/null",
    ]);
    assert!(error.contains("'dogs'") && error.contains("'magika'"), "{error}");
    assert!(
        failure(&[
            "pack",
            "examples/magika",
            "--skip-pass",
            "no-such-pass",
            "--out",
            "/dev/null"
        ])
        .contains("passes are")
    );
}

#[test]
fn what_never_ends_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    for path in ["/dev/zero", fifo.to_str().unwrap()] {
        for args in [
            vec!["run", path, "--random"],
            vec!["run", &BUNDLES.float, "--input", path],
            vec!["pack", path],
            vec!["pack", "examples/magika", "--parent", path],
            vec!["verify", path],
            vec!["inspect", path],
            vec!["bench", path],
            vec!["serve", path],
        ] {
            let said = failure(&args);
            assert!(said.contains("a pipe or a device"), "{args:?}: {said}");
            assert!(!said.contains("os error"), "{said}");
        }
        // One file among others: the line of that file says it.
        let output = sanderling(&["run", &BUNDLES.float, path], &root());
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("a pipe or a device"), "{said}");
    }
    let said = failure(&["verify", "nowhere.sdl"]);
    assert!(
        said.contains("nowhere.sdl") && !said.contains("os error"),
        "{said}"
    );
}

#[test]
fn a_recipe_that_cannot_be_meant_is_refused_with_its_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let magika = root().join("examples/magika");
    for file in std::fs::read_dir(&magika).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let recipe = folder.path().join("sanderling.toml");
    let text = std::fs::read_to_string(&recipe).unwrap();
    let path = recipe.to_str().unwrap();
    for (line, instead, said) in [
        (
            "threshold = 0.5",
            "threshold = nan",
            "classification.threshold: it is NaN; give a number from 0 to 1",
        ),
        ("top_k = 3", "top_k = 0", "classification.top_k: it is 0"),
        (
            "range = [0, 256]",
            "range = [256, 0]",
            "inputs.bytes.range: it is [256, 0]",
        ),
        (
            "range = [0, 256]",
            "range = [nan, 256]",
            "inputs.bytes.range: it is [NaN, 256]",
        ),
        ("version = \"3.3.0\"", "version = \"\"", "version: it is \"\""),
        (
            "version = \"3.3.0\"",
            "version = \"3\\n3\"",
            "version: it is \"3\\n3\"",
        ),
        ("crt = 0.9", "crt = inf", "thresholds.crt: it is inf"),
        (
            "labels = \"labels.txt\"",
            "labels = \"/dev/zero\"",
            "/dev/zero: it is no regular file",
        ),
    ] {
        assert!(text.contains(line), "{line}");
        std::fs::write(&recipe, text.replacen(line, instead, 1)).unwrap();
        let error = failure(&["pack", path, "--out", "/dev/null"]);
        assert!(error.contains(said), "{instead}: {error}");
        assert!(error.contains(path) || error.contains("/dev/zero"), "{error}");
    }
    let output = sanderling(&["pack", path, "--version", ""], &root());
    assert_eq!(output.status.code(), Some(2));
}
