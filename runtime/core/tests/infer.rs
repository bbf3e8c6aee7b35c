//! What shapes alone decide: folding, names of dimensions, unknown operators.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{GraphBuilder, plan_of, ty};
use sanderling_core::plan::PlanView;
use sanderling_core::{
    Attribute, CoreError, DType, Graph, OpTable, Tensor, TensorType, ValueId, infer, ops, reference,
};

const TABLE: OpTable<'static> = OpTable(ops::ALL);

/// x [N, 3, 8] → Shape → Gather 0 → Unsqueeze → Concat with −1 → Reshape of x.
fn chain() -> (Graph, ValueId) {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[N,3,8]");
    let zero = g.ints("zero", &[], &[0]);
    let axes = g.ints("axes", &[1], &[0]);
    let rest = g.ints("rest", &[1], &[-1]);
    let shape = g.node("Shape", &[x], &[]);
    let n = g.node("Gather", &[shape, zero], &[]);
    let n = g.node("Unsqueeze", &[n, axes], &[]);
    let wanted = g.node("Concat", &[n, rest], &[("axis", Attribute::Int(0))]);
    let y = g.node("Reshape", &[x, wanted], &[]);
    (g.finish(&[y]), y)
}

#[test]
fn names_go_through_the_chain() {
    let (graph, y) = chain();
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let facts = infer::specialise(&plan, &constants, TABLE, &[ty("float32[N,3,8]")]).unwrap();
    assert_eq!(facts.ty(y).unwrap().to_string(), "float32[N,24]");
    assert!(!plan.nodes().any(|node| facts.is_folded(&node)));
}

#[test]
fn numbers_fold_the_chain() {
    let (graph, y) = chain();
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let facts = infer::specialise(&plan, &constants, TABLE, &[ty("float32[5,3,8]")]).unwrap();
    assert_eq!(facts.ty(y).unwrap().to_string(), "float32[5,24]");
    let left: Vec<&str> = plan
        .nodes()
        .filter(|node| !facts.is_folded(node))
        .map(|node| node.op_type())
        .collect();
    assert_eq!(left, ["Reshape"]);
    let x = Tensor::from_slice(&[5, 3, 8], &[1.5f32; 120]).unwrap();
    let outputs = reference::run(&plan, &constants, TABLE, &[x.view()], &mut |_, _| {}).unwrap();
    assert_eq!(outputs, [x.reshaped(&[5, 24]).unwrap()]);
}

#[test]
fn arithmetic_on_named_sizes() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[N,C,4]");
    let (one, two) = (g.ints("one", &[1], &[1]), g.ints("two", &[1], &[2]));
    let (first, end) = (g.ints("first", &[1], &[0]), g.ints("end", &[1], &[2]));
    let shape = g.node("Shape", &[x], &[]);
    let head = g.node("Slice", &[shape, first, end], &[]);
    let same = g.node("Mul", &[head, one], &[]);
    let tail = g.node("Mul", &[two, two], &[]);
    let wanted = g.node("Concat", &[same, tail], &[("axis", Attribute::Int(0))]);
    let wanted = g.node("Cast", &[wanted], &[("to", Attribute::Int(7))]);
    let y = g.node("Expand", &[x, wanted], &[]);
    let mut graph = g.finish(&[y]);
    infer::infer_graph(&mut graph, TABLE, infer::FOLD_LIMIT).unwrap();
    assert_eq!(graph.value(y).ty.as_ref().unwrap().to_string(), "float32[N,C,4]");
}

#[test]
fn only_data_decides() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[4]");
    let places = g.node("NonZero", &[x], &[]);
    let graph = g.finish(&[places]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let facts = infer::specialise(&plan, &constants, TABLE, &[ty("float32[4]")]).unwrap();
    assert_eq!(facts.ty(places).unwrap().to_string(), "int64[1,?]");
    let x = Tensor::from_slice(&[4], &[0.0f32, 2.0, 0.0, 3.0]).unwrap();
    let outputs = reference::run(&plan, &constants, TABLE, &[x.view()], &mut |_, _| {}).unwrap();
    assert_eq!(outputs, [Tensor::from_slice(&[1, 2], &[1i64, 3]).unwrap()]);
}

#[test]
fn unknown_operators_are_all_listed() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[4]");
    let a = g.node("NoSuchThing", &[x], &[]);
    let b = g.node("Relu", &[a], &[]);
    let c = g.node("NorThis", &[b], &[]);
    let graph = g.finish(&[c]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let error = infer::specialise(&plan, &constants, TABLE, &[ty("float32[4]")]).unwrap_err();
    let CoreError::UnknownOperators { nodes } = &error else {
        panic!("{error}")
    };
    let names: Vec<&str> = nodes.iter().map(|node| node.op.as_str()).collect();
    assert_eq!(names, [":NoSuchThing", ":NorThis"]);
    assert!(error.to_string().contains("NoSuchThing, opset 17"));
}

#[test]
fn errors_name_the_node_and_its_inputs() {
    let mut g = GraphBuilder::default();
    let (a, b) = (g.input("a", "float32[2]"), g.input("b", "float32[3]"));
    let c = g.node("Add", &[a, b], &[]);
    let graph = g.finish(&[c]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let inputs = [ty("float32[2]"), ty("float32[3]")];
    let error = infer::specialise(&plan, &constants, TABLE, &inputs)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("Add") && error.contains("float32[2], float32[3]"),
        "{error}"
    );
}

#[test]
fn inputs_must_fit_the_declaration() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[N,3]");
    let y = g.node("Relu", &[x], &[]);
    let graph = g.finish(&[y]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let refused = |inputs: &[TensorType]| infer::specialise(&plan, &constants, TABLE, inputs).is_err();
    assert!(refused(&[]));
    assert!(refused(&[ty("float32[1,4]")]));
    assert!(refused(&[ty("float32[3]")]));
    assert!(refused(&[TensorType::fixed(DType::F64, &[1, 3])]));
    assert!(!refused(&[ty("float32[7,3]")]));
}

/// Shape rules over names: operator, attributes, types of the inputs, type of the first output.
#[test]
fn shape_rules_carry_names() {
    let ints = |list: &[i64]| Attribute::Ints(list.to_vec());
    let same = || ("pads", ints(&[1, 1, 1, 1]));
    type Row<'a> = (&'a str, Vec<(&'a str, Attribute)>, &'a [&'a str], &'a str);
    let rows: &[Row<'_>] = &[
        (
            "Conv",
            vec![same()],
            &["float32[N,3,H,W]", "float32[8,3,3,3]"],
            "float32[N,8,H,W]",
        ),
        (
            "Conv",
            vec![same(), ("strides", ints(&[2, 1]))],
            &["float32[N,3,H,W]", "float32[8,3,3,3]"],
            "float32[N,8,?,W]",
        ),
        (
            "Conv",
            vec![("group", Attribute::Int(3))],
            &["float32[N,3,5,W]", "float32[6,1,3,1]"],
            "float32[N,6,3,W]",
        ),
        (
            "ConvTranspose",
            vec![("strides", ints(&[2, 2]))],
            &["float32[N,4,5,W]", "float32[4,6,2,2]"],
            "float32[N,6,10,?]",
        ),
        (
            "MaxPool",
            vec![("kernel_shape", ints(&[2, 2])), ("strides", ints(&[2, 2]))],
            &["float32[N,C,6,W]"],
            "float32[N,C,3,?]",
        ),
        (
            "GlobalAveragePool",
            vec![],
            &["float32[N,C,H,W]"],
            "float32[N,C,1,1]",
        ),
        (
            "MatMul",
            vec![],
            &["float32[B,1,M,K]", "float32[4,K,7]"],
            "float32[B,4,M,7]",
        ),
        (
            "Gemm",
            vec![("transB", Attribute::Int(1))],
            &["float32[N,9]", "float32[4,9]", "float32[4]"],
            "float32[N,4]",
        ),
        (
            "Transpose",
            vec![("perm", ints(&[1, 0, 2]))],
            &["float32[N,T,4]"],
            "float32[T,N,4]",
        ),
        ("Flatten", vec![], &["float32[N,3,4]"], "float32[N,12]"),
        (
            "Concat",
            vec![("axis", Attribute::Int(1))],
            &["float32[N,3]", "float32[N,4]"],
            "float32[N,7]",
        ),
        ("Softmax", vec![], &["float32[N,?,4]"], "float32[N,?,4]"),
        ("Shape", vec![], &["float32[N,3]"], "int64[2]"),
        (
            "Add",
            vec![],
            &["float32[N,1,4]", "float32[T,1]"],
            "float32[N,T,4]",
        ),
        (
            "Where",
            vec![],
            &["bool[N,1]", "float32[]", "float32[1,T]"],
            "float32[N,T]",
        ),
        (
            "ReduceMean",
            vec![("axes", ints(&[-1]))],
            &["float32[N,T,4]"],
            "float32[N,T,1]",
        ),
        (
            "ArgMax",
            vec![("keepdims", Attribute::Int(0)), ("axis", Attribute::Int(1))],
            &["float32[N,T,4]"],
            "int64[N,4]",
        ),
        (
            "Gather",
            vec![],
            &["float32[30,H]", "int64[N,T]"],
            "float32[N,T,H]",
        ),
        (
            "Squeeze",
            vec![("axes", ints(&[1]))],
            &["float32[N,1,T]"],
            "float32[N,T]",
        ),
        (
            "Unsqueeze",
            vec![("axes", ints(&[0, 2]))],
            &["float32[N,T]"],
            "float32[1,N,1,T]",
        ),
        (
            "Split",
            vec![("split", ints(&[1, 2])), ("axis", Attribute::Int(1))],
            &["float32[N,3]"],
            "float32[N,1]",
        ),
        (
            "Resize",
            vec![],
            &["float32[N,3,H,W]", "float32[0]", "float32[4]"],
            "float32[?,?,?,?]",
        ),
        ("NonZero", vec![], &["float32[N,3]"], "int64[2,?]"),
        (
            "DepthToSpace",
            vec![("blocksize", Attribute::Int(2))],
            &["float32[N,8,3,W]"],
            "float32[N,2,6,?]",
        ),
    ];
    for (op, attributes, inputs, want) in rows {
        let mut g = GraphBuilder::default();
        let ids: Vec<ValueId> = inputs
            .iter()
            .enumerate()
            .map(|(i, t)| g.input(&format!("i{i}"), t))
            .collect();
        // The oldest forms have their lists as attributes.
        g.opset = if attributes
            .iter()
            .any(|(name, _)| ["axes", "split"].contains(name))
        {
            11
        } else {
            17
        };
        let y = g.node(op, &ids, attributes);
        let mut graph = g.finish(&[y]);
        infer::infer_graph(&mut graph, TABLE, 0).unwrap();
        assert_eq!(
            graph.value(y).ty.as_ref().unwrap().to_string(),
            *want,
            "{op} of {inputs:?}"
        );
    }
}
