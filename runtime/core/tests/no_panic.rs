//! Whatever a graph asks of an operator, it answers or refuses: no input, attribute or opset makes it panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use proptest::prelude::*;
use sanderling_core::op::InputFact;
use sanderling_core::{Attribute, Attrs, DType, Tensor, TensorType, TensorView, infer, ops};

const DTYPES: &[DType] = &[
    DType::F32,
    DType::F32,
    DType::F32,
    DType::I64,
    DType::I64,
    DType::F16,
    DType::F64,
    DType::I8,
    DType::U8,
    DType::I32,
    DType::Bool,
    DType::BF16,
    DType::I4,
    DType::F8E4M3FN,
    DType::Complex64,
];

const SHAPES: &[&[usize]] = &[
    &[],
    &[0],
    &[1],
    &[2],
    &[3],
    &[4],
    &[8],
    &[2, 3],
    &[3, 2],
    &[4, 1],
    &[0, 3],
    &[1, 2, 3],
    &[3, 1, 1],
    &[2, 0, 3],
    &[1, 3, 4, 4],
    &[1, 4, 2, 2],
    &[2, 3, 3, 3],
    &[4, 1, 3, 3],
    &[3, 3, 2, 2],
    &[1, 0, 4, 4],
    &[1, 3, 0, 2],
    &[1, 2, 2, 2, 2],
];

const INTS: &[i64] = &[-3, -2, -1, 0, 1, 2, 3, 4, 7, i64::MAX, i64::MIN];

/// Names that some operator reads, each with the kinds of value it may meet.
const NAMES: &[&str] = &[
    "axis",
    "axes",
    "keepdims",
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "group",
    "auto_pad",
    "ceil_mode",
    "mode",
    "perm",
    "to",
    "epsilon",
    "alpha",
    "beta",
    "scales",
    "blocksize",
    "block_size",
    "transA",
    "transB",
    "start",
    "end",
    "split",
    "num_outputs",
    "starts",
    "ends",
    "shape",
    "size",
    "output_shape",
    "output_padding",
    "coordinate_transformation_mode",
    "nearest_mode",
    "antialias",
    "exclude_outside",
    "storage_order",
    "count_include_pad",
    "training_mode",
    "largest",
    "k",
    "activation",
    "activation_params",
    "broadcast",
    "noop_with_empty_axes",
    "select_last_index",
    "allowzero",
    "fmod",
    "exclusive",
    "reverse",
    "output_dtype",
    "keep_aspect_ratio_policy",
    "value",
    "value_ints",
    "value_float",
    "spatial",
    "is_test",
];

const TEXTS: &[&str] = &[
    "SAME_UPPER",
    "SAME_LOWER",
    "VALID",
    "NOTSET",
    "linear",
    "cubic",
    "nearest",
    "reflect",
    "edge",
    "wrap",
    "constant",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
    "half_pixel_symmetric",
    "ceil",
    "floor",
    "CRD",
    "not_larger",
    "not_smaller",
    "Relu",
    "Clip",
    "tanh",
    "",
];

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![6 => 0i64..4, 2 => -4i64..0, 1 => prop::sample::select(INTS)]
}

fn attribute() -> impl Strategy<Value = (String, Attribute)> {
    let value = prop_oneof![
        3 => int().prop_map(Attribute::Int),
        4 => prop::collection::vec(int(), 0..9).prop_map(Attribute::Ints),
        2 => prop::sample::select(TEXTS).prop_map(|text| Attribute::String(text.as_bytes().to_vec())),
        1 => prop::sample::select(&[0.0f32, 0.5, 1.0, 2.0, -1.0, f32::NAN, f32::INFINITY][..]).prop_map(Attribute::Float),
        1 => prop::collection::vec(0.0f32..3.0, 0..5).prop_map(Attribute::Floats),
    ];
    (prop::sample::select(NAMES), value).prop_map(|(name, value)| (name.to_string(), value))
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let parts = (
        prop::sample::select(DTYPES),
        prop::sample::select(SHAPES),
        any::<u64>(),
    );
    parts.prop_map(|(dtype, shape, seed)| {
        let mut tensor = Tensor::zeros(dtype, shape).unwrap();
        let count = tensor.view().len();
        if dtype == DType::I64 {
            let value = |i: usize| match seed.rotate_left(7 * i as u32) % 23 {
                22 => i64::MAX,
                21 => i64::MIN,
                n => n as i64 % 7 - 2,
            };
            tensor = Tensor::from_slice(shape, &(0..count).map(value).collect::<Vec<_>>()).unwrap();
        } else if dtype == DType::F32 {
            let value = |i: usize| (seed.rotate_left(5 * i as u32) % 9) as f32 - 2.0;
            tensor = Tensor::from_slice(shape, &(0..count).map(value).collect::<Vec<_>>()).unwrap();
        } else if dtype == DType::Bool {
            tensor
                .view_mut()
                .bytes_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(i, b)| *b = (seed >> (i % 64)) as u8 & 1);
        } else {
            tensor
                .view_mut()
                .bytes_mut()
                .iter_mut()
                .enumerate()
                .for_each(|(i, b)| *b = (seed >> (i % 57)) as u8);
        }
        tensor
    })
}

/// What is known of inputs: all types, and the data of those whose bit is set.
fn facts<'a>(
    types: &'a [Option<TensorType>],
    inputs: &'a [Option<Tensor>],
    known: u8,
) -> Vec<Option<InputFact<'a>>> {
    let mut facts = Vec::new();
    for (i, (ty, tensor)) in types.iter().zip(inputs).enumerate() {
        let data = tensor.as_ref().map(Tensor::view).filter(|_| known >> i & 1 == 1);
        facts.push(ty.as_ref().map(|ty| InputFact { ty, data, dims: None }));
    }
    facts
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn operators_answer_or_refuse(
        which in 0..ops::ALL.len(),
        opset in 1u16..28,
        inputs in prop::collection::vec(prop::option::weighted(0.95, tensor()), 0..6),
        known in any::<u8>(),
        attributes in prop::collection::vec(attribute(), 0..7),
        outputs in 0usize..4,
    ) {
        let op = ops::ALL[which];
        let opset = opset.clamp(*op.opsets().start(), *op.opsets().end());
        let attrs = Attrs::of_graph(&attributes);
        let types: Vec<Option<TensorType>> = inputs.iter().map(|t| t.as_ref().map(Tensor::ty)).collect();
        let facts = |known: u8| facts(&types, &inputs, known);
        let _ = infer::apply(op, attrs, opset, &facts(known), outputs, 0);
        let Ok(found) = infer::apply(op, attrs, opset, &facts(0xff), outputs, 0) else { return Ok(()) };
        let found: Option<Vec<TensorType>> = found.into_iter().map(|fact| fact.ty).collect();
        let small = |ty: &TensorType| ty.byte_len().is_some_and(|len| len < 1 << 16);
        let Some(found) = found.filter(|types| types.iter().all(small)) else { return Ok(()) };
        let views: Vec<Option<TensorView<'_>>> = inputs.iter().map(|t| t.as_ref().map(Tensor::view)).collect();
        let _ = infer::eval(op, attrs, opset, &views, &found);
    }
}
