//! The quantiser over small graphs: scales, rounding, what is left alone, how far results move.

use super::*;
use crate::testing::{Build, evaluate, operators, relative_difference, sample_inputs};

fn all() -> QuantiseOptions {
    QuantiseOptions {
        min_elements: 1,
        ..QuantiseOptions::default()
    }
}

#[test]
fn scales_are_per_channel_and_rounding_is_to_even() {
    // Two rows: max 127 gives scale 1; max 0 gives the smallest normal scale.
    let tensor = Tensor::from_slice(&[2, 4], &[127.0f32, 0.5, 1.5, -2.5, 0.0, -0.0, 0.0, 0.0]).unwrap();
    let int8 = Int8::from_f32(&tensor, 0).unwrap();
    assert_eq!(
        int8.weight.view().as_slice::<i8>().unwrap(),
        [127, 0, 2, -2, 0, 0, 0, 0]
    );
    assert_eq!(
        int8.scales.view().as_slice::<f32>().unwrap(),
        [1.0, f32::MIN_POSITIVE]
    );
    assert_eq!(int8.max_error, 0.5);
    let columns = Int8::from_f32(&tensor, 1).unwrap();
    assert_eq!(columns.scales.shape(), [4]);
    assert_eq!(
        columns.weight.view().as_slice::<i8>().unwrap()[..4],
        [127, 127, 127, -127]
    );
    let report = int8.report("w");
    assert_eq!((report.bytes_before, report.bytes_after), (32, 16));
    assert!(report.sqnr_db > 30.0);
}

#[test]
fn every_operator_with_weights_takes_them() {
    let conv = || Build::new(17).input("x", DType::F32, &[-1, 4, 5, 5]);
    let matrix = || Build::new(17).input("x", DType::F32, &[-1, 6]);
    let transposed = [("transB", Attribute::Int(1))];
    let cases: Vec<(Build, i64)> = vec![
        (
            conv()
                .weight("w", &[3, 4, 3, 3])
                .node("Conv", &["x", "w"], &["y"]),
            0,
        ),
        (
            conv()
                .weight("w", &[4, 3, 3, 3])
                .node("ConvTranspose", &["x", "w"], &["y"]),
            1,
        ),
        (
            matrix().weight("w", &[6, 5]).node("MatMul", &["x", "w"], &["y"]),
            1,
        ),
        (matrix().weight("w", &[6, 5]).node("Gemm", &["x", "w"], &["y"]), 1),
        (
            matrix()
                .weight("w", &[5, 6])
                .node_with("Gemm", &["x", "w"], &["y"], &transposed),
            0,
        ),
        (
            Build::new(17)
                .input("x", DType::I32, &[-1, 2])
                .weight("w", &[3, 8])
                .node("Gather", &["w", "x"], &["y"]),
            0,
        ),
    ];
    for (build, axis) in cases {
        let graph = build.output("y").done();
        let mut quantised = graph.clone();
        let report = quantise(&mut quantised, &all()).unwrap();
        assert_eq!(operators(&quantised)[0], "DequantizeLinear");
        assert_eq!(
            quantised.nodes[0].attributes,
            [("axis".to_string(), Attribute::Int(axis))]
        );
        assert_eq!(report.quantisation.layers.len(), 1);
        let inputs = sample_inputs(&graph, 2);
        let difference =
            relative_difference(&evaluate(&quantised, &inputs)[0], &evaluate(&graph, &inputs)[0]);
        assert!(difference > 0.0 && difference < 0.02, "{difference}");
    }
}

#[test]
fn what_is_small_skipped_batched_or_not_finite_stays() {
    let graph = |shape: &[usize]| {
        Build::new(17)
            .input("x", DType::F32, &[2, 3, 4])
            .weight("w", shape)
            .node("MatMul", &["x", "w"], &["y"])
            .output("y")
            .done()
    };
    let left = |mut graph: Graph, options: QuantiseOptions| {
        let report = quantise(&mut graph, &options).unwrap();
        (report.quantisation.layers.len(), report.left.len())
    };
    assert_eq!(left(graph(&[4, 5]), all()), (1, 0));
    assert_eq!(left(graph(&[2, 4, 5]), all()), (0, 0));
    assert_eq!(
        left(
            graph(&[4, 5]),
            QuantiseOptions {
                min_elements: 21,
                ..all()
            }
        ),
        (0, 0)
    );
    for name in ["w", "y"] {
        assert_eq!(
            left(
                graph(&[4, 5]),
                QuantiseOptions {
                    skip: vec![name.into()],
                    ..all()
                }
            ),
            (0, 0)
        );
    }
    let mut odd = graph(&[4, 5]);
    let id = odd.nodes[0].inputs[1].unwrap();
    odd.values[id.index()].constant = Some(Tensor::from_slice(&[4, 5], &[f32::NAN; 20]).unwrap());
    assert_eq!(left(odd, all()), (0, 1));
    let error = quantise(
        &mut graph(&[4, 5]),
        &QuantiseOptions {
            skip: vec!["ghost".into()],
            ..all()
        },
    );
    assert!(error.unwrap_err().to_string().contains("'ghost'"));
}

#[test]
fn a_weight_that_two_nodes_read_is_stored_once() {
    let mut graph = Build::new(17)
        .input("x", DType::F32, &[2, 4])
        .weight("w", &[4, 4])
        .node("MatMul", &["x", "w"], &["a"])
        .node("MatMul", &["a", "w"], &["y"])
        .output("y")
        .done();
    let report = quantise(&mut graph, &all()).unwrap();
    assert_eq!(report.quantisation.layers.len(), 1);
    assert_eq!(operators(&graph), ["DequantizeLinear", "MatMul", "MatMul"]);
}
