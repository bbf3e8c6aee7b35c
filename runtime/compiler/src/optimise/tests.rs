//! Each pass over small graphs: what is left, and that the results stay the same.

use super::*;
use crate::testing::{Build, TABLE, evaluate, operators, relative_difference, sample_inputs};
use sanderling_core::{Attribute, DType, Tensor};

/// Optimises, compares results for two sizes of the symbols, and gives the operators that are left.
fn check(graph: Graph, want: &[&str]) -> Graph {
    let mut optimised = graph.clone();
    optimise(&mut optimised, TABLE, &OptimiseOptions::default()).unwrap();
    assert_eq!(operators(&optimised), want);
    let names = |g: &Graph| {
        g.outputs
            .iter()
            .map(|id| g.value(*id).name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&graph), names(&optimised), "outputs keep their names");
    for size in [1, 3] {
        let inputs = sample_inputs(&graph, size);
        for (before, after) in evaluate(&graph, &inputs)
            .iter()
            .zip(evaluate(&optimised, &inputs))
        {
            let difference = relative_difference(&after, before);
            assert!(difference <= 2e-6, "results differ by {difference}");
        }
    }
    optimised
}

fn ints(list: &[i64]) -> Attribute {
    Attribute::Ints(list.to_vec())
}

#[test]
fn constants_are_folded_and_what_grows_is_not() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 4])
        .weight("a", &[4])
        .weight("b", &[4])
        .node("Mul", &["a", "b"], &["ab"])
        .node("Add", &["ab", "b"], &["c"])
        .node("Add", &["x", "c"], &["y"])
        .output("y");
    check(graph.done(), &["Add"]);

    let graph = Build::new(17)
        .input("x", DType::F32, &[1, 40_000])
        .scalar("a", 2.0)
        .ints("shape", &[1, 40_000])
        .node("Expand", &["a", "shape"], &["large"])
        .node("Max", &["x", "large"], &["y"])
        .output("y");
    check(graph.done(), &["Expand", "Max"]);
}

#[test]
fn an_output_of_constants_keeps_its_writer() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2])
        .weight("a", &[2])
        .node("Relu", &["a"], &["c"])
        .node("Relu", &["x"], &["y"])
        .output("c")
        .output("y");
    check(graph.done(), &["Relu", "Relu"]);
}

#[test]
fn shape_arithmetic_with_a_symbol_disappears() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 2, 3])
        .ints("zero", &[0])
        .ints("one", &[1])
        .ints("six", &[6])
        .node("Shape", &["x"], &["shape"])
        .node("Slice", &["shape", "zero", "one", "zero"], &["n"])
        .node_with(
            "Concat",
            &["n", "six"],
            &["target"],
            &[("axis", Attribute::Int(0))],
        )
        .node("Reshape", &["x", "target"], &["flat"])
        .node("Relu", &["flat"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Reshape", "Relu"]);
    let target = left.constant(left.nodes[0].inputs[1].unwrap()).unwrap();
    assert_eq!(target.view().to_i64s().unwrap(), [-1, 6]);
}

#[test]
fn two_symbols_are_taken_over_by_position() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, -2, 6])
        .ints("two", &[2])
        .ints("three", &[3])
        .ints("zero", &[0])
        .ints("end", &[2])
        .node("Shape", &["x"], &["shape"])
        .node("Slice", &["shape", "zero", "end", "zero"], &["front"])
        .node_with(
            "Concat",
            &["front", "two", "three"],
            &["target"],
            &[("axis", Attribute::Int(0))],
        )
        .node("Reshape", &["x", "target"], &["heads"])
        .node("Neg", &["heads"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Reshape", "Neg"]);
    let target = left.constant(left.nodes[0].inputs[1].unwrap()).unwrap();
    assert_eq!(target.view().to_i64s().unwrap(), [0, 0, 2, 3]);
}

#[test]
fn an_expand_to_its_own_shape_disappears() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 4])
        .node("Shape", &["x"], &["shape"])
        .node("Expand", &["x", "shape"], &["same"])
        .node("Exp", &["same"], &["y"])
        .output("y");
    check(graph.done(), &["Exp"]);
}

#[test]
fn no_ops_disappear_also_before_an_output() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 4, 1])
        .ints("pads", &[0; 6])
        .ints("from", &[0])
        .ints("to", &[i64::MAX])
        .ints("axis", &[1])
        .node("Identity", &["x"], &["a"])
        .node_with("Cast", &["a"], &["b"], &[("to", Attribute::Int(1))])
        .node("Dropout", &["b"], &["c", "mask"])
        .node_with("Transpose", &["c"], &["d"], &[("perm", ints(&[0, 1, 2]))])
        .node("Slice", &["d", "from", "to", "axis"], &["f"])
        .node("Relu", &["f"], &["g"])
        .node("Identity", &["g"], &["y"])
        .output("y");
    check(graph.done(), &["Relu"]);
}

#[test]
fn an_identity_between_input_and_output_stays() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2])
        .node("Identity", &["x"], &["y"])
        .output("y");
    check(graph.done(), &["Identity"]);
    let graph = Build::new(17)
        .input("x", DType::F32, &[2])
        .node("Relu", &["x"], &["a"])
        .node("Identity", &["a"], &["y"])
        .output("a")
        .output("y");
    check(graph.done(), &["Relu", "Identity"]);
}

#[test]
fn reversing_and_casting_are_no_no_ops() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[3])
        .ints("from", &[-1])
        .ints("to", &[i64::MIN])
        .ints("axis", &[0])
        .ints("step", &[-1])
        .node("Slice", &["x", "from", "to", "axis", "step"], &["a"])
        .node_with("Cast", &["a"], &["y"], &[("to", Attribute::Int(7))])
        .output("y");
    check(graph.done(), &["Slice", "Cast"]);
}

#[test]
fn views_and_transposes_in_a_row_are_joined() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2, 3, 4])
        .ints("a", &[6, 4])
        .ints("b", &[3, 8])
        .node("Reshape", &["x", "a"], &["r"])
        .node("Reshape", &["r", "b"], &["s"])
        .node("Relu", &["s"], &["y"])
        .output("y");
    check(graph.done(), &["Reshape", "Relu"]);

    let graph = Build::new(17)
        .input("x", DType::F32, &[2, 3, 4])
        .node_with("Transpose", &["x"], &["a"], &[("perm", ints(&[2, 0, 1]))])
        .node_with("Transpose", &["a"], &["b"], &[("perm", ints(&[0, 2, 1]))])
        .node("Relu", &["b"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Transpose", "Relu"]);
    assert_eq!(left.nodes[0].attributes, [("perm".to_string(), ints(&[2, 1, 0]))]);

    let graph = Build::new(17)
        .input("x", DType::F32, &[2, 3, 4])
        .node_with("Transpose", &["x"], &["a"], &[("perm", ints(&[1, 2, 0]))])
        .node_with("Transpose", &["a"], &["b"], &[("perm", ints(&[2, 0, 1]))])
        .node("Relu", &["b"], &["y"])
        .output("y");
    check(graph.done(), &["Relu"]);
}

fn positive(n: usize) -> Tensor {
    Tensor::from_slice(&[n], &(0..n).map(|i| 0.3 + i as f32 * 0.17).collect::<Vec<_>>()).unwrap()
}

#[test]
fn batch_normalisation_goes_into_the_weights() {
    // Operator, weight's shape, group.
    let cases: &[(&str, &[usize], i64)] = &[
        ("Conv", &[4, 6, 3, 3], 1),
        ("Conv", &[4, 3, 3, 3], 2),
        ("ConvTranspose", &[6, 4, 3, 3], 1),
        ("ConvTranspose", &[6, 2, 3, 3], 2),
    ];
    for (op, shape, group) in cases {
        for bias in [false, true] {
            let inputs: &[&str] = if bias { &["x", "w", "b"] } else { &["x", "w"] };
            let graph = Build::new(17)
                .input("x", DType::F32, &[-1, 6, 5, 5])
                .weight("w", shape)
                .weight("b", &[4])
                .weight("gamma", &[4])
                .weight("beta", &[4])
                .weight("mean", &[4])
                .constant("var", positive(4))
                .node_with(op, inputs, &["c"], &[("group", Attribute::Int(*group))])
                .node(
                    "BatchNormalization",
                    &["c", "gamma", "beta", "mean", "var"],
                    &["n"],
                )
                .node("Sigmoid", &["n"], &["y"])
                .output("y");
            let fused = ["FusedConv"];
            let separate = [op, "Sigmoid"];
            check(graph.done(), if *op == "Conv" { &fused } else { &separate });
        }
    }
}

#[test]
fn constant_scales_and_shifts_go_into_the_weights() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 2, 4, 4])
        .weight("w", &[3, 2, 1, 1])
        .weight("scale", &[1, 3, 1, 1])
        .weight("shift", &[3, 1, 1])
        .scalar("half", 0.5)
        .scalar("one", 1.0)
        .node("Conv", &["x", "w"], &["c"])
        .node("Mul", &["scale", "c"], &["m"])
        .node("Add", &["m", "shift"], &["a"])
        .node("Div", &["a", "half"], &["d"])
        .node("Sub", &["one", "d"], &["y"])
        .output("y");
    check(graph.done(), &["Conv"]);

    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 3])
        .weight("w", &[5, 3])
        .weight("b", &[1, 5])
        .weight("shift", &[5])
        .node_with(
            "Gemm",
            &["x", "w", "b"],
            &["g"],
            &[
                ("transB", Attribute::Int(1)),
                ("alpha", Attribute::Float(0.5)),
                ("beta", Attribute::Float(2.0)),
            ],
        )
        .node("Mul", &["g", "shift"], &["m"])
        .node("Add", &["m", "shift"], &["y"])
        .output("y");
    check(graph.done(), &["Gemm"]);
}

#[test]
fn what_is_not_per_channel_stays() {
    let conv = |shape: &[usize]| {
        Build::new(17)
            .input("x", DType::F32, &[1, 2, 3, 3])
            .weight("w", &[3, 2, 1, 1])
            .weight("s", shape)
            .node("Conv", &["x", "w"], &["c"])
            .node("Mul", &["c", "s"], &["y"])
            .output("y")
            .done()
    };
    // Along the last axis, although it has as many elements as there are channels; another batch; larger rank.
    check(conv(&[3]), &["Conv", "Mul"]);
    check(conv(&[2, 3, 1, 1]), &["Conv", "Mul"]);
    check(conv(&[1, 1, 3, 1, 1]), &["Conv", "Mul"]);
    // The convolution's own result is read elsewhere as well.
    let graph = Build::new(17)
        .input("x", DType::F32, &[1, 2, 3, 3])
        .weight("w", &[3, 2, 1, 1])
        .scalar("s", 3.0)
        .node("Conv", &["x", "w"], &["c"])
        .node("Mul", &["c", "s"], &["m"])
        .node("Sub", &["m", "c"], &["y"])
        .output("y");
    check(graph.done(), &["Conv", "Mul", "Sub"]);
}

#[test]
fn equal_nodes_and_constants_are_joined() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 2])
        .scalar("a", 2.0)
        .scalar("b", 2.0)
        .node("Mul", &["x", "a"], &["p"])
        .node("Mul", &["x", "b"], &["q"])
        .node("Exp", &["p"], &["r"])
        .node("Neg", &["q"], &["s"])
        .node("Add", &["r", "s"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Mul", "Exp", "Neg", "Add"]);
    assert_eq!(left.values.iter().filter(|v| v.constant.is_some()).count(), 1);
}

#[test]
fn dead_nodes_go_and_the_table_is_sound() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2])
        .node("Exp", &["x"], &["unused"])
        .node("Neg", &["unused"], &["too"])
        .node("Relu", &["x"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Relu"]);
    assert_eq!(left.values.len(), 2);
    let mut names: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PASSES.len());
}

#[test]
fn passes_can_be_left_out_and_misspelt_ones_are_refused() {
    let graph = || {
        Build::new(17)
            .input("x", DType::F32, &[2])
            .node("Identity", &["x"], &["a"])
            .node("Neg", &["a"], &["y"])
            .output("y")
    };
    let mut kept = graph().done();
    let skip = |name: &str| OptimiseOptions {
        skip: vec![name.into()],
        ..OptimiseOptions::default()
    };
    let report = optimise(&mut kept, TABLE, &skip("no-op")).unwrap();
    assert_eq!((report.nodes_before, report.nodes_after), (2, 2));
    let error = optimise(&mut graph().done(), TABLE, &skip("noop"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("'noop'") && error.contains("shape-inputs"),
        "{error}"
    );
}

#[test]
fn shapes_that_do_not_fit_name_the_node() {
    let graph = Build::new(17)
        .input("x", DType::F32, &[2, 3])
        .weight("w", &[4, 5])
        .node("MatMul", &["x", "w"], &["y"])
        .output("y");
    let error = optimise(&mut graph.done(), TABLE, &OptimiseOptions::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("node 'y' (MatMul, opset 17)"), "{error}");
}

#[test]
fn an_expansion_that_the_next_operator_does_itself_goes() {
    let graph = |dims: &[i64]| {
        Build::new(17)
            .input("x", DType::F32, &[-1, 1])
            .input("z", DType::F32, dims)
            .node("Shape", &["z"], &["shape"])
            .node("Expand", &["x", "shape"], &["large"])
            .node("Add", &["large", "z"], &["y"])
            .output("y")
            .done()
    };
    check(graph(&[-1, 4]), &["Add"]);
    // A second symbol may be larger than the first: then the expansion is what makes the result.
    let mut two = graph(&[-2, 4]);
    optimise(&mut two, TABLE, &OptimiseOptions::default()).unwrap();
    assert!(operators(&two).contains(&"Expand"));
}

#[test]
fn products_with_one_hot_rows_become_look_ups() {
    for columns_first in [false, true] {
        let equal: &[&str] = if columns_first {
            &["range", "i"]
        } else {
            &["i", "range"]
        };
        let graph = Build::new(15)
            .input("x", DType::I32, &[-1, 4])
            .ints("target", &[-1, 4, 1])
            .constant("range", Tensor::from_slice(&[1, 1, 2], &[0i32, 1]).unwrap())
            .weight("w", &[2, 3])
            .node("Reshape", &["x", "target"], &["i"])
            .node("Equal", equal, &["hot"])
            .node_with("Cast", &["hot"], &["float"], &[("to", Attribute::Int(1))])
            .node("MatMul", &["float", "w"], &["y"])
            .output("y")
            .done();
        // Samples hold 0, 1 and 2: the last is in no column, and its row is zero.
        let left = check(graph.clone(), &["Reshape", "Clip", "Squeeze", "Gather"]);
        let odd = Tensor::from_slice(&[1, 4], &[-1i32, i32::MIN, i32::MAX, 1]).unwrap();
        let (before, after) = (
            evaluate(&graph, std::slice::from_ref(&odd)),
            evaluate(&left, std::slice::from_ref(&odd)),
        );
        assert_eq!(before[0].bytes(), after[0].bytes());
    }
}

#[test]
fn functions_written_out_are_recognised_in_any_spelling() {
    let gelu_tanh = Build::new(15)
        .input("x", DType::F32, &[-1, 64])
        .scalar("c", 0.044_715)
        .scalar("r", 0.797_884_6)
        .scalar("one", 1.0)
        .constant("half", Tensor::from_slice(&[1, 1], &[0.5f32]).unwrap())
        .node("Mul", &["c", "x"], &["a"])
        .node("Mul", &["x", "a"], &["b"])
        .node("Mul", &["x", "b"], &["d"])
        .node("Add", &["x", "d"], &["e"])
        .node("Mul", &["r", "e"], &["f"])
        .node("Tanh", &["f"], &["g"])
        .node("Add", &["one", "g"], &["h"])
        .node("Mul", &["half", "h"], &["i"])
        .node("Mul", &["x", "i"], &["y"])
        .output("y");
    check(gelu_tanh.done(), &["Gelu"]);
    let gelu_erf = Build::new(15)
        .input("x", DType::F32, &[-1, 64])
        .scalar("root", std::f32::consts::SQRT_2)
        .scalar("one", 1.0)
        .scalar("half", 0.5)
        .node("Div", &["x", "root"], &["a"])
        .node("Erf", &["a"], &["b"])
        .node("Add", &["b", "one"], &["c"])
        .node("Mul", &["x", "half"], &["d"])
        .node("Mul", &["d", "c"], &["y"])
        .output("y");
    check(gelu_erf.done(), &["Gelu"]);
    let hard_swish = Build::new(11)
        .input("x", DType::F32, &[-1, 64])
        .scalar("three", 3.0)
        .scalar("zero", 0.0)
        .scalar("six", 6.0)
        .node("Add", &["x", "three"], &["a"])
        .node("Clip", &["a", "zero", "six"], &["b"])
        .node("Mul", &["x", "b"], &["c"])
        .node("Div", &["c", "six"], &["y"])
        .output("y");
    check(hard_swish.done(), &["HardSwish"]);
}

#[test]
fn functions_of_two_values_or_other_functions_stay() {
    let two = Build::new(15)
        .input("x", DType::F32, &[-1, 4])
        .input("z", DType::F32, &[-1, 4])
        .scalar("half", 0.5)
        .node("Sigmoid", &["z"], &["a"])
        .node("Mul", &["x", "a"], &["b"])
        .node("Mul", &["b", "half"], &["y"])
        .output("y");
    check(two.done(), &["Sigmoid", "Mul", "Mul"]);
    // A group may start behind the first node; a constant of a higher rank changes the shape.
    let shifted = Build::new(15)
        .input("x", DType::F32, &[-1, 4])
        .scalar("three", 3.0)
        .scalar("six", 6.0)
        .constant("large", Tensor::from_slice(&[1, 1, 1], &[6.0f32]).unwrap())
        .node("Exp", &["x"], &["e"])
        .node_with(
            "HardSigmoid",
            &["e"],
            &["h"],
            &[("alpha", Attribute::Float(1.0 / 6.0))],
        )
        .node("Mul", &["e", "h"], &["s"])
        .node("Div", &["s", "large"], &["y"])
        .output("y");
    check(shifted.done(), &["Exp", "HardSwish", "Div"]);
}

#[test]
fn layer_normalisation_written_out_is_recognised() {
    for (power, size) in [(true, 6), (false, 6), (true, 5)] {
        let square: (&str, &[&str]) = if power {
            ("Pow", &["c", "two"])
        } else {
            ("Mul", &["c", "c"])
        };
        let mean = [("axes", ints(&[-1])), ("keepdims", Attribute::Int(1))];
        let graph = Build::new(13)
            .input("x", DType::F32, &[-1, 3, 6])
            .scalar("two", 2.0)
            .scalar("eps", 1e-5)
            .weight("gamma", &[6])
            .weight("beta", if size == 6 { &[6] } else { &[3, 1] })
            .node_with("ReduceMean", &["x"], &["mean"], &mean)
            .node("Sub", &["x", "mean"], &["c"])
            .node(square.0, square.1, &["sq"])
            .node_with("ReduceMean", &["sq"], &["var"], &mean)
            .node("Add", &["eps", "var"], &["ve"])
            .node("Sqrt", &["ve"], &["sd"])
            .node("Div", &["c", "sd"], &["n"])
            .node("Mul", &["n", "gamma"], &["s"])
            .node("Add", &["s", "beta"], &["y"])
            .output("y")
            .done();
        if size == 6 {
            check(graph, &["LayerNormalization"]);
        } else {
            let mut other = graph;
            optimise(&mut other, TABLE, &OptimiseOptions::default()).unwrap();
            assert_eq!(
                other.nodes.len(),
                9,
                "a shift along another axis is something else"
            );
        }
    }
}

#[test]
fn convolutions_and_products_take_addend_and_activation() {
    let conv = |opset| {
        Build::new(opset)
            .input("x", DType::F32, &[-1, 3, 4, 4])
            .weight("w", &[3, 3, 3, 3])
            .weight("b", &[3])
            .scalar("low", -0.5)
            .scalar("high", 0.5)
    };
    let same = [("pads", ints(&[1; 4]))];
    let graph = conv(17)
        .node_with("Conv", &["x", "w", "b"], &["c"], &same)
        .node("Exp", &["x"], &["z"])
        .node("Add", &["z", "c"], &["a"])
        .node("Clip", &["a", "low", "high"], &["y"])
        .output("y");
    let left = check(graph.done(), &["Exp", "FusedConv"]);
    assert_eq!(left.nodes[1].inputs.len(), 4);
    let bounds = [("min", Attribute::Float(-0.5)), ("max", Attribute::Float(0.5))];
    let graph = conv(9)
        .node_with("Conv", &["x", "w"], &["c"], &same)
        .node_with("Clip", &["c"], &["y"], &bounds)
        .output("y");
    check(graph.done(), &["FusedConv"]);
    let graph = conv(17)
        .node_with("Conv", &["x", "w"], &["c"], &same)
        .node_with("LeakyRelu", &["c"], &["y"], &[("alpha", Attribute::Float(0.2))])
        .output("y");
    check(graph.done(), &["FusedConv"]);
    // The result before the activation is an output, or the addend is broadcast: nothing to fuse.
    let graph = conv(17)
        .node("Conv", &["x", "w"], &["c"])
        .node("Relu", &["c"], &["y"])
        .output("c")
        .output("y");
    check(graph.done(), &["Conv", "Relu"]);
    let graph = conv(17)
        .input("z", DType::F32, &[4])
        .node_with("Conv", &["x", "w"], &["c"], &same)
        .node("Add", &["c", "z"], &["y"])
        .output("y");
    check(graph.done(), &["Conv", "Add"]);
    let graph = Build::new(17)
        .input("x", DType::F32, &[-1, 3])
        .weight("w", &[3, 5])
        .node("Gemm", &["x", "w"], &["g"])
        .node_with("HardSigmoid", &["g"], &["y"], &[("alpha", Attribute::Float(0.3))])
        .output("y");
    check(graph.done(), &["FusedGemm"]);
}

#[test]
fn what_is_computed_of_rows_is_computed_of_the_table() {
    let graph = |bias: &[usize]| {
        Build::new(17)
            .input("i", DType::I32, &[-1, 4])
            .weight("table", &[3, 5])
            .weight("bias", bias)
            .node("Gather", &["table", "i"], &["rows"])
            .node("Sub", &["bias", "rows"], &["a"])
            .node("Tanh", &["a"], &["y"])
            .output("y")
            .done()
    };
    check(graph(&[1, 5]), &["Gather"]);
    check(graph(&[]), &["Gather"]);
    check(graph(&[4, 1]), &["Gather", "Sub", "Tanh"]);
}

#[test]
fn a_slice_up_to_a_number_that_no_axis_reaches_is_whole() {
    let graph = |end: i64| {
        Build::new(17)
            .input("x", DType::F32, &[-1, 4096])
            .ints("from", &[0, 0])
            .ints("to", &[end, 4096])
            .node("Slice", &["x", "from", "to"], &["a"])
            .node("Neg", &["a"], &["y"])
            .output("y")
            .done()
    };
    check(graph(1_000_000_000), &["Neg"]);
    check(graph(1_000_000), &["Slice", "Neg"]);
}
