//! The packer over small models: what the bundle holds, that it is the same each time, and what is refused.

use super::*;
use crate::quantise::QuantiseOptions;
use crate::recipe::{GoldenInputs, InputRecipe, OutputRecipe};
use crate::testing::{Build, TABLE};
use sanderling_bundle::{BytesHeadTail, Classification, Dim, Expect, Label, PreStep};
use sanderling_core::{Attribute, DType, reference};

/// Indices and rows in, class and scores out.
fn model() -> Model {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 40])
        .weight("w", &[40, 30])
        .weight("b", &[30])
        .node("MatMul", &["x", "w"], &["p"])
        .node("Add", &["p", "b"], &["q"])
        .node("Softmax", &["q"], &["scores"])
        .node_with("ArgMax", &["q"], &["class"], &[("axis", Attribute::Int(1))])
        .output("scores")
        .output("class")
        .done();
    Model {
        graph,
        ir_version: 8,
        opsets: vec![(String::new(), 17)],
        producer: Default::default(),
        metadata: Vec::new(),
        sha256: [7; 32],
    }
}

fn recipe() -> Recipe {
    let mut recipe = Recipe::named("small");
    recipe.dims.insert("s1".into(), 2);
    recipe.inputs.insert(
        "x".into(),
        InputRecipe {
            range: Some((0.0, 1.0)),
            ..InputRecipe::default()
        },
    );
    recipe
}

fn pack_with(recipe: &Recipe) -> Result<Packed, CompileError> {
    pack(model(), recipe, TABLE, &OptimiseOptions::default(), &mut |_| {})
}

#[test]
fn a_bundle_says_what_it_is() {
    let mut stages = Vec::new();
    let packed = pack(model(), &recipe(), TABLE, &OptimiseOptions::default(), &mut |p| {
        stages.push(p)
    })
    .unwrap();
    let view = BundleView::parse(&packed.bytes).unwrap();
    view.verify_hashes().unwrap();
    let manifest = view.manifest().unwrap();
    assert_eq!(manifest, packed.manifest);
    assert_eq!(view.digest(), packed.sha256);
    assert_eq!(
        manifest.inputs[0].dims,
        [Dim::Symbol("s1".into()), Dim::Fixed(40)]
    );
    assert_eq!(manifest.outputs[1].dtype, DType::I64);
    assert_eq!(
        manifest.operators,
        [
            "ai.onnx:Add",
            "ai.onnx:ArgMax",
            "ai.onnx:MatMul",
            "ai.onnx:Softmax"
        ]
    );
    assert_eq!(manifest.resources.for_dims, [("s1".to_string(), 2)]);
    assert_eq!(manifest.resources.macs, Some(2 * 40 * 30));
    assert_eq!(manifest.resources.constant_bytes, 4 * (40 * 30 + 30));
    assert_eq!(manifest.lineage.source_sha256, Some([7; 32]));
    // Input 320 bytes, product, sum and scores 240 each, class 16: at most three of them at a time.
    let arena = manifest.resources.arena_bytes.unwrap();
    assert!((320 + 240..=3 * 320).contains(&arena), "{arena}");
    assert!(
        stages
            .iter()
            .any(|p| p.stage == Stage::Golden && p.done > 0 && p.done <= p.total)
    );
    assert_eq!(stages.last().map(|p| (p.stage, p.done)), Some((Stage::Write, 1)));
}

#[test]
fn golden_vectors_hold_on_the_packed_plan() {
    let mut recipe = recipe();
    recipe.golden.random = 2;
    let ones: Vec<u8> = std::iter::repeat_n(1.0f32.to_le_bytes(), 80).flatten().collect();
    let inputs = [("x".to_string(), ones)].into_iter().collect();
    recipe.golden.vectors.push(GoldenInputs {
        name: "ones".into(),
        description: "all ones".into(),
        inputs,
    });
    let packed = pack_with(&recipe).unwrap();
    let view = BundleView::parse(&packed.bytes).unwrap();
    let plan = PlanView::parse(view.plan(TARGET_ANY).unwrap()).unwrap();
    let constants: Vec<Tensor> = view
        .tensors()
        .iter()
        .map(|t| {
            let shape: Vec<usize> = t.dims.iter().map(|d| d as usize).collect();
            Tensor::from_bytes(t.dtype, &shape, t.data).unwrap()
        })
        .collect();
    let golden = view.golden().unwrap();
    let names: Vec<&str> = golden.iter().map(|g| g.name).collect();
    assert_eq!(names, ["ones", "random-0", "random-1"]);
    assert_eq!(view.manifest().unwrap().golden[0].description, "all ones");
    for vector in golden {
        let input = &vector.inputs[0];
        let shape: Vec<usize> = input.dims.iter().map(|&d| d as usize).collect();
        let tensor = Tensor::from_bytes(input.dtype, &shape, input.bytes).unwrap();
        let outputs = reference::run(&plan, &constants, TABLE, &[tensor.view()], &mut |_, _| {}).unwrap();
        let Expect::Close { bytes, abs, rel } = vector.outputs[0].expect else {
            panic!("floats are compared")
        };
        assert_eq!(outputs[0].bytes(), bytes);
        assert!(abs > 0.0 && rel > 0.0);
        let dims = &vector.outputs[1].dims;
        let digest = sanderling_bundle::value_digest(DType::I64, dims, outputs[1].bytes());
        assert_eq!(vector.outputs[1].expect, Expect::Exact { digest });
    }
}

#[test]
fn the_same_bytes_each_time_and_others_for_another_seed() {
    let first = pack_with(&recipe()).unwrap();
    assert_eq!(pack_with(&recipe()).unwrap().bytes, first.bytes);
    let mut other = recipe();
    other.golden.seed = 9;
    assert_ne!(pack_with(&other).unwrap().sha256, first.sha256);
}

#[test]
fn quantised_bundles_are_smaller_and_say_by_how_much_they_err() {
    let mut recipe = recipe();
    recipe.quantise = Some(QuantiseOptions::default());
    let int8 = pack_with(&recipe).unwrap();
    let layers = int8.manifest.lineage.quantisation.unwrap().layers;
    assert_eq!((layers.len(), layers[0].name.as_str()), (1, "w"));
    assert!(
        int8.manifest
            .operators
            .contains(&"ai.onnx:DequantizeLinear".to_string())
    );
    assert_eq!(int8.manifest.resources.constant_bytes, 40 * 30 + 4 * 30 + 4 * 30);
}

#[test]
fn a_static_model_has_its_arena_in_the_plan() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2, 8])
        .node("Relu", &["x"], &["a"])
        .node("Exp", &["a"], &["y"])
        .output("y")
        .done();
    let packed = pack(
        Model { graph, ..model() },
        &Recipe::named("static"),
        TABLE,
        &OptimiseOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    let view = BundleView::parse(&packed.bytes).unwrap();
    let plan = PlanView::parse(view.plan(TARGET_ANY).unwrap()).unwrap();
    assert_eq!(Some(plan.arena_len()), packed.manifest.resources.arena_bytes);
    assert_eq!(
        plan.arena_len(),
        128,
        "two of three tensors of 64 bytes live at a time"
    );
    let certificate = view.certificate().unwrap().unwrap();
    assert_eq!((certificate.arena_bytes, certificate.scratch_bytes), (128, 0));
    assert_eq!(certificate.flash_bytes, packed.manifest.resources.flash_bytes);
    assert_eq!(
        Some(u64::from(certificate.stack_bytes)),
        packed.manifest.resources.stack_bytes
    );
}

#[test]
fn symbols_are_fixed_where_the_recipe_says_so() {
    let view = |packed: &Packed| BundleView::parse(&packed.bytes).unwrap().certificate().unwrap();
    assert_eq!(view(&pack_with(&recipe()).unwrap()), None, "symbols are open");
    let mut recipe = recipe();
    recipe.static_shapes = true;
    let packed = pack_with(&recipe).unwrap();
    assert_eq!(packed.manifest.inputs[0].dims, [Dim::Fixed(2), Dim::Fixed(40)]);
    assert!(view(&packed).is_some());
}

#[test]
fn a_damaged_graph_can_be_assembled_on_purpose() {
    let mut compiled = compile(
        model(),
        &recipe(),
        TABLE,
        &OptimiseOptions::default(),
        &mut |_| {},
    )
    .unwrap();
    let sound = assemble(compiled.clone(), &recipe(), TABLE, &mut |_| {}).unwrap();
    let weight = compiled.graph.values.iter_mut().find(|v| v.name == "w").unwrap();
    weight.constant = Some(Tensor::zeros(DType::F32, &[40, 30]).unwrap());
    let damaged = assemble(compiled, &recipe(), TABLE, &mut |_| {}).unwrap();
    assert_ne!(damaged.sha256, sound.sha256);
    BundleView::parse(&damaged.bytes)
        .unwrap()
        .verify_hashes()
        .unwrap();
}

type Change = fn(&mut Recipe);

#[test]
fn recipes_that_do_not_fit_name_the_key() {
    let cases: &[(Change, &str)] = &[
        (|r| r.name.clear(), "name"),
        (
            |r| drop(r.inputs.insert("image".into(), InputRecipe::default())),
            "inputs.image: the model has no such name, it has 'x'",
        ),
        (
            |r| drop(r.outputs.insert("out".into(), OutputRecipe::default())),
            "outputs.out",
        ),
        (|r| r.dims.extend([("batch".into(), 1)]), "dims.batch"),
        (|r| r.dims.extend([("s1".into(), 0)]), "at least 1"),
        (|r| r.allowed_disagreement_ppm = 1_000_001, "parts per million"),
        (
            |r| {
                drop(r.inputs.insert(
                    "x".into(),
                    InputRecipe {
                        range: Some((1.0, 0.0)),
                        ..InputRecipe::default()
                    },
                ))
            },
            "inputs.x.range",
        ),
        (
            |r| {
                drop(r.inputs.insert(
                    "x".into(),
                    InputRecipe {
                        range: Some((f64::NAN, 0.0)),
                        ..InputRecipe::default()
                    },
                ))
            },
            "inputs.x.range",
        ),
        (
            |r| {
                let labels = vec![Label {
                    name: "l".into(),
                    answer: None,
                    threshold: None,
                    below_threshold: None,
                }];
                let classification = Some(Classification {
                    labels,
                    softmax: false,
                    top_k: 1,
                    threshold: 0.0,
                });
                r.outputs.insert(
                    "scores".into(),
                    OutputRecipe {
                        classification,
                        ..OutputRecipe::default()
                    },
                );
            },
            "there are 1 labels, the output has 30 classes",
        ),
        (
            |r| {
                let step = BytesHeadTail {
                    head: 10,
                    tail: 10,
                    block: 64,
                    padding_token: 256,
                    strip_ascii_whitespace: true,
                    min_bytes: 0,
                    short: None,
                };
                let pre = Some(PreStep::BytesHeadTail(step));
                r.inputs.insert(
                    "x".into(),
                    InputRecipe {
                        pre,
                        ..InputRecipe::default()
                    },
                );
            },
            "inputs.x.pre: it makes [1, 20]",
        ),
        (
            |r| r.version = String::new(),
            "version: it is \"\"; give 1 to 100",
        ),
        (|r| r.version = "1\n2".into(), "version: it is \"1\\n2\"; give"),
        (|r| r.name = " ".into(), "name: it is \" \"; give"),
        (
            |r| r.golden.rel = f32::NAN,
            "golden.rel: it is NaN; give a number",
        ),
        (
            |r| r.metrics = vec![("top1".into(), f64::INFINITY)],
            "lineage.metrics.top1: it is inf",
        ),
        (
            |r| {
                r.cascade = Some(sanderling_bundle::CascadeDefaults {
                    confidence_threshold: f32::NAN,
                    endpoint_model: "m".into(),
                });
            },
            "cascade.confidence_threshold: it is NaN; give a number from 0 to 1",
        ),
        (
            |r| {
                r.golden.vectors.push(GoldenInputs {
                    name: "g".into(),
                    description: String::new(),
                    inputs: Default::default(),
                })
            },
            "golden vector 'g': input 'x' is absent",
        ),
    ];
    for (change, want) in cases {
        let mut recipe = recipe();
        change(&mut recipe);
        let error = pack_with(&recipe).unwrap_err().to_string();
        assert!(error.contains(want), "{error:?} does not say {want:?}");
    }
}

#[test]
fn sizes_that_the_model_does_not_take_are_asked_for() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[1, 1, -7, -8])
        .node_with(
            "MaxPool",
            &["x"],
            &["y"],
            &[("kernel_shape", Attribute::Ints(vec![3, 3]))],
        )
        .output("y")
        .done();
    let model = Model { graph, ..model() };
    let error = pack(
        model,
        &Recipe::named("p"),
        TABLE,
        &OptimiseOptions::default(),
        &mut |_| {},
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("dims: give sizes") && text.contains("'s7', 's8'") && text.contains("MaxPool"),
        "{text}"
    );
}
