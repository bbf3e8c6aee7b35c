//! Layers and their digests: the same by every set of instructions, and none for what floats decide.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_core::{Graph, Node, Tensor, TensorType, Value, ValueId};
use sanderling_session::{Best, DType, Handover, Session, SessionOptions};

struct Build(Graph);

impl Build {
    fn value(&mut self, name: &str) -> ValueId {
        self.0.add_value(Value {
            name: name.into(),
            ..Value::default()
        })
    }

    fn node(&mut self, domain: &str, op: &str, inputs: &[ValueId], name: &str) -> ValueId {
        let output = self.value(name);
        self.0.nodes.push(Node {
            name: name.into(),
            domain: domain.into(),
            op_type: op.into(),
            opset: if domain.is_empty() { 17 } else { 1 },
            inputs: inputs.iter().map(|&id| Some(id)).collect(),
            outputs: vec![Some(output)],
            ..Node::default()
        });
        output
    }
}

/// x → Relu → quantise → add → dequantise → softmax → quantise.
fn graph() -> Graph {
    let mut build = Build(Graph::default());
    let x = build.0.add_value(Value {
        name: "x".into(),
        ty: Some(TensorType::fixed(DType::F32, &[2, 37])),
        constant: None,
    });
    build.0.inputs.push(x);
    let scale = build
        .0
        .add_constant("scale", Tensor::from_slice(&[], &[0.013f32]).unwrap());
    let zero = build
        .0
        .add_constant("zero", Tensor::from_slice(&[], &[7u8]).unwrap());
    let relu = build.node("", "Relu", &[x], "relu");
    let q = build.node("", "QuantizeLinear", &[relu, scale, zero], "q");
    let pair = [q, scale, zero, q, scale, zero, scale, zero];
    let sum = build.node("com.microsoft", "QLinearAdd", &pair, "sum");
    let back = build.node("", "DequantizeLinear", &[sum, scale, zero], "back");
    let soft = build.node("", "Softmax", &[back], "soft");
    let last = build.node("", "QuantizeLinear", &[soft, scale, zero], "last");
    build.0.outputs.push(last);
    build.0.check().unwrap();
    build.0
}

#[test]
fn digests_are_equal_by_all_instructions() {
    let values: Vec<f32> = (0..74).map(|i| ((i * 29 % 83) as f32 - 20.0) / 30.0).collect();
    let x = Tensor::from_slice(&[2, 37], &values).unwrap();
    let mut all = Vec::new();
    for instructions in Best::available() {
        let options = SessionOptions {
            instructions: Some(instructions),
            ..SessionOptions::default()
        };
        let mut session = Session::from_graph(graph(), &options).unwrap();
        let layers = session.layers(&[("x", x.view())]).unwrap();
        let names: Vec<&str> = layers.iter().map(|layer| layer.value.as_str()).collect();
        assert_eq!(names, ["relu", "q", "sum", "back", "soft", "last"]);
        let digests: Vec<_> = layers.iter().map(|layer| layer.digest).collect();
        let has: Vec<bool> = digests.iter().map(Option::is_some).collect();
        assert_eq!(has, [false, true, true, false, false, false]);
        // It is no run of the session's own.
        assert_eq!(session.counters().runs, 0);
        all.push(digests);
    }
    assert!(all.iter().all(|digests| *digests == all[0]));
}

/// Integers by way of a float constant: `pow` of a library is nobody's promise.
#[test]
fn a_float_constant_is_no_exact_input() {
    let mut build = Build(Graph::default());
    let x = build.0.add_value(Value {
        name: "x".into(),
        ty: Some(TensorType::fixed(DType::I32, &[4])),
        constant: None,
    });
    build.0.inputs.push(x);
    let exponent = build
        .0
        .add_constant("exponent", Tensor::from_slice(&[], &[0.5f32]).unwrap());
    let negated = build.node("", "Neg", &[x], "negated");
    let square = build.node("", "Mul", &[negated, x], "square");
    let power = build.node("", "Pow", &[x, exponent], "power");
    let sum = build.node("", "Add", &[square, power], "sum");
    build.0.outputs.push(sum);
    build.0.check().unwrap();
    let mut session = Session::from_graph(build.0, &SessionOptions::default()).unwrap();
    let x = Tensor::from_slice(&[4], &[4i32, 9, 16, 26]).unwrap();
    let layers = session.layers(&[("x", x.view())]).unwrap();
    let has: Vec<bool> = layers.iter().map(|layer| layer.digest.is_some()).collect();
    assert_eq!(has, [true, true, false, false], "{layers:?}");
}

#[test]
fn layers_refuse_what_a_run_refuses() {
    let mut session = Session::from_graph(graph(), &SessionOptions::default()).unwrap();
    let x = Tensor::from_slice(&[2, 37], &[f32::INFINITY; 74]).unwrap();
    let error = session.layers(&[("x", x.view())]).unwrap_err();
    assert_eq!(error.code(), "InputValue");
    assert_eq!(error, session.run(&[("x", x.view())]).err().unwrap());
}

#[test]
fn layers_in_steps_are_the_layers() {
    let mut session = Session::from_graph(graph(), &SessionOptions::default()).unwrap();
    let x = Tensor::from_slice(&[2, 37], &[0.3f32; 74]).unwrap();
    let whole = session.layers(&[("x", x.view())]).unwrap();
    let mut run = session.start_layers(&[("x", x.view())]).unwrap();
    // The CPU is waited for by nobody: it is done at the first look.
    assert_eq!(session.poll_layers(&mut run).unwrap(), Some(whole));
    let error = session.start_layers(&[("y", x.view())]).err().unwrap();
    assert_eq!(error.code(), "InputName");
}

#[test]
fn a_session_is_handed_over_once_and_has_run() {
    let coming = Session::from_graph(graph(), &SessionOptions::default()).unwrap();
    let mut handover = Handover::new(coming).unwrap();
    assert!(handover.is_pending());
    let session = handover.poll().unwrap();
    assert!(!session.kernels().is_empty(), "it has run");
    assert!(handover.poll().is_none() && !handover.is_pending() && handover.reason().is_none());
}
