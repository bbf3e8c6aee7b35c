//! Real int8 models: every integer layer has the same bytes by the references and by every set of instructions.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{Graph, OpTable, Tensor, ops, reference};
use sanderling_exactness::models;
use sanderling_session::{Best, Session, SessionOptions};
use std::collections::BTreeMap;

const TABLE: OpTable<'static> = OpTable(ops::ALL);

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

fn check((file, integer_layers): (&str, usize)) {
    let Some(graph) = models::graph(file).unwrap() else {
        return;
    };
    let input = models::image().unwrap();
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
    check(models::INT8[0]);
}

#[test]
fn page_orientation() {
    check(models::INT8[1]);
}
