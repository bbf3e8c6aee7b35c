//! Bundles that no packer wrote. Hashes are the signature's business: damage behind right ones gives an error or an answer, never a
//! panic, and an answer is of bytes that the node wrote.

use super::*;
use sanderling_core::ValueId;
use sanderling_core::plan::PlanView;
use std::ops::Range;

/// A node on an input of these bytes, constants behind it.
fn node(
    domain: &'static str,
    op: &str,
    opset: u16,
    attributes: &[(&str, Attribute)],
    inputs: Vec<Tensor>,
) -> Vector {
    Vector {
        name: op.into(),
        domain,
        op: op.into(),
        opset,
        attributes: attributes
            .iter()
            .map(|(name, value)| (name.to_string(), value.clone()))
            .collect(),
        output: inputs[0].clone(),
        inputs: inputs.into_iter().map(Some).collect(),
    }
}

fn bytes(shape: &[usize]) -> Tensor {
    Random(9).bytes(shape, false)
}

fn i64s(values: &[i64]) -> Tensor {
    Tensor::from_slice(&[values.len()], values).unwrap()
}

fn ints(values: &[i64]) -> Attribute {
    Attribute::Ints(values.to_vec())
}

fn slice(shape: &[usize], start: i64, end: i64, axis: i64, step: i64) -> Vector {
    let lists = [start, end, axis, step].map(|value| i64s(&[value]));
    node(
        "",
        "Slice",
        13,
        &[],
        [vec![bytes(shape)], lists.to_vec()].concat(),
    )
}

fn pool() -> Vector {
    let attributes = [
        ("kernel_shape", ints(&[2, 3])),
        ("strides", ints(&[1, 2])),
        ("pads", ints(&[1, 1, 0, 1])),
    ];
    node("", "MaxPool", 12, &attributes, vec![bytes(&[1, 2, 4, 5])])
}

/// A node for every row of the table.
fn rows() -> Vec<Vector> {
    let scalar = |value: f32| Tensor::from_slice(&[], &[value]).unwrap();
    let x = || bytes(&[2, 3, 4]);
    let axis = |n| [("axis", Attribute::Int(n))];
    let mut rows = vec![
        pool(),
        node("", "Clip", 13, &[], vec![x(), bytes(&[]), bytes(&[])]),
        node("", "Max", 13, &[], vec![x(), bytes(&[3, 1])]),
        node("", "Min", 13, &[], vec![x(), bytes(&[4])]),
        node("", "Reshape", 13, &[], vec![x(), i64s(&[6, 4])]),
        node("", "Flatten", 13, &axis(1), vec![x()]),
        node("", "Squeeze", 13, &[], vec![bytes(&[2, 1, 4]), i64s(&[1])]),
        node("", "Unsqueeze", 13, &[], vec![x(), i64s(&[1])]),
        node("", "Identity", 13, &[], vec![x()]),
        node("", "Transpose", 13, &[("perm", ints(&[2, 0, 1]))], vec![x()]),
        node("", "Concat", 13, &axis(1), vec![x(), bytes(&[2, 2, 4])]),
        slice(&[2, 3, 4], 3, -100, 2, -2),
        node("", "Split", 13, &axis(1), vec![x(), i64s(&[3])]),
        node(
            "",
            "DequantizeLinear",
            13,
            &[],
            vec![x(), scalar(0.5), bytes(&[])],
        ),
        node(
            "",
            "Softmax",
            13,
            &axis(-1),
            vec![Tensor::from_slice(&[2, 3], &[1f32, 2., 3., -1., 0., 1.]).unwrap()],
        ),
    ];
    for vector in vectors().unwrap() {
        if !rows.iter().any(|row| row.op == vector.op) {
            rows.push(vector);
        }
    }
    for operator in micro::All::<Fpu>::TABLE {
        let there = rows
            .iter()
            .any(|row| (row.domain, row.op.as_str()) == (operator.domain, operator.name));
        assert!(there, "{} has no row here", operator.name);
    }
    rows
}

/// Where the plan's tables lie in a bundle: values, nodes, edges, dims, attributes, names, payload, text.
fn tables(bundle: &[u8]) -> [Range<usize>; 8] {
    let view = BundleView::parse(bundle).unwrap();
    let plan = view.plan("any").unwrap();
    let start = plan.as_ptr() as usize - bundle.as_ptr() as usize;
    let mut at = 64;
    std::array::from_fn(|i| {
        let len = u32::from_le_bytes(*plan[32 + 4 * i..].first_chunk().unwrap()) as usize;
        let from = usize::next_multiple_of(at, 8);
        at = from + len;
        start + from..start + at
    })
}

/// Where the record of a value lies.
fn record(bundle: &[u8], name: &str) -> usize {
    let view = BundleView::parse(bundle).unwrap();
    let plan = PlanView::parse(view.plan("any").unwrap()).unwrap();
    let index = (0..plan.value_count()).find(|&i| plan.value(ValueId(i as u32)).name == name);
    tables(bundle)[0].start + index.unwrap() * 32
}

/// States other dimensions of a value.
fn state(bundle: &mut [u8], name: &str, dims: &[i64]) {
    let at = record(bundle, name);
    let word = |at: usize| u32::from_le_bytes(*bundle[at..].first_chunk().unwrap()) as usize;
    assert_eq!(word(at + 8), dims.len());
    let first = tables(bundle)[3].start + word(at + 12) * 8;
    for (i, dim) in dims.iter().enumerate() {
        bundle[first + i * 8..first + i * 8 + 8].copy_from_slice(&dim.to_le_bytes());
    }
}

/// Where the elements of 64-bit constants lie: starts, axes, steps.
fn wide_constants(bundle: &[u8]) -> Vec<usize> {
    let view = BundleView::parse(bundle).unwrap();
    let tensors = view.tensors();
    let wide = tensors
        .iter()
        .filter(|tensor| tensor.dtype == sanderling_core::DType::I64);
    let begins = |data: &[u8]| data.as_ptr() as usize - bundle.as_ptr() as usize;
    wide.flat_map(|tensor| (begins(tensor.data)..begins(tensor.data) + tensor.data.len()).step_by(8))
        .collect()
}

fn put(bundle: &mut [u8], at: usize, value: i64) {
    bundle[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

/// What a bundle answers from an arena that held this byte.
fn answer(bundle: &[u8], filled: u8) -> Result<Vec<u8>, String> {
    let arena_bytes = BundleView::parse(bundle)
        .unwrap()
        .certificate()
        .unwrap()
        .unwrap()
        .arena_bytes;
    let mut arena = vec![filled; (arena_bytes as usize).max(64)];
    let session = MicroSession::new(bundle, micro::All::<Fpu>::TABLE, &mut arena, &LIMITS);
    let mut session = session.map_err(|error| error.to_string())?;
    for i in 0.. {
        match session.set_input(i, &[]) {
            Err(MicroError::Input { needed, .. }) => session.set_input(i, &vec![7; needed]).unwrap(),
            Err(_) => break,
            Ok(()) => {}
        }
    }
    session.run().expect("what cannot be run is refused before");
    session
        .output(0)
        .map(|output| output.bytes.to_vec())
        .map_err(|error| error.to_string())
}

const EXTREMES: [i64; 10] = [
    i64::MIN,
    i64::MIN + 1,
    -(1 << 31),
    -1,
    0,
    1,
    2,
    1 << 31,
    1 << 32,
    i64::MAX,
];

#[test]
fn damaged_plans_answer_or_refuse() {
    let mut random = Random(5);
    for row in rows() {
        let (bundle, _) = bundle_of(&row, false);
        let before = answer(&bundle, 0).unwrap();
        assert!(!before.is_empty());
        let [values, .., dims, _, _, payload, text] = tables(&bundle);
        let constants = wide_constants(&bundle);
        let plan = values.start - 64..text.end;
        let (mut refused, mut answered) = (0, 0);
        for _ in 0..500 {
            let mut damaged = bundle.clone();
            for _ in 0..random.range(1, 3) {
                let extreme = EXTREMES[random.range(0, EXTREMES.len() - 1)];
                match random.range(0, 3) {
                    0 if !payload.is_empty() => {
                        put(
                            &mut damaged,
                            payload.start + random.range(0, payload.len() / 8 - 1) * 8,
                            extreme,
                        );
                    }
                    1 if !constants.is_empty() => {
                        put(
                            &mut damaged,
                            constants[random.range(0, constants.len() - 1)],
                            extreme,
                        );
                    }
                    2 => {
                        let dim = [0, 0, 1, 2, 3, 4, 8, -1, i64::MAX][random.range(0, 8)];
                        put(
                            &mut damaged,
                            dims.start + random.range(0, dims.len() / 8 - 1) * 8,
                            dim,
                        );
                    }
                    _ => {
                        let at = random.range(plan.start, plan.end - 1);
                        damaged[at] = [0, 1, 0xff, damaged[at] ^ 1 << random.below(8)][random.range(0, 3)];
                    }
                }
            }
            let found = answer(&damaged, 0xa5);
            assert_eq!(
                found,
                answer(&damaged, 0x5a),
                "{}: bytes that no node wrote",
                row.op
            );
            match found {
                Ok(_) => answered += 1,
                Err(error) => {
                    refused += 1;
                    assert!(!error.is_empty());
                }
            }
        }
        assert!(
            refused > 50 && answered > 5,
            "{}: {refused} refused, {answered} answered",
            row.op
        );
    }
}

/// The same on a model of many nodes.
#[test]
fn damaged_models_answer_or_refuse() {
    let bundle = fashion();
    let [values, .., text] = tables(&bundle);
    let (mut random, mut refused) = (Random(5), 0);
    for _ in 0..1500 {
        let mut damaged = bundle.clone();
        for _ in 0..random.range(1, 3) {
            let at = random.range(values.start - 64, text.end - 1);
            damaged[at] = [0, 1, 0xff, damaged[at] ^ 1 << random.below(8)][random.range(0, 3)];
        }
        refused += usize::from(answer(&damaged, 0).is_err());
    }
    assert!(refused > 250, "{refused}");
}

/// Gives plan and certificate a larger arena, so that larger values fit.
fn widen(bundle: &mut [u8]) {
    let view = BundleView::parse(bundle).unwrap();
    let kind = sanderling_bundle::SectionKind::Certificate;
    let certificate = view
        .sections()
        .find(|section| section.kind == kind)
        .unwrap()
        .offset as usize
        + 4;
    let plan = tables(bundle)[0].start - 64 + 24;
    for at in [certificate, plan] {
        bundle[at..at + 4].copy_from_slice(&1024u32.to_le_bytes());
    }
}

/// A bundle after a change, and what the refusal says.
fn refuses(row: &Vector, change: impl Fn(&mut [u8]), what: &str) {
    let (mut bundle, _) = bundle_of(row, false);
    widen(&mut bundle);
    answer(&bundle, 0).unwrap();
    change(&mut bundle);
    let error = answer(&bundle, 0xa5).expect_err(what);
    assert!(error.contains(what), "{}: {error}", row.op);
}

#[test]
fn outputs_that_the_operator_does_not_give_are_refused() {
    let quarter = || Tensor::from_slice(&[], &[0.25f32]).unwrap();
    let operand = || vec![bytes(&[1, 4]), quarter(), bytes(&[])];
    let sum = [operand(), operand(), vec![quarter(), bytes(&[])]].concat();
    let broadcast = "what the inputs are broadcast to";
    refuses(
        &node("com.microsoft", "QLinearAdd", 1, &[], sum),
        |b| state(b, "out", &[3, 4]),
        broadcast,
    );
    let both = vec![bytes(&[1, 4]), bytes(&[4])];
    refuses(
        &node("", "Max", 13, &[], both),
        |b| state(b, "out", &[3, 4]),
        broadcast,
    );
    let cut = slice(&[4, 4], 1, 3, 0, 1);
    for wrong in [2, 3, 8] {
        refuses(&cut, |b| state(b, "out", &[2, wrong]), "differs beside the axes");
    }
    let lists = [[0, 0], [2, 2], [0, 1]].map(|list| i64s(&list));
    let twice = node(
        "",
        "Slice",
        13,
        &[],
        [vec![bytes(&[4, 4])], lists.to_vec()].concat(),
    );
    let axes = |bundle: &mut [u8]| {
        let view = BundleView::parse(bundle).unwrap();
        let listed = view
            .tensors()
            .iter()
            .find(|t| t.data == [0i64, 1].map(i64::to_le_bytes).concat());
        let at = listed.unwrap().data.as_ptr() as usize - bundle.as_ptr() as usize;
        put(bundle, at + 8, 0);
    };
    refuses(&twice, axes, "attribute 'axes'");
    let part = node(
        "",
        "Split",
        13,
        &[("axis", Attribute::Int(0))],
        vec![bytes(&[4]), i64s(&[4])],
    );
    refuses(&part, |b| state(b, "out", &[3]), "not as long as its part");
}

#[test]
fn slices_of_nothing_and_steps_over_all() {
    let (mut bundle, _) = bundle_of(&slice(&[2, 3], -1, -100, 1, -1), false);
    state(&mut bundle, "in0", &[2, 0]);
    state(&mut bundle, "out", &[2, 0]);
    assert!(answer(&bundle, 0xa5).unwrap().is_empty());
    state(&mut bundle, "out", &[2, 3]);
    assert!(answer(&bundle, 0xa5).unwrap_err().contains("leaves the input"));
    // One element a row, and the next one further away than any.
    let (mut bundle, _) = bundle_of(&slice(&[2, 3], 0, 2, 0, 5), false);
    for at in wide_constants(&bundle) {
        if bundle[at] == 5 {
            put(&mut bundle, at, i64::MAX);
        }
    }
    assert_eq!(answer(&bundle, 0xa5).unwrap(), [7; 3]);
}

#[test]
fn windows_that_see_padding_alone_give_the_least() {
    let row = node(
        "",
        "MaxPool",
        12,
        &[("kernel_shape", ints(&[1])), ("pads", ints(&[1, 1]))],
        vec![bytes(&[1, 1, 2])],
    );
    let (mut bundle, _) = bundle_of(&row, false);
    state(&mut bundle, "in0", &[1, 1, 0]);
    state(&mut bundle, "out", &[1, 1, 2]);
    assert_eq!(answer(&bundle, 0xa5).unwrap(), [0, 0]);
    let least = |bundle: &mut [u8]| {
        let payload = tables(bundle)[6].clone();
        let at = payload.step_by(8).find(|&at| bundle[at] == 1).unwrap();
        put(bundle, at, i64::MIN);
        put(bundle, at + 8, i64::MIN);
    };
    let wide = node(
        "",
        "MaxPool",
        12,
        &[("pads", ints(&[1, 1])), ("kernel_shape", ints(&[2]))],
        vec![bytes(&[1, 1, 2])],
    );
    refuses(&wide, least, "attribute 'pads'");
}

#[test]
fn errors_name_what_is_at_fault() {
    let scale = Tensor::from_slice(&[], &[0.5f32]).unwrap();
    let x = Tensor::from_slice(&[2], &[1.0f32, 2.0]).unwrap();
    let quantise = node("", "QuantizeLinear", 13, &[], vec![x, scale, bytes(&[])]);
    let signed = |bundle: &mut [u8]| {
        let at = record(bundle, "out");
        bundle[at + 5] = sanderling_core::DType::I8 as u8;
    };
    refuses(&quantise, signed, "input 2 has an element type");
    let longer = |bundle: &mut [u8]| {
        let header = tables(bundle)[0].start - 64;
        bundle[header + 24] ^= 64;
    };
    refuses(&quantise, longer, "the bundle's certificate cannot be used");
}

/// Values share places, so that to mark each of many takes more than the arena of few.
#[test]
fn what_checking_takes_is_asked_for() {
    const NODES: usize = 3000;
    let mut graph = Graph::default();
    let ty = Some(TensorType::fixed(sanderling_core::DType::U8, &[1]));
    let value = |graph: &mut Graph, name: String| {
        graph.add_value(Value {
            name,
            ty: ty.clone(),
            constant: None,
        })
    };
    let mut last = value(&mut graph, "x".into());
    graph.inputs.push(last);
    for i in 0..NODES {
        let next = value(&mut graph, format!("y{i}"));
        graph.nodes.push(Node {
            name: format!("n{i}"),
            op_type: "Identity".into(),
            opset: 13,
            inputs: vec![Some(last)],
            outputs: vec![Some(next)],
            ..Node::default()
        });
        last = next;
    }
    graph.outputs.push(last);
    let compiled = Compiled {
        graph,
        source_sha256: [0; 32],
        optimised: Default::default(),
        quantised: None,
    };
    let packed = assemble(compiled, &Recipe::named("chain"), TABLE, &mut |_| {}).unwrap();
    let certificate = BundleView::parse(&packed.bytes)
        .unwrap()
        .certificate()
        .unwrap()
        .unwrap();
    let scratch = (NODES + 1).div_ceil(8);
    assert!((certificate.arena_bytes as usize) < scratch);
    let mut arena = vec![0; scratch];
    let operators = micro::All::<Fpu>::TABLE;
    let error = MicroSession::new(&packed.bytes, operators, &mut arena[..scratch - 1], &LIMITS).map(drop);
    let given = scratch - 1;
    assert_eq!(
        error,
        Err(MicroError::Arena {
            needed: scratch,
            given
        })
    );
    let mut session = MicroSession::new(&packed.bytes, operators, &mut arena, &LIMITS).unwrap();
    session.set_input(0, &[42]).unwrap();
    session.run().unwrap();
    assert_eq!(session.output(0).unwrap().bytes, [42]);
}
