//! Pack manifests: what is read, and what is refused with the key that is wrong.

use super::*;
use std::fs;

const GOOD: &str = r#"
name = "cats"
version = "1.2.0"
description = "Cats or not."
model_card = "README.md"
notice = ["LICENSE", "NOTICE"]
allowed_disagreement_ppm = 500

[licence]
spdx = "MIT"
attribution = "Copyright 2026 Nobody"

[lineage]
data_version = "d7"
metrics = { accuracy = 0.9 }

[dims]
batch = 2

[inputs.image]
range = [0, 255]
[inputs.image.pre.ImageU8]
height = 8
width = 8
layout = "Nchw"
channels = "Rgb"
mean = [127.0, 127.0, 127.0]
std = [128.0, 128.0, 128.0]
resize = { CenterCrop = { shorter = 10 } }

[outputs.scores.classification]
labels = "labels.txt"
softmax = true
thresholds = { cat = 0.7 }
answers = { dog = "no cat" }
below_threshold = { perhaps = "cats.txt", "?" = "" }

[golden]
random = 3
vectors = [{ name = "zeros", inputs = { image = "zeros.raw" } }]

[quantise]
weights = "int8"
skip = ["stem"]

[cascade]
confidence_threshold = 0.6
endpoint_model = "cats-large"
"#;

/// Writes the manifest and what it names, and loads it.
fn load(manifest: &str) -> Result<(Recipe, PathBuf), CompileError> {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("sanderling.toml", manifest),
        ("README.md", "# Cats"),
        ("LICENSE", "Do as you like."),
        ("NOTICE", "Nobody's."),
        ("labels.txt", "cat\ndog\n\n"),
        ("cats.txt", "cat\n"),
        ("zeros.raw", "\0\0\0\0"),
    ];
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    Recipe::load(&folder.path().join("sanderling.toml"))
}

#[test]
fn everything_is_read() {
    let (recipe, model) = load(GOOD).unwrap();
    assert!(model.ends_with("model.onnx"));
    assert_eq!((recipe.name.as_str(), recipe.version.as_str()), ("cats", "1.2.0"));
    assert_eq!(recipe.notice.as_deref(), Some("Do as you like.\n\nNobody's."));
    assert_eq!(recipe.model_card.as_deref(), Some("# Cats"));
    assert_eq!(recipe.metrics, [("accuracy".to_string(), 0.9)]);
    assert_eq!(recipe.inputs["image"].range, Some((0.0, 255.0)));
    assert!(matches!(recipe.inputs["image"].pre, Some(PreStep::ImageU8(_))));
    let labels = &recipe.outputs["scores"].classification.as_ref().unwrap().labels;
    let fields: Vec<_> = labels
        .iter()
        .map(|l| (l.name.as_str(), l.threshold, l.below_threshold.as_deref()))
        .collect();
    assert_eq!(
        fields,
        [("cat", Some(0.7), Some("perhaps")), ("dog", None, Some("?"))]
    );
    assert_eq!(labels[1].answer.as_deref(), Some("no cat"));
    assert_eq!(recipe.golden.random, 3);
    assert_eq!(recipe.golden.vectors[0].inputs["image"], [0; 4]);
    assert_eq!(recipe.quantise.unwrap().skip, ["stem"]);
    assert_eq!(recipe.cascade.unwrap().endpoint_model, "cats-large");
}

#[test]
fn the_least_is_a_name_and_a_version() {
    let (recipe, _) = load("name = 'm'\nversion = '1'\n").unwrap();
    assert_eq!(
        recipe,
        Recipe {
            version: "1".into(),
            ..Recipe::named("m")
        }
    );
}

#[test]
fn faults_name_the_key() {
    let with = |from: &str, to: &str| GOOD.replace(from, to);
    let cases = [
        ("version = '1'".to_string(), "name"),
        (with("notice =", "notcie ="), "notcie"),
        (with("weights = \"int8\"", "weights = \"int3\""), "int3"),
        (
            with("thresholds = { cat", "thresholds = { cow"),
            "outputs.scores.classification.thresholds: 'cow'",
        ),
        (
            with("answers = { dog", "answers = { cow"),
            "answers: 'cow' is not in labels.txt",
        ),
        (with("labels.txt", "missing.txt"), "missing.txt"),
        (with("\"LICENSE\"", "\"LICENCE\""), "LICENCE"),
        (with("layout = \"Nchw\"", "layout = \"Hwc\""), "Hwc"),
        ("name = ".to_string(), "sanderling.toml"),
    ];
    for (manifest, want) in cases {
        let error = load(&manifest).unwrap_err().to_string();
        assert!(error.contains(want), "{error:?} does not say {want:?}");
    }
}
