//! The importer over messages made here: every encoding, every fault.

use super::proto::*;
use super::*;
use prost::bytes::Bytes;
use sanderling_core::op::{EvalCx, InferCx};
use sanderling_core::{Attribute, DType, Dim, OpError, Operator};
use std::ops::RangeInclusive;

/// An operator known by name only: importing needs no more.
struct Named(&'static str, &'static str, RangeInclusive<u16>);

impl Operator for Named {
    fn domain(&self) -> &'static str {
        self.0
    }
    fn name(&self) -> &'static str {
        self.1
    }
    fn opsets(&self) -> RangeInclusive<u16> {
        self.2.clone()
    }
    fn infer(&self, _: &mut InferCx<'_>) -> Result<(), OpError> {
        Ok(())
    }
    fn eval(&self, _: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        Err(OpError::unsupported("evaluation of a name"))
    }
}

const TABLE: OpTable<'static> = OpTable(&[
    &Named("", "Relu", 1..=26),
    &Named("", "Add", 7..=26),
    &Named("", "If", 1..=26),
    &Named("com.example", "Own", 1..=3),
]);

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let names = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
    NodeProto {
        op_type: op.into(),
        input: names(inputs),
        output: names(outputs),
        ..Default::default()
    }
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| DimensionProto {
        dim_value: (d >= 0).then_some(d),
        dim_param: (d == -2).then(|| "batch".to_string()),
    });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor_type = Some(TensorTypeProto { elem_type: 1, shape });
    ValueInfoProto {
        name: name.into(),
        r#type: Some(TypeProto { tensor_type }),
    }
}

fn tensor(name: &str, data_type: i32, dims: &[i64]) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type,
        dims: dims.to_vec(),
        ..Default::default()
    }
}

/// A model of one Relu, to be changed by a case.
fn base() -> ModelProto {
    let graph = GraphProto {
        name: "g".into(),
        node: vec![node("Relu", &["x"], &["y"])],
        input: vec![value("x", &[-2, 4])],
        output: vec![value("y", &[-2, 4])],
        ..Default::default()
    };
    ModelProto {
        ir_version: Some(8),
        producer_name: "tests".into(),
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 17,
        }],
        ..Default::default()
    }
}

fn graph_of(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

fn read(model: &ModelProto) -> Result<Model, CompileError> {
    read_bytes(model.encode_to_vec(), None, TABLE, &Limits::default())
}

#[test]
fn a_small_model_is_read() {
    let mut model = base();
    let graph = graph_of(&mut model);
    // Out of order on purpose; IR 3 style: the initialiser is an input, too.
    graph.node.insert(0, node("Add", &["y", "b"], &["z"]));
    let bias = TensorProto {
        float_data: vec![1.0; 4],
        ..tensor("b", 1, &[4])
    };
    graph.initializer.push(bias);
    graph.input.push(value("b", &[4]));
    graph.output = vec![value("z", &[-2, 4])];
    let read = read(&model).unwrap();
    let graph = &read.graph;
    let ops: Vec<&str> = graph.nodes.iter().map(|n| n.op_type.as_str()).collect();
    assert_eq!(ops, ["Relu", "Add"]);
    assert_eq!(graph.inputs.len(), 1, "an initialiser is no input");
    let x = graph.value(graph.inputs[0]).ty.clone().unwrap();
    assert_eq!(x.shape, [Dim::Symbol("batch".into()), Dim::Fixed(4)]);
    let b = graph.constant(graph.nodes[1].inputs[1].unwrap()).unwrap();
    assert_eq!(b.view().as_slice::<f32>().unwrap(), [1.0; 4]);
    assert_eq!(graph.nodes[0].opset, 17);
    assert_eq!(graph.nodes[0].name, "y", "an unnamed node goes by its output");
    assert_eq!(read.producer.0, "tests");
}

#[test]
fn every_tensor_encoding_is_read() {
    let raw = |t: TensorProto, bytes: &[u8]| TensorProto {
        raw_data: Some(Bytes::copy_from_slice(bytes)),
        ..t
    };
    let ints = |t: TensorProto, ints: &[i32]| TensorProto {
        int32_data: ints.to_vec(),
        ..t
    };
    let t = |code: i32, dims: &[i64]| tensor("t", code, dims);
    let cases: Vec<(TensorProto, DType, Vec<u8>)> = vec![
        (
            TensorProto {
                float_data: vec![1.5],
                ..t(1, &[1])
            },
            DType::F32,
            1.5f32.to_le_bytes().to_vec(),
        ),
        (
            TensorProto {
                double_data: vec![1.5],
                ..t(11, &[])
            },
            DType::F64,
            1.5f64.to_le_bytes().to_vec(),
        ),
        (
            TensorProto {
                float_data: vec![1.0, 2.0],
                ..t(14, &[1])
            },
            DType::Complex64,
            [1f32, 2.0].map(f32::to_le_bytes).concat(),
        ),
        (
            TensorProto {
                int64_data: vec![-3],
                ..t(7, &[1])
            },
            DType::I64,
            (-3i64).to_le_bytes().to_vec(),
        ),
        (
            TensorProto {
                uint64_data: vec![7],
                ..t(13, &[1])
            },
            DType::U64,
            7u64.to_le_bytes().to_vec(),
        ),
        (
            TensorProto {
                uint64_data: vec![7],
                ..t(12, &[1])
            },
            DType::U32,
            7u32.to_le_bytes().to_vec(),
        ),
        (
            ints(t(6, &[1]), &[-5]),
            DType::I32,
            (-5i32).to_le_bytes().to_vec(),
        ),
        (
            ints(t(5, &[1]), &[-5]),
            DType::I16,
            (-5i16).to_le_bytes().to_vec(),
        ),
        (ints(t(10, &[1]), &[0x3c00]), DType::F16, vec![0, 0x3c]),
        (ints(t(16, &[1]), &[0x3f80]), DType::BF16, vec![0x80, 0x3f]),
        (ints(t(2, &[2]), &[255, 0]), DType::U8, vec![255, 0]),
        (ints(t(3, &[2]), &[-1, 127]), DType::I8, vec![255, 127]),
        (ints(t(9, &[3]), &[0, 1, 1]), DType::Bool, vec![0, 1, 1]),
        (ints(t(22, &[3]), &[0x21, 0x0f]), DType::I4, vec![0x21, 0x0f]),
        (raw(t(9, &[2]), &[0, 7]), DType::Bool, vec![0, 1]),
        (raw(t(6, &[1, 1]), &[1, 2, 3, 4]), DType::I32, vec![1, 2, 3, 4]),
        (t(1, &[0, 3]), DType::F32, vec![]),
    ];
    for (proto, dtype, bytes) in cases {
        let mut budget = 1 << 20;
        let read = tensor::read(&proto, None, &mut budget).unwrap();
        assert_eq!(
            (read.dtype(), read.bytes()),
            (dtype, bytes.as_slice()),
            "{proto:?}"
        );
        assert_eq!(budget, (1 << 20) - bytes.len() as u64);
    }
}

#[test]
fn constants_of_every_kind_are_read() {
    let attribute = |name: &str, kind: i32| AttributeProto {
        name: name.into(),
        r#type: kind,
        ..Default::default()
    };
    let cases: Vec<(AttributeProto, DType, Vec<usize>)> = vec![
        (
            AttributeProto {
                f: Some(1.0),
                ..attribute("value_float", 1)
            },
            DType::F32,
            vec![],
        ),
        (
            AttributeProto {
                floats: vec![1.0, 2.0],
                ..attribute("value_floats", 6)
            },
            DType::F32,
            vec![2],
        ),
        (
            AttributeProto {
                i: Some(1),
                ..attribute("value_int", 2)
            },
            DType::I64,
            vec![],
        ),
        (
            AttributeProto {
                ints: vec![1, 2, 3],
                ..attribute("value_ints", 7)
            },
            DType::I64,
            vec![3],
        ),
        (
            AttributeProto {
                t: Some(TensorProto {
                    int32_data: vec![1],
                    ..tensor("", 6, &[1])
                }),
                ..attribute("value", 4)
            },
            DType::I32,
            vec![1],
        ),
    ];
    for (value, dtype, shape) in cases {
        let mut model = base();
        let mut constant = node("Constant", &[], &["c"]);
        constant.attribute.push(value);
        graph_of(&mut model).node.push(constant);
        graph_of(&mut model).node[0] = node("Add", &["x", "c"], &["y"]);
        let graph = read(&model).unwrap().graph;
        assert_eq!(graph.nodes.len(), 1);
        let c = graph.constant(graph.nodes[0].inputs[1].unwrap()).unwrap();
        assert_eq!((c.dtype(), c.shape()), (dtype, shape.as_slice()));
    }
}

#[test]
fn a_nested_graph_reads_the_outer_one_through_inputs() {
    let mut model = base();
    let branch = GraphProto {
        name: "then".into(),
        node: vec![node("Add", &["x", "x"], &["t"])],
        output: vec![value("t", &[-2, 4])],
        ..Default::default()
    };
    let mut branching = node("If", &["cond"], &["y"]);
    branching.attribute.push(AttributeProto {
        name: "then_branch".into(),
        r#type: 5,
        g: Some(branch),
        ..Default::default()
    });
    graph_of(&mut model).node = vec![branching];
    graph_of(&mut model).input.push(value("cond", &[]));
    let graph = read(&model).unwrap().graph;
    let branching = &graph.nodes[0];
    assert_eq!(branching.inputs, [Some(graph.inputs[1]), Some(graph.inputs[0])]);
    let Attribute::Graph(branch) = &branching.attributes[0].1 else {
        panic!("not a graph")
    };
    assert_eq!(branch.inputs.len(), 1);
    assert_eq!(branch.value(branch.inputs[0]).name, "x");
}

type Harm = fn(&mut ModelProto);

#[test]
fn faults_of_the_graph_are_named() {
    let cases: &[(Harm, &[&str])] = &[
        (|m| m.graph = None, &["not an ONNX model"]),
        (
            |m| {
                let g = graph_of(m);
                g.node.push(node("Frobnicate", &["x"], &["f"]));
                g.node.push(node("Frobnicate", &["x"], &["h"]));
                g.node.push(node("Gelu", &["x"], &["gelu.out"]));
            },
            &[
                "2 operators of this model are",
                "ai.onnx:Frobnicate (opset 17), 2 nodes, first 'f'",
                "ai.onnx:Gelu",
                "'gelu.out'",
            ],
        ),
        (
            |m| {
                m.opset_import[0].version = 6;
                graph_of(m).node.push(node("Add", &["x", "x"], &["s"]));
            },
            &["ai.onnx:Add (opset 6)", "here for opset 7 to 26"],
        ),
        (
            |m| {
                let mut own = node("Own", &["x"], &["o"]);
                own.domain = "com.example".into();
                graph_of(m).node.push(own);
            },
            &["com.example:Own (opset 0)"],
        ),
        (
            |m| graph_of(m).node[0].input[0] = "ghost".into(),
            &["'ghost' is read and nothing writes it"],
        ),
        (|m| graph_of(m).output[0].name = "ghost".into(), &["'ghost'"]),
        (
            |m| graph_of(m).node.push(node("Relu", &["x"], &["y"])),
            &["'y' is defined twice"],
        ),
        (
            |m| {
                graph_of(m).node[0].input[0] = "b".into();
                graph_of(m).node.push(node("Relu", &["y"], &["b"]));
            },
            &["cycle"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 99, &[1])),
            &["tensor 't'", "99"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 0, &[1])),
            &["tensor 't'"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 8, &[1])),
            &["string tensor 't'"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 1, &[-1])),
            &["negative"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 1, &[1 << 40, 1 << 40])),
            &["too many elements"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 1, &[1 << 39])),
            &["over the limit"],
        ),
        (
            |m| graph_of(m).initializer.push(tensor("t", 1, &[3])),
            &["float_data has 0 entries, 3 are needed"],
        ),
        (
            |m| {
                let raw_data = Some(Bytes::from_static(&[0; 7]));
                graph_of(m).initializer.push(TensorProto {
                    raw_data,
                    ..tensor("t", 1, &[2])
                });
            },
            &["takes 8 bytes, 7 are there"],
        ),
        (
            |m| graph_of(m).node.push(node("Constant", &[], &["c"])),
            &["Constant 'c'", "0 attributes"],
        ),
        (
            |m| {
                graph_of(m).input.push(ValueInfoProto {
                    name: "seq".into(),
                    r#type: Some(TypeProto::default()),
                })
            },
            &["'seq', which is not a tensor"],
        ),
        (
            |m| graph_of(m).sparse_initializer.push(SparseTensorProto::default()),
            &["sparse"],
        ),
    ];
    for (harm, wanted) in cases {
        let mut model = base();
        harm(&mut model);
        let error = read(&model).unwrap_err().to_string();
        for want in *wanted {
            assert!(error.contains(want), "{error:?} does not say {want:?}");
        }
    }
}

#[test]
fn faults_of_the_file_are_named() {
    let good = base().encode_to_vec();
    let flipped = {
        let mut bytes = good.clone();
        let at = bytes.windows(4).position(|w| w == b"Relu").unwrap();
        bytes[at] = 0xff;
        bytes
    };
    let cases: &[(&[u8], &str)] = &[
        (b"", "an empty file"),
        (b"PK\x03\x04\x14\0\0\0", "ZIP"),
        (b"<html><body>404</body>", "HTML"),
        (b"\x1c\0\0\0TFL3\x14\0", "TensorFlow Lite"),
        (b"\x10\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"}}", "safetensors"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x89SDL\r\n\x1a\n", "Sanderling bundle"),
        (&[0xff; 64], "not an ONNX model"),
        (&good[..good.len() - 30], "cut short"),
        (&flipped, "damaged"),
    ];
    for (bytes, want) in cases {
        let error = read_bytes(bytes.to_vec(), None, TABLE, &Limits::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(want), "{error:?} does not say {want:?}");
    }
}

#[test]
fn limits_are_kept() {
    let model = base().encode_to_vec();
    let refused = |limits: Limits| {
        read_bytes(model.clone(), None, TABLE, &limits)
            .unwrap_err()
            .to_string()
    };
    assert!(
        refused(Limits {
            file_bytes: 10,
            ..Limits::default()
        })
        .contains("bytes of model file")
    );
    assert!(
        refused(Limits {
            nodes: 0,
            ..Limits::default()
        })
        .contains("nodes in the model")
    );

    let mut nested = GraphProto::default();
    for _ in 0..25 {
        let mut branching = node("If", &["x"], &["y"]);
        branching.attribute.push(AttributeProto {
            name: "b".into(),
            r#type: 5,
            g: Some(nested),
            ..Default::default()
        });
        nested = GraphProto {
            node: vec![branching],
            ..Default::default()
        };
    }
    let mut deep = base();
    graph_of(&mut deep).node = nested.node;
    let limits = Limits {
        depth: 20,
        ..Limits::default()
    };
    let error = read_bytes(deep.encode_to_vec(), None, TABLE, &limits)
        .unwrap_err()
        .to_string();
    assert!(error.contains("levels of nested graphs"), "{error}");
}

fn external(entries: &[(&str, &str)]) -> ModelProto {
    let mut model = base();
    let entry = |(key, value): &(&str, &str)| StringStringEntryProto {
        key: key.to_string(),
        value: value.to_string(),
    };
    graph_of(&mut model).initializer.push(TensorProto {
        data_location: EXTERNAL,
        external_data: entries.iter().map(entry).collect(),
        ..tensor("w", 1, &[2])
    });
    model
}

#[test]
fn external_data_stays_in_the_folder() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("model");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    std::fs::write(outer.path().join("secret"), [7; 64]).unwrap();
    std::fs::write(
        folder.join("sub/weights.bin"),
        [1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat(),
    )
    .unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outer.path().join("secret"), folder.join("link")).unwrap();
    let try_read = |entries: &[(&str, &str)]| {
        let path = folder.join("model.onnx");
        std::fs::write(&path, external(entries).encode_to_vec()).unwrap();
        read_file(&path, TABLE, &Limits::default())
    };
    let read = try_read(&[("location", "sub/weights.bin"), ("offset", "4"), ("length", "8")]).unwrap();
    let weight = read
        .graph
        .values
        .iter()
        .find_map(|v| v.constant.as_ref())
        .unwrap();
    assert_eq!(weight.view().as_slice::<f32>().unwrap(), [2.0, 3.0]);

    let absolute = outer.path().join("secret").display().to_string();
    let cases: Vec<(Vec<(&str, &str)>, &str)> = vec![
        (vec![("location", "../secret")], "without '..'"),
        (vec![("location", "sub/../../secret")], "without '..'"),
        (vec![("location", "sub\\weights.bin")], "only a relative path"),
        (vec![("location", &absolute)], "only a relative path"),
        (vec![("location", "")], "only a relative path"),
        (vec![], "only a relative path"),
        (vec![("location", "sub")], "not a regular file"),
        (vec![("location", "missing.bin")], "belongs beside the model file"),
        (
            vec![("location", "sub/weights.bin"), ("offset", "8")],
            "it has 12",
        ),
        (
            vec![
                ("location", "sub/weights.bin"),
                ("offset", "18446744073709551615"),
            ],
            "it has 12",
        ),
        (
            vec![("location", "sub/weights.bin"), ("length", "12")],
            "calls for 8 bytes",
        ),
        (
            vec![("location", "sub/weights.bin"), ("offset", "x")],
            "no number",
        ),
        #[cfg(unix)]
        (vec![("location", "link")], "leads out of the model's folder"),
    ];
    for (entries, want) in cases {
        let error = try_read(&entries).unwrap_err().to_string();
        assert!(
            error.contains(want) && error.contains("'w'"),
            "{error:?} does not say {want:?}"
        );
    }
    let no_folder = read_bytes(
        external(&[("location", "a")]).encode_to_vec(),
        None,
        TABLE,
        &Limits::default(),
    );
    assert!(
        no_folder
            .unwrap_err()
            .to_string()
            .contains("give the file's path")
    );
}

proptest::proptest! {
    #[test]
    fn any_bytes_give_a_model_or_an_error(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let _ = read_bytes(bytes, None, TABLE, &Limits::default());
    }

    #[test]
    fn changed_models_give_a_model_or_an_error(at in proptest::prelude::any::<proptest::sample::Index>(), value: u8) {
        let mut bytes = base().encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = read_bytes(bytes, None, TABLE, &Limits::default());
    }
}
