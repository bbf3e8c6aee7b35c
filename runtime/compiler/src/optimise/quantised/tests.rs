//! QDQ graphs: which integer operators are left, and that results move by one step at most.

use super::super::{OptimiseOptions, optimise};
use crate::testing::{Build, TABLE, evaluate, operators, sample_inputs};
use sanderling_core::{Attribute, DType, Graph, Tensor};

fn bytes(dtype: DType, shape: &[usize], values: &[i64]) -> Tensor {
    let bytes: Vec<u8> = values.iter().map(|&value| value as u8).collect();
    Tensor::from_bytes(dtype, shape, &bytes).unwrap()
}

/// What a model's exporter does: one name a step.
trait Quantise: Sized {
    /// Quantises a float to u8.
    fn q(self, from: &str, to: &str, scale: f32, zero: i64) -> Self;
    /// And back.
    fn dq(self, from: &str, to: &str, scale: f32, zero: i64) -> Self;
    /// Int8 weights with a scale for each index of an axis.
    fn weights(self, name: &str, shape: &[usize], axis: usize) -> Self;
}

impl Quantise for Build {
    fn q(self, from: &str, to: &str, scale: f32, zero: i64) -> Self {
        let (s, z) = (format!("{to}.s"), format!("{to}.z"));
        self.scalar(&s, scale)
            .constant(&z, bytes(DType::U8, &[], &[zero]))
            .node("QuantizeLinear", &[from, &s, &z], &[to])
    }

    fn dq(self, from: &str, to: &str, scale: f32, zero: i64) -> Self {
        let (s, z) = (format!("{to}.s"), format!("{to}.z"));
        self.scalar(&s, scale)
            .constant(&z, bytes(DType::U8, &[], &[zero]))
            .node("DequantizeLinear", &[from, &s, &z], &[to])
    }

    fn weights(self, name: &str, shape: &[usize], axis: usize) -> Self {
        let n: usize = shape.iter().product();
        let values: Vec<i64> = (0..n as i64).map(|i| i * 37 % 255 - 127).collect();
        let scales: Vec<f32> = (0..shape[axis]).map(|c| 0.003 + 0.001 * c as f32).collect();
        let zeros = bytes(DType::I8, &[scales.len()], &vec![0; scales.len()]);
        let [q, s, z] = ["q", "s", "z"].map(|part| format!("{name}.{part}"));
        self.constant(&q, bytes(DType::I8, shape, &values))
            .constant(&s, Tensor::from_slice(&[scales.len()], &scales).unwrap())
            .constant(&z, zeros)
            .node_with(
                "DequantizeLinear",
                &[&q, &s, &z],
                &[name],
                &[("axis", Attribute::Int(axis as i64))],
            )
    }
}

/// An image, quantised: floats "x", integers "xq", floats again "xd".
fn image() -> Build {
    Build::new(17)
        .input("x", DType::F32, &[1, 4, 5, 5])
        .q("x", "xq", 0.02, 120)
        .dq("xq", "xd", 0.02, 120)
}

/// Optimises; compares the u8 result "yq"; gives the graph.
fn check(build: Build, want: &[&str]) -> Graph {
    let graph = build.dq("yq", "y", 0.05, 9).output("y").done();
    let mut optimised = graph.clone();
    optimise(&mut optimised, TABLE, &OptimiseOptions::default()).unwrap();
    assert_eq!(operators(&optimised), want);
    let inputs = sample_inputs(&graph, 1);
    let (before, after) = (evaluate(&graph, &inputs), evaluate(&optimised, &inputs));
    let steps = |t: &Tensor| t.view().as_slice::<f32>().unwrap().to_vec();
    let pairs: Vec<(f32, f32)> = steps(&before[0]).into_iter().zip(steps(&after[0])).collect();
    let moved = pairs.iter().filter(|(a, b)| a != b).count();
    assert!(pairs.iter().all(|(a, b)| (a - b).abs() < 0.051), "{pairs:?}");
    assert!(
        moved * 50 <= pairs.len(),
        "{moved} of {} results moved",
        pairs.len()
    );
    // Not all at a bound, or there is nothing to see.
    let distinct: std::collections::BTreeSet<u32> = pairs.iter().map(|(_, b)| b.to_bits()).collect();
    assert!(distinct.len() > 2, "only {} distinct results", distinct.len());
    optimised
}

#[test]
fn convolutions_with_bias_and_activation() {
    let conv = |build: Build| build.node_with("Conv", &["xd", "w", "b"], &["c"], &[]);
    let build = conv(image().weights("w", &[3, 4, 3, 3], 0).weight("b", &[3]));
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "QLinearConv", "DequantizeLinear"],
    );
    // A bound that the range does not have becomes a bound of bytes; one that it has, nothing.
    let build = conv(image().weights("w", &[3, 4, 3, 3], 0).weight("b", &[3])).node("Relu", &["c"], &["r"]);
    let bounded = check(
        build.q("r", "yq", 0.05, 9),
        &["QuantizeLinear", "QLinearConv", "Clip", "DequantizeLinear"],
    );
    let clip = bounded.nodes.iter().find(|node| node.is("Clip")).unwrap();
    let least = bounded.constant(clip.inputs[1].unwrap()).unwrap();
    assert_eq!((least.dtype(), least.bytes()), (DType::U8, &[9][..]));
}

#[test]
fn a_bias_of_the_products_unit_is_kept_to_the_bit() {
    let scales: Vec<f32> = (0..3).map(|c| 0.02 * (0.003 + 0.001 * c as f32)).collect();
    let build = image()
        .weights("w", &[3, 4, 1, 1], 0)
        .constant(
            "bq",
            Tensor::from_slice(&[3], &[1_000_001i32, -7, 2_147_268_352]).unwrap(),
        )
        .constant("bs", Tensor::from_slice(&[3], &scales).unwrap())
        .constant("bz", Tensor::from_slice(&[3], &[0i32; 3]).unwrap())
        .node_with(
            "DequantizeLinear",
            &["bq", "bs", "bz"],
            &["b"],
            &[("axis", Attribute::Int(0))],
        )
        .node("Conv", &["xd", "w", "b"], &["c"])
        .q("c", "yq", 0.05, 9);
    let mut graph = build.dq("yq", "y", 0.05, 9).output("y").done();
    let report = optimise(&mut graph, TABLE, &OptimiseOptions::default()).unwrap();
    let conv = graph.nodes.iter().find(|node| node.is("QLinearConv")).unwrap();
    let bias = graph.constant(conv.inputs[8].unwrap()).unwrap();
    let bias = bias.view().as_slice::<i32>().unwrap().to_vec();
    assert_eq!(bias[..2], [1_000_001, -7]);
    // 2³¹ − 1 less 135 times the sum of the channel's weights, none of which is 0.
    assert!(
        bias[2] < 2_147_483_647 - 135 * 4 && bias[2] > 2_147_000_000,
        "{}",
        bias[2]
    );
    assert_eq!(report.notes.len(), usize::from(bias[2] != 2_147_268_352));
}

#[test]
fn products() {
    let build = Build::new(17)
        .input("x", DType::F32, &[2, 40])
        .q("x", "xq", 0.02, 120)
        .dq("xq", "xd", 0.02, 120)
        .weights("w", &[6, 40], 0)
        .weight("b", &[6])
        .node_with(
            "Gemm",
            &["xd", "w", "b"],
            &["c"],
            &[("transB", Attribute::Int(1))],
        );
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "QGemm", "DequantizeLinear"],
    );
    let build = Build::new(17)
        .input("x", DType::F32, &[2, 40])
        .q("x", "xq", 0.02, 120)
        .dq("xq", "xd", 0.02, 120)
        .weights("w", &[40, 6], 1)
        .node("MatMul", &["xd", "w"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "QLinearMatMul", "DequantizeLinear"],
    );
}

#[test]
fn a_stack_of_matrices_is_read_by_its_own_columns() {
    let product = || {
        Build::new(17)
            .input("x", DType::F32, &[2, 3, 6])
            .q("x", "xq", 0.02, 120)
            .dq("xq", "xd", 0.02, 120)
    };
    // A scale for each row of the inner axis, of as many columns: no integer form.
    let build = product()
        .weights("w", &[2, 6, 6], 1)
        .node("MatMul", &["xd", "w"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &[
            "QuantizeLinear",
            "DequantizeLinear",
            "MatMul",
            "QuantizeLinear",
            "DequantizeLinear",
        ],
    );
    // One scale for all has one.
    let values: Vec<i64> = (0..2 * 6 * 4).map(|i| i * 37 % 255).collect();
    let build = product()
        .constant("wq", bytes(DType::U8, &[2, 6, 4], &values))
        .dq("wq", "w", 0.004, 100)
        .node("MatMul", &["xd", "w"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "QLinearMatMul", "DequantizeLinear"],
    );
}

#[test]
fn sums_products_and_means() {
    for (op, integer) in [("Add", "QLinearAdd"), ("Mul", "QLinearMul")] {
        let build = image()
            .node("Abs", &["xd"], &["n"])
            .q("n", "nq", 0.03, 100)
            .dq("nq", "nd", 0.03, 100)
            .node(op, &["xd", "nd"], &["c"]);
        check(
            build.q("c", "yq", 0.05, 9),
            &["QuantizeLinear", "LookupTable", integer, "DequantizeLinear"],
        );
    }
    let build = image().node("GlobalAveragePool", &["xd"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "QLinearGlobalAveragePool", "DequantizeLinear"],
    );
}

#[test]
fn chains_of_functions_are_one_table() {
    let build = image()
        .scalar("two", 2.0)
        .node("HardSigmoid", &["xd"], &["h"])
        .node("Mul", &["xd", "h"], &["s"])
        .node("Mul", &["s", "two"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &["QuantizeLinear", "LookupTable", "DequantizeLinear"],
    );
    // A constant that differs by element is no function of a byte.
    let build = image()
        .weight("each", &[4, 1, 1])
        .node("Mul", &["xd", "each"], &["c"]);
    check(
        build.q("c", "yq", 0.05, 9),
        &[
            "QuantizeLinear",
            "DequantizeLinear",
            "Mul",
            "QuantizeLinear",
            "DequantizeLinear",
        ],
    );
}

#[test]
fn what_changes_no_byte_is_left_out() {
    let build = image()
        .q("xd", "same", 0.02, 120)
        .dq("same", "sd", 0.02, 120)
        .node("Flatten", &["sd"], &["f"]);
    check(
        build.q("f", "yq", 0.02, 120),
        &["QuantizeLinear", "Flatten", "DequantizeLinear"],
    );
}

#[test]
fn what_moves_moves_bytes() {
    let build = image().node("Flatten", &["xd"], &["f"]);
    check(
        build.q("f", "yq", 0.02, 120),
        &["QuantizeLinear", "Flatten", "DequantizeLinear"],
    );
    // Another scale: a table first.
    let build = image().node("Flatten", &["xd"], &["f"]);
    check(
        build.q("f", "yq", 0.05, 9),
        &["QuantizeLinear", "LookupTable", "Flatten", "DequantizeLinear"],
    );
}

#[test]
fn what_is_read_as_floats_too_stays_in_floats() {
    let build = image()
        .weights("w", &[3, 4, 3, 3], 0)
        .node("Conv", &["xd", "w"], &["c"])
        .q("c", "yq", 0.05, 9)
        .output("c");
    let graph = build.done();
    let mut optimised = graph.clone();
    optimise(&mut optimised, TABLE, &OptimiseOptions::default()).unwrap();
    assert!(!operators(&optimised).contains(&"QLinearConv"));
}
