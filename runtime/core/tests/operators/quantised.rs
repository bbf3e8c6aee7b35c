//! Quantising and back.

use crate::rows::{Row, f32s, list, row, scalar};
use half::f16;
use sanderling_core::{DType, Element, Tensor};

fn of<T: Element>(shape: &[usize], values: &[T]) -> Tensor {
    Tensor::from_slice(shape, values).unwrap()
}

/// An operand of u8 with a scale and a zero point.
fn operand(row: Row, shape: &[usize], values: &[u8], scale: f32, zero: u8) -> Row {
    row.with(of(shape, values))
        .with(scalar(scale))
        .with(of(&[], &[zero]))
}

/// What a result is quantised to.
fn to(row: Row, scale: f32, zero: u8) -> Row {
    row.with(scalar(scale)).with(of(&[], &[zero]))
}

/// A few of each by hand; docs/numerics.md's vectors hold the rest.
fn integer_rows() -> Vec<Row> {
    let conv = operand(row("QLinearConv"), &[1, 1, 1, 3], &[10, 20, 30], 0.5, 10);
    let conv = operand(conv, &[1, 1, 1, 2], &[3, 4], 1.0, 2);
    let product = |op: Row| {
        let op = operand(op, &[1, 2], &[11, 12], 1.0, 10);
        operand(op, &[2, 2], &[1, 2, 3, 4], 0.5, 0)
    };
    let pair = |op: &'static str| {
        let op = operand(row(op).microsoft(), &[2], &[10, 250], 1.0, 0);
        operand(op, &[1], &[5], 2.0, 3)
    };
    let mean = operand(
        row("QLinearGlobalAveragePool").microsoft(),
        &[1, 1, 3],
        &[1, 2, 6],
        1.0,
        0,
    );
    let own = |op| row(op).ours();
    let backwards: Vec<u8> = (0..=255).rev().collect();
    vec![
        // 0·1 + 10·2 = 20 and 10·1 + 20·2 = 50, halved, + 7.
        to(conv.clone(), 1.0, 7).gives(of(&[1, 1, 1, 2], &[17u8, 32])),
        to(conv.clone(), 0.0, 7).refuses("scales are positive"),
        to(conv, 1.0, 7)
            .with(scalar(1.0))
            .refuses("input 8 is float32, it takes int32"),
        // 1·1 + 2·3 = 7 and 1·2 + 2·4 = 10, halved, ties to even.
        to(product(row("QLinearMatMul")), 1.0, 0).gives(of(&[1, 2], &[4u8, 5])),
        to(
            product(row("QGemm").microsoft()).with(of(&[2], &[2i32, -100])),
            1.0,
            0,
        )
        .gives(of(&[1, 2], &[4u8, 0])),
        to(
            product(row("QGemm").microsoft()).with(of(&[3], &[2i32, 3, 4])),
            1.0,
            0,
        )
        .refuses("do not broadcast"),
        // 10 + 4 and 250 + 4, in steps of 1.
        to(pair("QLinearAdd"), 1.0, 0).gives(of(&[2], &[14u8, 254])),
        // 10·4 and 250·4, in steps of 8.
        to(pair("QLinearMul"), 8.0, 1).gives(of(&[2], &[6u8, 126])),
        to(mean, 0.5, 0).gives(of(&[1, 1, 1], &[6u8])),
        own("LookupTable")
            .with(of(&[2], &[1i8, -1]))
            .with(of(&[256], &backwards))
            .gives(of(&[2], &[254u8, 0])),
        own("LookupTable")
            .with(of(&[1], &[1u8]))
            .with(of(&[255], &backwards[..255]))
            .refuses("256 elements"),
    ]
}

pub(crate) fn rows() -> Vec<Row> {
    [float_rows(), integer_rows()].concat()
}

fn float_rows() -> Vec<Row> {
    let back = |x: Tensor| row("DequantizeLinear").opset(21).with(x);
    let forth = |x: Tensor| row("QuantizeLinear").opset(21).with(x);
    vec![
        back(of(&[3], &[0u8, 128, 255]))
            .with(scalar(0.5))
            .with(of(&[], &[128u8]))
            .gives(list(&[-64.0, 0.0, 63.5])),
        back(of(&[2], &[-128i8, 127]))
            .with(scalar(2.0))
            .gives(list(&[-256.0, 254.0])),
        back(of(&[2, 2], &[1i8, 1, 2, 2]))
            .attr("axis", 0i64)
            .with(list(&[1.0, 10.0]))
            .with(of(&[2], &[0i8, 1]))
            .gives(f32s(&[2, 2], &[1.0, 1.0, 10.0, 10.0])),
        back(of(&[1, 4], &[1i8, 2, 3, 4]))
            .attr("block_size", 2i64)
            .with(f32s(&[1, 2], &[1.0, 10.0]))
            .gives(f32s(&[1, 4], &[1.0, 2.0, 30.0, 40.0])),
        back(Tensor::from_bytes(DType::I4, &[3], &[0xf7, 0x08]).unwrap())
            .with(scalar(1.0))
            .gives(list(&[7.0, -1.0, -8.0])),
        back(of(&[1], &[100_000_001i32]))
            .with(scalar(1.0))
            .gives(list(&[100_000_000.0])),
        back(of(&[1], &[3u8]))
            .with(of(&[], &[f16::from_f32(0.5)]))
            .gives(of(&[1], &[f16::from_f32(1.5)])),
        back(of(&[1], &[3u8]))
            .with(scalar(1.0))
            .with(of(&[], &[0i8]))
            .refuses("input 2 is int8"),
        back(of(&[2, 2], &[1i8; 4]))
            .with(list(&[1.0, 1.0, 1.0]))
            .refuses("does not fit an input"),
        forth(list(&[0.5, 1.5, 2.5, -1.0, 1e9, f32::NAN]))
            .with(scalar(1.0))
            .gives(of(&[6], &[0u8, 2, 2, 0, 255, 0])),
        forth(list(&[-1e9, 1.0, 1e9]))
            .with(scalar(0.5))
            .with(of(&[], &[10i8]))
            .gives(of(&[3], &[-128i8, 12, 127])),
        forth(f32s(&[2, 1], &[10.0, 10.0]))
            .attr("axis", 0i64)
            .with(list(&[1.0, 4.0]))
            .with(of(&[2], &[0u8, 0]))
            .gives(of(&[2, 1], &[10u8, 2])),
        forth(list(&[70000.0]))
            .with(scalar(1.0))
            .with(of(&[], &[0u16]))
            .gives(of(&[1], &[65535u16])),
        forth(list(&[-9.0, 8.0]))
            .with(scalar(1.0))
            .attr("output_dtype", i64::from(DType::I4.code()))
            .gives(Tensor::from_bytes(DType::I4, &[2], &[0x78]).unwrap()),
        forth(list(&[500.0, 1.0]))
            .with(scalar(1.0))
            .with(Tensor::from_bytes(DType::F8E4M3FN, &[], &[0]).unwrap())
            .gives(Tensor::from_bytes(DType::F8E4M3FN, &[2], &[0x7e, 0x38]).unwrap()),
    ]
}
