//! One element at a time, or one of each input.

use crate::rows::{Row, bools, f32s, i64s, ints, list, row, scalar};
use half::{bf16, f16};
use sanderling_core::{DType, Tensor};

pub(crate) fn rows() -> Vec<Row> {
    [
        unary(),
        activations(),
        arithmetic(),
        comparisons(),
        variadic(),
        casts(),
    ]
    .concat()
}

fn of<T: sanderling_core::Element>(values: &[T]) -> Tensor {
    Tensor::from_slice(&[values.len()], values).unwrap()
}

fn unary() -> Vec<Row> {
    let nan = f32::NAN;
    vec![
        row("Abs")
            .with(list(&[-1.5, 0.0, 2.0]))
            .gives(list(&[1.5, 0.0, 2.0])),
        row("Abs")
            .with(of(&[-7i8, i8::MIN, 5]))
            .gives(of(&[7i8, i8::MIN, 5])),
        row("Abs").with(bools(&[true])).refuses("takes an integer"),
        row("Abs").refuses("input 0 is required"),
        row("Neg").with(ints(&[1, -2])).gives(ints(&[-1, 2])),
        row("Neg").with(of(&[1u8])).refuses("signed integer"),
        row("Exp")
            .with(list(&[0.0, 1.0, -1.0]))
            .gives(list(&[1.0, 2.718_281_8, 0.367_879_44])),
        row("Exp")
            .with(of(&[f16::from_f32(1.0)]))
            .gives(of(&[f16::from_f32(2.718_281_8)])),
        row("Log").with(list(&[1.0, 10.0, 0.0, -1.0])).gives(list(&[
            0.0,
            2.302_585_1,
            f32::NEG_INFINITY,
            nan,
        ])),
        row("Sqrt")
            .with(list(&[4.0, 2.0, -1.0]))
            .gives(list(&[2.0, 1.414_213_5, nan])),
        row("Sqrt")
            .with(of(&[bf16::from_f32(2.0)]))
            .gives(of(&[bf16::from_f32(1.414_213_5)])),
        row("Reciprocal")
            .with(list(&[4.0, -0.5, 0.0]))
            .gives(list(&[0.25, -2.0, f32::INFINITY])),
        row("Floor")
            .with(list(&[-1.5, 1.5, 2.0]))
            .gives(list(&[-2.0, 1.0, 2.0])),
        row("Ceil")
            .with(list(&[-1.5, 1.5, 2.0]))
            .gives(list(&[-1.0, 2.0, 2.0])),
        row("Round")
            .with(list(&[0.5, 1.5, 2.5, -0.5, -2.6]))
            .gives(list(&[0.0, 2.0, 2.0, 0.0, -3.0])),
        row("Sign")
            .with(list(&[-3.0, 0.0, 9.0, nan]))
            .gives(list(&[-1.0, 0.0, 1.0, nan])),
        row("Sign").with(ints(&[-3, 0, 9])).gives(ints(&[-1, 0, 1])),
        row("Erf")
            .with(list(&[0.0, 0.5, -2.0]))
            .gives(list(&[0.0, 0.520_499_9, -0.995_322_3])),
        row("Tanh")
            .with(list(&[0.0, 0.5, -20.0]))
            .gives(list(&[0.0, 0.462_117_16, -1.0])),
        row("Not")
            .with(bools(&[true, false]))
            .gives(bools(&[false, true])),
        row("Not").with(list(&[1.0])).refuses("takes bool"),
        row("Identity").with(of(&[3u16, 4])).gives(of(&[3u16, 4])),
        row("Dropout")
            .with(list(&[1.0, 2.0]))
            .gives_all(vec![list(&[1.0, 2.0]), bools(&[true, true])]),
        row("Dropout")
            .opset(7)
            .with(list(&[1.0]))
            .gives_all(vec![list(&[1.0]), list(&[1.0])]),
        row("Dropout")
            .opset(6)
            .with(list(&[1.0]))
            .refuses("training mode"),
        row("Dropout")
            .with(list(&[1.0]))
            .with(scalar(0.5))
            .with(Tensor::from_bytes(DType::Bool, &[], &[1]).unwrap())
            .refuses("training mode"),
    ]
}

fn activations() -> Vec<Row> {
    let x = || list(&[-3.0, -1.0, 0.0, 2.0]);
    vec![
        row("Sigmoid")
            .with(list(&[0.0, 2.0, -200.0, 200.0]))
            .gives(list(&[0.5, 0.880_797_1, 0.0, 1.0])),
        row("Relu")
            .with(list(&[-1.0, 2.0, f32::NAN]))
            .gives(list(&[0.0, 2.0, f32::NAN])),
        row("Relu").with(of(&[-5i32, 5])).gives(of(&[0i32, 5])),
        row("LeakyRelu").with(x()).gives(list(&[-0.03, -0.01, 0.0, 2.0])),
        row("LeakyRelu")
            .attr("alpha", 0.5f32)
            .with(x())
            .gives(list(&[-1.5, -0.5, 0.0, 2.0])),
        row("LeakyRelu")
            .attr("alpha", 1i64)
            .with(x())
            .refuses("'alpha' is not a float"),
        row("Elu")
            .attr("alpha", 2.0f32)
            .with(x())
            .gives(list(&[-1.900_425_9, -1.264_241_1, 0.0, 2.0])),
        row("PRelu")
            .with(f32s(&[2, 2], &[-1.0, -2.0, 3.0, -4.0]))
            .with(list(&[0.5, 0.25]))
            .gives(f32s(&[2, 2], &[-0.5, -0.5, 3.0, -1.0])),
        row("PRelu")
            .opset(6)
            .with(f32s(&[1, 2, 2], &[-1.0, 1.0, -2.0, -4.0]))
            .with(list(&[0.5, 0.25]))
            .gives(f32s(&[1, 2, 2], &[-0.5, 1.0, -0.5, -1.0])),
        row("Softplus")
            .with(list(&[0.0, 100.0, -100.0]))
            .gives(list(&[0.693_147_2, 100.0, 0.0])),
        row("HardSigmoid").with(x()).gives(list(&[0.0, 0.3, 0.5, 0.9])),
        row("HardSwish")
            .with(x())
            .gives(list(&[0.0, -1.0 / 3.0, 0.0, 5.0 / 3.0])),
        row("Gelu")
            .opset(20)
            .with(list(&[-1.0, 0.0, 2.0]))
            .gives(list(&[-0.158_655_26, 0.0, 1.954_499_7])),
        row("Gelu")
            .opset(20)
            .attr("approximate", "tanh")
            .with(list(&[-1.0, 0.0, 2.0]))
            .gives(list(&[-0.158_808_01, 0.0, 1.954_597_7])),
        row("Gelu")
            .opset(20)
            .attr("approximate", "none at all")
            .with(list(&[-1.0, 0.0, 2.0]))
            .refuses("'approximate'"),
        row("Gelu")
            .microsoft()
            .with(list(&[-1.0, 0.0, 2.0]))
            .gives(list(&[-0.158_655_26, 0.0, 1.954_499_7])),
        row("Clip")
            .opset(6)
            .attr("min", -1.0f32)
            .attr("max", 1.0f32)
            .with(x())
            .gives(list(&[-1.0, -1.0, 0.0, 1.0])),
        row("Clip")
            .with(x())
            .without()
            .with(scalar(-0.5))
            .gives(list(&[-3.0, -1.0, -0.5, -0.5])),
        row("Clip")
            .with(x())
            .with(scalar(1.0))
            .with(scalar(-1.0))
            .gives(list(&[-1.0; 4])),
        row("Clip")
            .with(ints(&[-9, 9]))
            .with(i64s(&[], &[-2]))
            .gives(ints(&[-2, 9])),
        row("Clip")
            .with(x())
            .with(list(&[1.0, 2.0]))
            .refuses("has 2 elements"),
    ]
}

fn arithmetic() -> Vec<Row> {
    let matrix = || f32s(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    vec![
        row("Add")
            .with(matrix())
            .with(list(&[10.0, 20.0]))
            .gives(f32s(&[2, 2], &[11.0, 22.0, 13.0, 24.0])),
        row("Add").with(of(&[250u8])).with(of(&[10u8])).gives(of(&[4u8])),
        row("Add")
            .with(list(&[1.0]))
            .with(ints(&[1]))
            .refuses("input 1 is int64"),
        row("Add")
            .with(list(&[1.0, 2.0]))
            .with(list(&[1.0, 2.0, 3.0]))
            .refuses("do not broadcast"),
        // Before opset 7 the axis aligned the second input.
        row("Add")
            .opset(6)
            .attr("broadcast", 1i64)
            .attr("axis", 0i64)
            .with(matrix())
            .with(list(&[10.0, 20.0]))
            .gives(f32s(&[2, 2], &[11.0, 12.0, 23.0, 24.0])),
        row("Sub")
            .with(matrix())
            .with(scalar(1.0))
            .gives(f32s(&[2, 2], &[0.0, 1.0, 2.0, 3.0])),
        row("Sub")
            .with(f32s(&[2, 1], &[1.0, 2.0]))
            .with(list(&[1.0, 3.0]))
            .gives(f32s(&[2, 2], &[0.0, -2.0, 1.0, -1.0])),
        row("Mul")
            .with(matrix())
            .with(matrix())
            .gives(f32s(&[2, 2], &[1.0, 4.0, 9.0, 16.0])),
        row("Mul")
            .with(f32s(&[0, 2], &[]))
            .with(list(&[1.0, 2.0]))
            .gives(f32s(&[0, 2], &[])),
        row("Div")
            .with(list(&[1.0, -1.0]))
            .with(list(&[4.0, 0.0]))
            .gives(list(&[0.25, f32::NEG_INFINITY])),
        row("Div")
            .with(ints(&[-7, 7, 7]))
            .with(ints(&[2, -2, 0]))
            .gives(ints(&[-3, -3, 0])),
        row("Mod")
            .with(ints(&[-4, 7, 5]))
            .with(ints(&[3, -3, 0]))
            .gives(ints(&[2, -2, 0])),
        row("Mod")
            .attr("fmod", 1i64)
            .with(list(&[-4.5, 7.0]))
            .with(list(&[2.0, -3.0]))
            .gives(list(&[-0.5, 1.0])),
        row("Pow")
            .with(list(&[3.0, 2.0, 4.0]))
            .with(list(&[2.0, -1.0, 0.5]))
            .gives(list(&[9.0, 0.5, 2.0])),
        row("Pow")
            .with(ints(&[3, -2]))
            .with(ints(&[4, 3]))
            .gives(ints(&[81, -8])),
        row("Pow")
            .with(list(&[2.0, 3.0]))
            .with(ints(&[3, 2]))
            .gives(list(&[8.0, 9.0])),
        row("Pow").with(ints(&[9])).with(list(&[0.5])).gives(ints(&[3])),
        row("And")
            .with(bools(&[true, true, false]))
            .with(bools(&[true, false, false]))
            .gives(bools(&[true, false, false])),
        row("Or")
            .with(bools(&[true, true, false]))
            .with(bools(&[true, false, false]))
            .gives(bools(&[true, true, false])),
        row("Xor")
            .with(bools(&[true, true, false]))
            .with(bools(&[true, false, false]))
            .gives(bools(&[false, true, false])),
        row("And")
            .with(bools(&[true]))
            .with(list(&[1.0]))
            .refuses("input 1 is float32"),
    ]
}

fn comparisons() -> Vec<Row> {
    let (a, b) = (|| list(&[1.0, 2.0, f32::NAN]), || list(&[1.0, 3.0, f32::NAN]));
    vec![
        row("Equal")
            .with(a())
            .with(b())
            .gives(bools(&[true, false, false])),
        row("Equal")
            .with(bools(&[true, false]))
            .with(bools(&[true, true]))
            .gives(bools(&[true, false])),
        row("Less")
            .with(a())
            .with(b())
            .gives(bools(&[false, true, false])),
        row("LessOrEqual")
            .with(a())
            .with(b())
            .gives(bools(&[true, true, false])),
        row("Greater")
            .with(b())
            .with(a())
            .gives(bools(&[false, true, false])),
        row("GreaterOrEqual")
            .with(b())
            .with(a())
            .gives(bools(&[true, true, false])),
        row("Less")
            .with(of(&[u64::MAX]))
            .with(of(&[1u64]))
            .gives(bools(&[false])),
        row("Where")
            .with(bools(&[true, false]))
            .with(list(&[1.0, 2.0]))
            .with(scalar(9.0))
            .gives(list(&[1.0, 9.0])),
        row("Where")
            .with(bools(&[true, false]))
            .with(i64s(&[2, 1], &[1, 2]))
            .with(i64s(&[], &[0]))
            .gives(i64s(&[2, 2], &[1, 0, 2, 0])),
        row("Where")
            .with(list(&[1.0]))
            .with(list(&[1.0]))
            .with(list(&[1.0]))
            .refuses("takes bool"),
    ]
}

fn variadic() -> Vec<Row> {
    let three = |op| {
        row(op)
            .with(list(&[1.0, 5.0]))
            .with(list(&[4.0, 2.0]))
            .with(scalar(3.0))
    };
    vec![
        three("Max").gives(list(&[4.0, 5.0])),
        three("Min").gives(list(&[1.0, 2.0])),
        three("Sum").gives(list(&[8.0, 10.0])),
        three("Mean").gives(list(&[8.0 / 3.0, 10.0 / 3.0])),
        row("Max").with(list(&[1.0])).gives(list(&[1.0])),
        row("Max")
            .with(list(&[f32::NAN, 1.0]))
            .with(list(&[1.0, f32::NAN]))
            .gives(list(&[f32::NAN, f32::NAN])),
        row("Min")
            .with(of(&[3i8, -3]))
            .with(of(&[0i8]))
            .gives(of(&[0i8, -3])),
        row("Max").refuses("input 0 is required"),
    ]
}

fn casts() -> Vec<Row> {
    let to = |dtype: DType| row("Cast").attr("to", i64::from(dtype.code()));
    vec![
        to(DType::I64)
            .with(list(&[1.9, -1.9, f32::INFINITY]))
            .gives(ints(&[1, -1, i64::MAX])),
        to(DType::I8).with(ints(&[255, -129])).gives(of(&[-1i8, 127])),
        to(DType::Bool)
            .with(list(&[0.0, -0.0, 0.1]))
            .gives(bools(&[false, false, true])),
        to(DType::F32)
            .with(bools(&[true, false]))
            .gives(list(&[1.0, 0.0])),
        to(DType::F16)
            .with(list(&[65520.0, 1.0 / 3.0]))
            .gives(of(&[f16::INFINITY, f16::from_f32(1.0 / 3.0)])),
        to(DType::F32)
            .with(of(&[bf16::from_f32(3.0)]))
            .gives(list(&[3.0])),
        to(DType::I4)
            .with(ints(&[7, -8, 3]))
            .gives(Tensor::from_bytes(DType::I4, &[3], &[0x87, 0x03]).unwrap()),
        to(DType::F8E4M3FN)
            .with(list(&[448.0, 1e9]))
            .gives(Tensor::from_bytes(DType::F8E4M3FN, &[2], &[0x7e, 0x7e]).unwrap()),
        to(DType::F8E4M3FN)
            .opset(19)
            .attr("saturate", 0i64)
            .with(list(&[1e9]))
            .gives(Tensor::from_bytes(DType::F8E4M3FN, &[1], &[0x7f]).unwrap()),
        row("Cast")
            .opset(1)
            .attr("to", "DOUBLE")
            .with(list(&[0.5]))
            .gives(of(&[0.5f64])),
        row("Cast")
            .attr("to", 99i64)
            .with(list(&[0.5]))
            .refuses("names no dtype: 99"),
        row("Cast").with(list(&[0.5])).refuses("'to' is required"),
        row("CastLike")
            .with(list(&[2.5]))
            .with(ints(&[0]))
            .gives(ints(&[2])),
    ]
}
