//! The toy model of the tests of session, serve and daemon: `y = softmax(x · W)`, x [N, 2] of float32, the labels "left"
//! and "right". W is the unit matrix: the answer is the side of the larger number.
//!
//! It is small enough to be worked out by hand, and has what a bundle has: a constant, an open dimension, labels, golden
//! vectors. A test changes the manifest to what it is about.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a crate of tests")]

use sanderling_bundle::{
    BundleBuilder, Classification, Dim as SpecDim, Expect, GoldenInput, GoldenOutput, GoldenVector, Label,
    Manifest, PostProcessing, PostStep, ValueSpec,
};
use sanderling_core::plan;
use sanderling_core::{DType, Dim, Graph, Node, Tensor, TensorType, Value};

/// W: the unit matrix.
const UNIT: [f32; 4] = [1.0, 0.0, 0.0, 1.0];

/// The graph.
fn graph() -> Graph {
    let mut graph = Graph::default();
    let float = || {
        Some(TensorType {
            dtype: DType::F32,
            shape: vec![Dim::Symbol("N".to_string()), Dim::Fixed(2)],
        })
    };
    let x = graph.add_value(Value {
        name: "x".into(),
        ty: float(),
        constant: None,
    });
    let w = graph.add_constant("w", Tensor::from_slice(&[2, 2], &UNIT).unwrap());
    let z = graph.add_value(Value {
        name: "z".into(),
        ..Value::default()
    });
    let y = graph.add_value(Value {
        name: "y".into(),
        ty: float(),
        constant: None,
    });
    let node = |op: &str, inputs: Vec<_>, out| Node {
        name: op.to_lowercase(),
        op_type: op.to_string(),
        opset: 13,
        inputs,
        outputs: vec![Some(out)],
        ..Node::default()
    };
    graph.nodes = vec![
        node("MatMul", vec![Some(x), Some(w)], z),
        node("Softmax", vec![Some(z)], y),
    ];
    (graph.inputs, graph.outputs) = (vec![x], vec![y]);
    graph
}

/// The manifest of version 1 under a name.
#[must_use]
pub fn manifest(name: &str) -> Manifest {
    let spec = |name: &str| ValueSpec {
        name: name.to_string(),
        dtype: DType::F32,
        dims: vec![SpecDim::Symbol("N".into()), SpecDim::Fixed(2)],
        range: None,
        layout: None,
        semantic: None,
    };
    let label = |name: &str| Label {
        name: name.into(),
        answer: None,
        threshold: None,
        below_threshold: None,
    };
    let classes = Classification {
        labels: vec![label("left"), label("right")],
        softmax: false,
        top_k: 2,
        threshold: 0.0,
    };
    Manifest {
        name: name.into(),
        version: "1".into(),
        inputs: vec![spec("x")],
        outputs: vec![spec("y")],
        post: vec![PostProcessing {
            output: "y".into(),
            step: PostStep::Classification(classes),
        }],
        operators: vec!["ai.onnx:MatMul".into(), "ai.onnx:Softmax".into()],
        ..Manifest::default()
    }
}

/// A bundle of the model: its plan is for `target`, and its golden vector, if there is one, says that
/// [2, 2] gives `golden` and 0.5.
#[must_use]
pub fn bundle(manifest: Manifest, target: &str, golden: Option<f32>) -> Vec<u8> {
    let graph = graph();
    let (bytes, ids) = plan::encode(&graph, &plan::Arena::default()).unwrap();
    let mut builder = BundleBuilder::new(manifest);
    for id in ids {
        let tensor = graph.constant(id).unwrap();
        let dims: Vec<u64> = tensor.shape().iter().map(|&n| n as u64).collect();
        builder
            .tensor("w", tensor.dtype(), &dims, tensor.bytes().to_vec())
            .unwrap();
    }
    builder.plan(target, bytes).unwrap();
    let input: Vec<u8> = [2.0f32, 2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    if let Some(value) = golden {
        let output: Vec<u8> = [value, 0.5].iter().flat_map(|x| x.to_le_bytes()).collect();
        let vector = GoldenVector {
            name: "even",
            inputs: vec![GoldenInput {
                name: "x",
                dtype: DType::F32,
                dims: vec![1, 2],
                bytes: &input,
            }],
            outputs: vec![GoldenOutput {
                name: "y",
                dtype: DType::F32,
                dims: vec![1, 2],
                expect: Expect::Close {
                    bytes: &output,
                    abs: 1e-5,
                    rel: 0.0,
                },
            }],
        };
        builder.golden(&[vector]).unwrap();
    }
    builder.finish().unwrap()
}
