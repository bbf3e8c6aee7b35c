//! The CPU backend gives the vectors' bytes on every instruction set of this machine, for one thread and for three.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_core::backend::{Backend, Located, Segment, run_blocking};
use sanderling_core::infer::specialise;
use sanderling_core::partition::partition;
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{Graph, Node, OpTable, Tensor, TensorType, Value, ops};
use sanderling_cpu::{Best, CpuBackend, CpuOptions, CpuTable, ThreadPool};
use sanderling_exactness::{Vector, vectors};
use std::rc::Rc;

const TABLE: OpTable<'static> = OpTable(ops::ALL);
/// Operators of which a vector may be left to the reference: products of two computed matrices or of batches, three spatial
/// axes, channels last.
const MAY_BE_REFERENCE: &[&str] = &[
    "QLinearMatMul",
    "QGemm",
    "QLinearConv",
    "QLinearGlobalAveragePool",
];

/// The vector as a graph: the first tensor of the operator is an input, and so is the second where `two`.
fn graph(vector: &Vector, two: bool) -> (Graph, Vec<Tensor>) {
    let mut graph = Graph::default();
    let mut given = Vec::new();
    let mut ids = Vec::new();
    for (i, input) in vector.inputs.iter().enumerate() {
        let id = input.as_ref().map(|tensor| {
            let name = format!("in{i}");
            if i == 0 || (two && i == 3) {
                let id = graph.add_value(Value {
                    name,
                    ty: Some(tensor.ty()),
                    constant: None,
                });
                graph.inputs.push(id);
                given.push(tensor.clone());
                id
            } else {
                graph.add_constant(name, tensor.clone())
            }
        });
        ids.push(id);
    }
    let out = graph.add_value(Value {
        name: "out".into(),
        ..Value::default()
    });
    graph.outputs.push(out);
    graph.nodes.push(Node {
        name: "node".into(),
        domain: vector.domain.into(),
        op_type: vector.op.clone(),
        opset: vector.opset,
        inputs: ids,
        outputs: vec![Some(out)],
        attributes: vector.attributes.clone(),
    });
    graph.check().unwrap();
    (graph, given)
}

/// The output, and the kernel that computed it.
fn run(backend: &CpuBackend, graph: &Graph, given: &[Tensor]) -> (Tensor, String) {
    let (bytes, ids) = encode(graph, &Arena::default()).unwrap();
    let plan = PlanView::parse(&bytes).unwrap();
    let constants: Vec<Tensor> = ids
        .iter()
        .map(|&id| graph.constant(id).unwrap().clone())
        .collect();
    let types: Vec<TensorType> = given.iter().map(Tensor::ty).collect();
    let facts = specialise(&plan, &constants, TABLE, &types).unwrap();
    let parts = partition(&plan, &facts, &[backend]).unwrap();
    let part = &parts[0];
    let mut executable = backend
        .prepare(&Segment {
            plan,
            nodes: part.nodes.clone(),
            facts: &facts,
            inputs: &part.inputs,
            outputs: &part.outputs,
            constants: Rc::new(constants),
            memory_limit: 1 << 30,
        })
        .unwrap();
    let located: Vec<Located<'_>> = part
        .inputs
        .iter()
        .map(|id| {
            let at = graph.inputs.iter().position(|input| input == id).unwrap();
            Located::Host(given[at].view())
        })
        .collect();
    run_blocking(&mut *executable, &located, || {}).unwrap();
    let kernel = executable.kernels().remove(0).1;
    let found = executable.read_output(0).unwrap().unwrap().to_tensor();
    (found, kernel)
}

#[test]
fn the_cpu_gives_every_vector() {
    let all = vectors().unwrap();
    let mut by_kernel = 0;
    for (isa, threads) in Best::available().flat_map(|isa| [(isa, 1), (isa, 3)]) {
        let options = CpuOptions {
            isa,
            parallel: Rc::new(ThreadPool::new(threads)),
            profile: None,
        };
        let backend = CpuBackend::new(CpuTable(sanderling_cpu::ops::ALL), TABLE, options);
        for vector in &all {
            let computed = matches!(vector.op.as_str(), "QLinearAdd" | "QLinearMul" | "QLinearMatMul");
            for two in [false, true].into_iter().take(1 + usize::from(computed)) {
                let (graph, given) = graph(vector, two);
                let (found, kernel) = run(&backend, &graph, &given);
                let by_reference = kernel.starts_with("reference");
                by_kernel += usize::from(!by_reference);
                assert!(
                    !by_reference || MAY_BE_REFERENCE.contains(&vector.op.as_str()),
                    "{}: no kernel",
                    vector.name
                );
                assert!(
                    found == vector.output,
                    "{} by {kernel} on {}, {threads} threads: other bytes",
                    vector.name,
                    isa.name()
                );
            }
        }
    }
    assert!(by_kernel > 80, "only {by_kernel} runs by kernels");
}
