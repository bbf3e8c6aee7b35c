//! Every kernel against the operator's reference: one suite, a table of nodes.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use sanderling_core::backend::{Backend, Executable, Located, Segment};
use sanderling_core::infer::specialise;
use sanderling_core::partition::partition;
use sanderling_core::plan::{self, PlanView};
use sanderling_core::{
    Attribute, CoreError, DType, Graph, Node, OpTable, Tensor, TensorType, TensorView, Value, ValueId, ops,
    reference,
};
use sanderling_cpu::{CpuBackend, CpuOptions, CpuTable};
use std::rc::Rc;

const TABLE: OpTable<'static> = OpTable(ops::ALL);

/// A graph under construction.
#[derive(Default)]
struct Builder {
    graph: Graph,
    inputs: Vec<Tensor>,
    seed: u32,
}

impl Builder {
    fn random(&mut self) -> u32 {
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.seed >> 8
    }

    /// Floats in −1..1.
    fn floats(&mut self, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| (self.random() % 2001) as f32 / 1000.0 - 1.0)
            .collect();
        Tensor::from_slice(shape, &values).unwrap()
    }

    fn input(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("in{}", self.inputs.len());
        let id = self.graph.add_value(Value {
            name,
            ty: Some(tensor.ty()),
            constant: None,
        });
        self.graph.inputs.push(id);
        self.inputs.push(tensor);
        id
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("c{}", self.graph.values.len());
        self.graph.add_constant(name, tensor)
    }

    fn node(
        &mut self,
        op: &str,
        opset: u16,
        inputs: &[ValueId],
        attributes: &[(&str, Attribute)],
    ) -> ValueId {
        let out = self.graph.add_value(Value {
            name: format!("v{}", self.graph.values.len()),
            ..Value::default()
        });
        let (domain, op_type) = op.split_once(':').unwrap_or(("", op));
        self.graph.nodes.push(Node {
            name: format!("n_{op_type}"),
            domain: domain.to_string(),
            op_type: op_type.to_string(),
            opset,
            inputs: inputs.iter().map(|&id| Some(id)).collect(),
            outputs: vec![Some(out)],
            attributes: attributes
                .iter()
                .map(|(name, a)| (name.to_string(), a.clone()))
                .collect(),
        });
        out
    }
}

/// What ran, and how.
struct Ran {
    outputs: Vec<Tensor>,
    kernels: Vec<String>,
}

fn prepare(
    builder: &Builder,
    limit: u64,
    run: impl FnOnce(&mut dyn Executable, &[Located<'_>]) -> Result<Vec<Tensor>, CoreError>,
) -> Result<Ran, CoreError> {
    let (bytes, ids) = plan::encode(&builder.graph, &plan::Arena::default())?;
    let plan = PlanView::parse(&bytes)?;
    let constants: Vec<Tensor> = ids
        .iter()
        .map(|&id| builder.graph.constant(id).unwrap().clone())
        .collect();
    let types: Vec<TensorType> = builder.inputs.iter().map(Tensor::ty).collect();
    let facts = specialise(&plan, &constants, TABLE, &types)?;
    let backend = CpuBackend::new(CpuTable(sanderling_cpu::ops::ALL), TABLE, CpuOptions::detect(1));
    let parts = partition(&plan, &facts, &[&backend])?;
    assert_eq!(parts.len(), 1);
    let part = &parts[0];
    let mut executable = backend.prepare(&Segment {
        plan,
        nodes: part.nodes.clone(),
        facts: &facts,
        inputs: &part.inputs,
        outputs: &part.outputs,
        constants: Rc::new(constants),
        memory_limit: limit,
    })?;
    let position = |id: &ValueId| builder.graph.inputs.iter().position(|input| input == id).unwrap();
    let located: Vec<Located<'_>> = part
        .inputs
        .iter()
        .map(|id| Located::Host(builder.inputs[position(id)].view()))
        .collect();
    let outputs = run(&mut *executable, &located)?;
    let order = |id: &ValueId| part.outputs.iter().position(|output| output == id).unwrap();
    let outputs = builder
        .graph
        .outputs
        .iter()
        .map(|id| outputs[order(id)].clone())
        .collect();
    Ok(Ran {
        outputs,
        kernels: executable.kernels().into_iter().map(|row| row.1).collect(),
    })
}

fn run(builder: &Builder) -> Ran {
    prepare(builder, 1 << 30, |executable, inputs| {
        // Twice: what a run leaves behind must not be seen by the next.
        executable.submit(inputs)?;
        executable.submit(inputs)?;
        let mut outputs = Vec::new();
        while let Some(Located::Host(view)) = executable.output(outputs.len()) {
            outputs.push(view.to_tensor());
        }
        Ok(outputs)
    })
    .unwrap()
}

fn expected(builder: &Builder) -> Vec<Tensor> {
    let (bytes, ids) = plan::encode(&builder.graph, &plan::Arena::default()).unwrap();
    let plan = PlanView::parse(&bytes).unwrap();
    let constants: Vec<Tensor> = ids
        .iter()
        .map(|&id| builder.graph.constant(id).unwrap().clone())
        .collect();
    let inputs: Vec<TensorView<'_>> = builder.inputs.iter().map(Tensor::view).collect();
    reference::run(&plan, &constants, TABLE, &inputs, &mut |_, _| {}).unwrap()
}

/// Runs both and compares; says which kernels ran.
fn check(what: &str, mut builder: Builder, outputs: &[ValueId]) -> Vec<String> {
    builder.graph.outputs = outputs.to_vec();
    builder.graph.check().unwrap();
    let (ran, expected) = (run(&builder), expected(&builder));
    assert_eq!(ran.outputs.len(), expected.len(), "{what}");
    for (found, expected) in ran.outputs.iter().zip(&expected) {
        assert_eq!(
            (found.dtype(), found.shape()),
            (expected.dtype(), expected.shape()),
            "{what}"
        );
        if found.dtype() != DType::F32 {
            assert_eq!(found.bytes(), expected.bytes(), "{what}");
            continue;
        }
        let (a, b) = (found.view(), expected.view());
        for (i, (a, b)) in a
            .as_slice::<f32>()
            .unwrap()
            .iter()
            .zip(b.as_slice::<f32>().unwrap())
            .enumerate()
        {
            let close = (a - b).abs() <= 1e-4 * b.abs().max(1.0) || a == b || (a.is_nan() && b.is_nan());
            assert!(
                close,
                "{what}: element {i} is {a}, the reference says {b} ({:?})",
                ran.kernels
            );
        }
    }
    ran.kernels
}

fn ints(list: &[i64]) -> Attribute {
    Attribute::Ints(list.to_vec())
}

fn text(text: &str) -> Attribute {
    Attribute::String(text.as_bytes().to_vec())
}

/// One node over random floats; further inputs are constants where `known`.
fn one(op: &str, opset: u16, shapes: &[&[usize]], known: bool, attributes: &[(&str, Attribute)]) {
    let mut builder = Builder::default();
    let mut inputs = Vec::new();
    for (i, shape) in shapes.iter().enumerate() {
        let tensor = builder.floats(shape);
        let id = if i > 0 && known {
            builder.constant(tensor)
        } else {
            builder.input(tensor)
        };
        inputs.push(id);
    }
    let out = builder.node(op, opset, &inputs, attributes);
    let what = format!("{op} {shapes:?} {attributes:?}");
    let kernels = check(&what, builder, &[out]);
    assert!(
        kernels.iter().all(|kernel| !kernel.starts_with("reference")),
        "{what}: {kernels:?}"
    );
}

#[test]
fn unary() {
    for op in [
        "Abs",
        "Ceil",
        "Elu",
        "Erf",
        "Exp",
        "Floor",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Neg",
        "Relu",
        "Round",
        "Sigmoid",
        "Sign",
        "Softplus",
        "Tanh",
        "Reciprocal",
    ] {
        one(op, 17, &[&[3, 37]], true, &[]);
    }
    one("Gelu", 20, &[&[129]], true, &[("approximate", text("tanh"))]);
    one("com.microsoft:Gelu", 1, &[&[129]], true, &[]);
    one(
        "Clip",
        6,
        &[&[5, 7]],
        true,
        &[("min", Attribute::Float(-0.25)), ("max", Attribute::Float(0.5))],
    );
}

#[test]
fn binary() {
    for op in ["Add", "Sub", "Mul", "Div", "Max", "Min"] {
        for shapes in [
            [&[2, 3, 5][..], &[2, 3, 5]],
            [&[2, 3, 5], &[5]],
            [&[3, 1], &[1, 4]],
            [&[2, 3, 5], &[]],
            [&[], &[4]],
        ] {
            one(op, 17, &shapes, false, &[]);
            one(op, 17, &shapes, true, &[]);
        }
    }
    one("Sum", 13, &[&[2, 3], &[3], &[2, 1]], false, &[]);
    one("Max", 13, &[&[2, 3]], false, &[]);
}

#[test]
fn matrices() {
    let flag = |name| (name, Attribute::Int(1));
    for known in [false, true] {
        one("Gemm", 13, &[&[5, 7], &[7, 9], &[9]], known, &[]);
        one(
            "Gemm",
            13,
            &[&[7, 5], &[9, 7], &[5, 1]],
            known,
            &[flag("transA"), flag("transB")],
        );
        one(
            "Gemm",
            13,
            &[&[1, 7], &[9, 7], &[1, 9]],
            known,
            &[flag("transB"), ("alpha", Attribute::Float(0.5))],
        );
        one("Gemm", 13, &[&[3, 4], &[4, 2], &[3, 2]], known, &[]);
        one("MatMul", 13, &[&[2, 3, 5, 7], &[7, 4]], known, &[]);
        one("MatMul", 13, &[&[2, 3, 5, 7], &[2, 3, 7, 4]], known, &[]);
        one("MatMul", 13, &[&[5, 7], &[3, 7, 4]], known, &[]);
        one("MatMul", 13, &[&[2, 1, 5, 7], &[3, 7, 4]], known, &[]);
        one("MatMul", 13, &[&[7], &[7, 4]], known, &[]);
        one("MatMul", 13, &[&[2, 5, 7], &[7]], known, &[]);
        one(
            "com.microsoft:FusedMatMul",
            1,
            &[&[2, 7, 5], &[2, 4, 7]],
            known,
            &[flag("transA"), flag("transB")],
        );
        one(
            "com.microsoft:FusedGemm",
            1,
            &[&[5, 7], &[7, 4], &[4]],
            known,
            &[("activation", text("Relu"))],
        );
    }
}

#[test]
fn convolutions() {
    for known in [false, true] {
        one(
            "Conv",
            11,
            &[&[2, 3, 9, 8], &[4, 3, 3, 3], &[4]],
            known,
            &[("pads", ints(&[1, 1, 1, 1]))],
        );
        one(
            "Conv",
            11,
            &[&[1, 6, 9, 8], &[6, 1, 3, 3], &[6]],
            known,
            &[
                ("group", Attribute::Int(6)),
                ("strides", ints(&[2, 2])),
                ("auto_pad", text("SAME_UPPER")),
            ],
        );
        one(
            "Conv",
            11,
            &[&[1, 4, 5, 5], &[8, 2, 1, 1]],
            known,
            &[("group", Attribute::Int(2))],
        );
        one(
            "Conv",
            11,
            &[&[1, 4, 30], &[3, 4, 5], &[3]],
            known,
            &[("dilations", ints(&[2]))],
        );
        one("Conv", 11, &[&[1, 4, 30, 1], &[3, 4, 5, 1]], known, &[]);
        one(
            "com.microsoft:FusedConv",
            1,
            &[&[1, 3, 6, 6], &[4, 3, 3, 3], &[4], &[1, 4, 4, 4]],
            known,
            &[("activation", text("Relu"))],
        );
        one(
            "ConvTranspose",
            11,
            &[&[1, 3, 5, 4], &[3, 2, 3, 3], &[2]],
            known,
            &[
                ("strides", ints(&[2, 2])),
                ("pads", ints(&[1, 1, 0, 1])),
                ("output_padding", ints(&[1, 0])),
            ],
        );
        one(
            "ConvTranspose",
            11,
            &[&[1, 3, 5, 4], &[3, 2, 2, 2]],
            known,
            &[("strides", ints(&[2, 2]))],
        );
    }
}

#[test]
fn pools_and_reductions() {
    let window = [
        ("kernel_shape", ints(&[3, 2])),
        ("strides", ints(&[2, 2])),
        ("pads", ints(&[1, 0, 1, 1])),
    ];
    one("MaxPool", 11, &[&[2, 3, 9, 8]], true, &window);
    one("AveragePool", 11, &[&[2, 3, 9, 8]], true, &window);
    let counted: Vec<_> = window
        .iter()
        .cloned()
        .chain([("count_include_pad", Attribute::Int(1))])
        .collect();
    one("AveragePool", 11, &[&[2, 3, 9, 8]], true, &counted);
    one("GlobalAveragePool", 11, &[&[2, 3, 4, 5]], true, &[]);
    one("GlobalMaxPool", 11, &[&[2, 3, 7]], true, &[]);
    for op in [
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceL2",
        "ReduceLogSumExp",
    ] {
        one(op, 11, &[&[2, 3, 4, 5]], true, &[("axes", ints(&[2, 3]))]);
        one(
            op,
            11,
            &[&[2, 3, 4, 5]],
            true,
            &[("axes", ints(&[1, -2])), ("keepdims", Attribute::Int(0))],
        );
        one(op, 11, &[&[2, 3]], true, &[]);
    }
    one("Softmax", 13, &[&[2, 3, 5]], true, &[]);
    one("Softmax", 13, &[&[2, 3, 5]], true, &[("axis", Attribute::Int(1))]);
    one("Softmax", 11, &[&[2, 3, 5]], true, &[("axis", Attribute::Int(1))]);
    one("LogSoftmax", 13, &[&[2, 9]], true, &[]);
    one("LayerNormalization", 17, &[&[2, 3, 8], &[8], &[8]], true, &[]);
}

#[test]
fn movement() {
    one(
        "Transpose",
        13,
        &[&[2, 3, 4]],
        true,
        &[("perm", ints(&[2, 0, 1]))],
    );
    one(
        "Transpose",
        13,
        &[&[2, 1, 4]],
        true,
        &[("perm", ints(&[1, 0, 2]))],
    );
    one(
        "Concat",
        13,
        &[&[2, 3], &[2, 1], &[2, 4]],
        false,
        &[("axis", Attribute::Int(-1))],
    );
    one(
        "Slice",
        9,
        &[&[4, 6]],
        true,
        &[("starts", ints(&[1, -2])), ("ends", ints(&[3, i64::MAX]))],
    );
    one("Flatten", 13, &[&[2, 3, 4]], true, &[]);
    let mut builder = Builder::default();
    let x = builder.floats(&[5, 4]);
    let x = builder.input(x);
    let list = |builder: &mut Builder, list: &[i64]| {
        builder.constant(Tensor::from_slice(&[list.len()], list).unwrap())
    };
    let (starts, ends, axes, steps) = (
        list(&mut builder, &[-1]),
        list(&mut builder, &[i64::MIN]),
        list(&mut builder, &[0]),
        list(&mut builder, &[-2]),
    );
    let sliced = builder.node("Slice", 13, &[x, starts, ends, axes, steps], &[]);
    let shape = list(&mut builder, &[2, 1, 4]);
    let end = list(&mut builder, &[1]);
    let row = builder.node("Slice", 13, &[x, axes, end], &[]);
    let expanded = builder.node("Expand", 13, &[row, shape], &[]);
    let places = builder.constant(Tensor::from_slice(&[2, 2], &[3i64, -1, 0, 2]).unwrap());
    let gathered = builder.node("Gather", 13, &[x, places], &[("axis", Attribute::Int(1))]);
    check("slices, expand, gather", builder, &[sliced, expanded, gathered]);
}

#[test]
fn resizes() {
    for (mode, coordinates) in [
        ("nearest", "asymmetric"),
        ("linear", "half_pixel"),
        ("linear", "align_corners"),
    ] {
        let mut builder = Builder::default();
        let x = builder.floats(&[1, 2, 4, 5]);
        let x = builder.input(x);
        let empty = builder.constant(Tensor::from_slice::<f32>(&[0], &[]).unwrap());
        let scales = builder.constant(Tensor::from_slice(&[4], &[1.0f32, 1.0, 2.0, 1.5]).unwrap());
        let attributes = [
            ("mode", text(mode)),
            ("coordinate_transformation_mode", text(coordinates)),
            ("nearest_mode", text("floor")),
        ];
        let out = builder.node("Resize", 13, &[x, empty, scales], &attributes);
        let kernels = check(mode, builder, &[out]);
        assert_eq!(kernels, [mode]);
    }
}

#[test]
fn casts_and_comparisons() {
    let mut builder = Builder::default();
    let x = builder.input(Tensor::from_slice(&[2, 1], &[3i32, 200]).unwrap());
    let y = builder.constant(Tensor::from_slice(&[1, 4], &[0i32, 3, 5, 200]).unwrap());
    let equal = builder.node("Equal", 13, &[x, y], &[]);
    let less = builder.node("Less", 13, &[x, y], &[]);
    let floats = builder.node("Cast", 13, &[equal], &[("to", Attribute::Int(1))]);
    let wide = builder.node("Cast", 13, &[x], &[("to", Attribute::Int(7))]);
    check("cast and compare", builder, &[less, floats, wide]);
}

#[test]
fn functions_fuse_and_results_take_over_their_inputs() {
    let mut builder = Builder::default();
    let (x, w) = (builder.floats(&[1, 3, 8, 8]), builder.floats(&[4, 3, 3, 3]));
    let (x, w) = (builder.input(x), builder.constant(w));
    let conv = builder.node("Conv", 13, &[x, w], &[]);
    let relu = builder.node("Relu", 13, &[conv], &[]);
    let shape = builder.constant(Tensor::from_slice(&[2], &[4i64, -1]).unwrap());
    let flat = builder.node("Reshape", 13, &[relu, shape], &[]);
    let tanh = builder.node("Tanh", 13, &[flat], &[]);
    let twice = builder.node("Add", 13, &[tanh, tanh], &[]);
    let sum = builder.node("Add", 13, &[twice, flat], &[]);
    let kernels = check("a chain", builder, &[sum, twice]);
    assert!(kernels[0].contains("Relu"), "{kernels:?}");
    assert_eq!(kernels[1..3], ["alias", "alias"]);
}

#[test]
fn an_input_passed_on_is_copied() {
    let mut builder = Builder::default();
    let x = builder.floats(&[2, 3]);
    let x = builder.input(x);
    let shape = builder.constant(Tensor::from_slice(&[1], &[6i64]).unwrap());
    let flat = builder.node("Reshape", 13, &[x, shape], &[]);
    let again = builder.node("Identity", 13, &[flat], &[]);
    let relu = builder.node("Relu", 13, &[flat], &[]);
    check("passed on", builder, &[again, relu, flat]);
}

/// An int8 constant behind a DequantizeLinear with a scale for each index of `axis`.
fn quantised(builder: &mut Builder, shape: &[usize], axis: usize) -> ValueId {
    let count: usize = shape.iter().product();
    let weights: Vec<i8> = (0..count).map(|_| (builder.random() % 255) as u8 as i8).collect();
    let scales: Vec<f32> = (0..shape[axis]).map(|i| 0.001 * (i + 1) as f32).collect();
    let zeros = vec![0i8; shape[axis]];
    let weights = builder.constant(Tensor::from_slice(shape, &weights).unwrap());
    let scales = builder.constant(Tensor::from_slice(&[shape[axis]], &scales).unwrap());
    let zeros = builder.constant(Tensor::from_slice(&[shape[axis]], &zeros).unwrap());
    builder.node(
        "DequantizeLinear",
        13,
        &[weights, scales, zeros],
        &[("axis", Attribute::Int(axis as i64))],
    )
}

#[test]
fn weights_stay_eight_bit() {
    let packs = |kernels: &[String]| kernels.len() == 1 && kernels[0].contains("packed");
    let mut builder = Builder::default();
    let x = builder.floats(&[5, 70]);
    let x = builder.input(x);
    let w = quantised(&mut builder, &[70, 80], 1);
    let out = builder.node("MatMul", 13, &[x, w], &[]);
    assert!(packs(&check("int8 matmul", builder, &[out])));
    let mut builder = Builder::default();
    let x = builder.floats(&[1, 70]);
    let x = builder.input(x);
    let w = quantised(&mut builder, &[80, 70], 0);
    let out = builder.node("Gemm", 13, &[x, w], &[("transB", Attribute::Int(1))]);
    assert!(packs(&check("int8 gemm", builder, &[out])));
    let mut builder = Builder::default();
    let x = builder.floats(&[1, 64, 9, 9]);
    let x = builder.input(x);
    let w = quantised(&mut builder, &[16, 64, 3, 3], 0);
    let out = builder.node("Conv", 13, &[x, w], &[]);
    assert!(packs(&check("int8 conv", builder, &[out])));
    // A scale for each row of the sum is no panel's: dequantised at run time.
    let mut builder = Builder::default();
    let x = builder.floats(&[2, 70]);
    let x = builder.input(x);
    let w = quantised(&mut builder, &[70, 80], 0);
    let out = builder.node("MatMul", 13, &[x, w], &[]);
    assert_eq!(check("int8 by row", builder, &[out]).len(), 2);
}

/// Nodes that read the same constant, each in its own way.
#[test]
fn readers_of_one_weight_have_each_their_own_scales() {
    let read = |builder: &mut Builder, weights: ValueId, axis: i64, scales: &[f32], zeros: &[u8]| {
        let scales = builder.constant(Tensor::from_slice(&[scales.len()], scales).unwrap());
        let zeros = builder.constant(Tensor::from_slice(&[zeros.len()], zeros).unwrap());
        let axis = [("axis", Attribute::Int(axis))];
        builder.node("DequantizeLinear", 13, &[weights, scales, zeros], &axis)
    };
    for (op, shape) in [("MatMul", [16, 16, 1, 1]), ("Conv", [4, 16, 2, 2])] {
        let shape = if op == "MatMul" { &shape[..2] } else { &shape[..] };
        let mut builder = Builder::default();
        let x = match op {
            "MatMul" => builder.floats(&[5, 16]),
            _ => builder.floats(&[1, 16, 4, 4]),
        };
        let x = builder.input(x);
        let bytes: Vec<u8> = (0..shape.iter().product())
            .map(|_| builder.random() as u8)
            .collect();
        let weights = builder.constant(Tensor::from_slice(shape, &bytes).unwrap());
        let axis = if op == "MatMul" { 1 } else { 0 };
        let channels = shape[axis];
        let rising: Vec<f32> = (1..=channels).map(|i| 0.001 * i as f32).collect();
        let zeros: Vec<u8> = (0..channels).map(|i| 7 * i as u8).collect();
        let ways: [(&[f32], &[u8]); 4] = [
            (&[0.01], &[0]),
            (&[0.01], &[128]),
            (&[0.02], &[128]),
            (&rising, &zeros),
        ];
        let outputs = ways.map(|(scales, zeros)| {
            let weights = read(&mut builder, weights, axis as i64, scales, zeros);
            builder.node(op, 13, &[x, weights], &[])
        });
        let kernels = check(op, builder, &outputs);
        assert!(
            kernels.iter().all(|kernel| kernel.contains("packed")),
            "{kernels:?}"
        );
    }
}

#[test]
fn integer_readers_of_one_weight_have_each_their_own_zero_points() {
    for (op, x_shape, w_shape) in [
        ("QLinearConv", &[1, 3, 5, 5][..], &[4, 3, 2, 2][..]),
        ("QLinearMatMul", &[5, 12], &[12, 4]),
        ("com.microsoft:QGemm", &[5, 12], &[12, 4]),
    ] {
        let mut builder = Builder::default();
        let mut random = |shape: &[usize]| {
            let bytes: Vec<u8> = (0..shape.iter().product())
                .map(|_| builder.random() as u8)
                .collect();
            Tensor::from_slice(shape, &bytes).unwrap()
        };
        let (x, w) = (random(x_shape), random(w_shape));
        let x = builder.input(x);
        let w = builder.constant(w);
        let scale = builder.constant(Tensor::from_slice(&[], &[0.01f32]).unwrap());
        let scale_y = builder.constant(Tensor::from_slice(&[], &[0.2f32]).unwrap());
        let zero = builder.constant(Tensor::from_slice(&[], &[100u8]).unwrap());
        let outputs = [0u8, 128, 200].map(|zero_w| {
            let zero_w = builder.constant(Tensor::from_slice(&[], &[zero_w]).unwrap());
            let version = if op.contains(':') { 1 } else { 10 };
            let out = builder.node(
                op,
                version,
                &[x, scale, zero, w, scale, zero_w, scale_y, zero],
                &[],
            );
            if op.ends_with("QGemm") {
                // Its bias, left out.
                let node = builder.graph.nodes.last_mut().unwrap();
                node.inputs.insert(6, None);
            }
            out
        });
        let kernels = check(op, builder, &outputs);
        assert!(
            kernels.iter().all(|kernel| kernel.starts_with("int8")),
            "{kernels:?}"
        );
    }
}

#[test]
fn zero_points_are_one_for_all_or_left_out() {
    let mut builder = Builder::default();
    let bytes = |shape: &[usize], seed: u8| {
        let len = shape.iter().product::<usize>();
        let bytes: Vec<u8> = (0..len)
            .map(|i| (i as u8).wrapping_mul(37).wrapping_add(seed))
            .collect();
        Tensor::from_slice(shape, &bytes).unwrap()
    };
    let x = builder.input(bytes(&[1, 3, 5, 5], 9));
    let w = builder.constant(bytes(&[4, 3, 2, 2], 5));
    let scale = builder.constant(Tensor::from_slice(&[], &[0.1f32]).unwrap());
    let zero = builder.constant(Tensor::from_slice(&[], &[100u8]).unwrap());
    let scales = builder.constant(Tensor::from_slice(&[4], &[0.01f32, 0.02, 0.03, 0.04]).unwrap());
    let inputs = [x, scale, zero, w, scales, zero, scale, zero];
    let one_zero = builder.node("QLinearConv", 10, &inputs, &[]);
    let sum = builder.node(
        "com.microsoft:QLinearAdd",
        1,
        &[x, scale, zero, x, scale, zero, scale],
        &[],
    );
    let kernels = check("zero points", builder, &[one_zero, sum]);
    assert!(
        kernels.iter().all(|kernel| kernel.starts_with("int8")),
        "{kernels:?}"
    );
}

#[test]
fn a_quotient_of_another_precision_is_refused() {
    for (code, taken) in [(1, true), (11, true), (10, false), (99, false)] {
        let mut builder = Builder::default();
        let x = builder.floats(&[3, 4]);
        let x = builder.input(x);
        let scale = builder.constant(Tensor::from_slice(&[], &[0.1f32]).unwrap());
        let zero = builder.constant(Tensor::from_slice(&[], &[3u8]).unwrap());
        let precision = [("precision", Attribute::Int(code))];
        let out = builder.node("QuantizeLinear", 23, &[x, scale, zero], &precision);
        builder.graph.outputs = vec![out];
        let refused = prepare(&builder, 1 << 20, |_, _| {
            Ok(vec![Tensor::zeros(DType::U8, &[3, 4]).unwrap()])
        })
        .err();
        assert_eq!(refused.is_none(), taken, "{code}: {refused:?}");
        assert!(refused.is_none_or(|error| error.to_string().contains("precision")));
    }
}

#[test]
fn zero_points_are_as_many_as_scales() {
    for op in ["QuantizeLinear", "DequantizeLinear"] {
        let mut builder = Builder::default();
        let x = match op {
            "QuantizeLinear" => builder.floats(&[3, 4]),
            _ => Tensor::from_slice(&[3, 4], &[9u8; 12]).unwrap(),
        };
        let x = builder.input(x);
        let scale = builder.constant(Tensor::from_slice(&[4], &[0.1f32; 4]).unwrap());
        let zero = builder.constant(Tensor::from_slice(&[1], &[3u8]).unwrap());
        let out = builder.node(op, 13, &[x, scale, zero], &[]);
        builder.graph.outputs = vec![out];
        let refused = prepare(&builder, 1 << 20, |_, _| Ok(Vec::new())).err().unwrap();
        let why = refused.to_string();
        assert!(
            why.contains("the zero point has 1 elements, the scale 4"),
            "{why}"
        );
    }
}

#[test]
fn a_limit_on_memory_is_kept() {
    let mut builder = Builder::default();
    let (x, w) = (builder.floats(&[64, 64]), builder.floats(&[64, 64]));
    let (x, w) = (builder.input(x), builder.constant(w));
    let out = builder.node("MatMul", 13, &[x, w], &[]);
    builder.graph.outputs = vec![out];
    for limit in [1000, 17_000] {
        let refused = prepare(&builder, limit, |_, _| Ok(Vec::new()));
        assert!(matches!(refused, Err(CoreError::TooLarge { .. })), "{limit}");
    }
}

#[test]
fn wrong_inputs_are_refused() {
    let mut builder = Builder::default();
    let x = builder.floats(&[2, 3]);
    let x = builder.input(x);
    let out = builder.node("Relu", 13, &[x], &[]);
    builder.graph.outputs = vec![out];
    let other = Tensor::from_slice(&[3, 2], &[0f32; 6]).unwrap();
    let result = prepare(&builder, 1 << 20, |executable, _| {
        assert!(executable.poll().is_err(), "nothing was submitted");
        assert!(matches!(executable.submit(&[]), Err(CoreError::Graph { .. })));
        let refused = executable.submit(&[Located::Host(other.view())]);
        assert!(matches!(refused, Err(CoreError::Input { .. })));
        assert!(executable.output(0).is_none());
        executable.submit(&[Located::Host(builder.inputs[0].view())])?;
        Ok(vec![other.clone()])
    });
    assert!(result.is_ok());
}
