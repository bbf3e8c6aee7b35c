//! Convolutions, products, pooling, normalisation.

use crate::rows::{Row, counting, f32s, i64s, ints, list, row, scalar};
use sanderling_core::{DType, Tensor};

pub(crate) fn rows() -> Vec<Row> {
    [
        convolutions(),
        transposed(),
        products(),
        pooling(),
        normalisation(),
    ]
    .concat()
}

fn ones(shape: &[usize]) -> Tensor {
    f32s(shape, &vec![1.0; shape.iter().product()])
}

fn convolutions() -> Vec<Row> {
    // 1 2 3 / 4 5 6 / 7 8 9
    let x = || counting(&[1, 1, 3, 3]);
    let w = || f32s(&[1, 1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let fused = || row("FusedConv").microsoft().with(x()).with(w());
    vec![
        row("Conv")
            .with(x())
            .with(w())
            .gives(f32s(&[1, 1, 2, 2], &[37.0, 47.0, 67.0, 77.0])),
        row("Conv")
            .with(x())
            .with(w())
            .with(list(&[0.5]))
            .gives(f32s(&[1, 1, 2, 2], &[37.5, 47.5, 67.5, 77.5])),
        row("Conv")
            .ints("strides", &[2, 2])
            .ints("pads", &[1, 1, 0, 0])
            .with(x())
            .with(w())
            .gives(f32s(&[1, 1, 2, 2], &[4.0, 18.0, 36.0, 77.0])),
        row("Conv")
            .ints("dilations", &[2, 2])
            .with(x())
            .with(w())
            .gives(f32s(&[1, 1, 1, 1], &[64.0])),
        row("Conv")
            .attr("auto_pad", "SAME_UPPER")
            .with(counting(&[1, 1, 3]))
            .with(f32s(&[1, 1, 2], &[1.0, 10.0]))
            .gives(f32s(&[1, 1, 3], &[21.0, 32.0, 3.0])),
        row("Conv")
            .attr("auto_pad", "SAME_LOWER")
            .with(counting(&[1, 1, 3]))
            .with(f32s(&[1, 1, 2], &[1.0, 10.0]))
            .gives(f32s(&[1, 1, 3], &[10.0, 21.0, 32.0])),
        // Two groups of one channel each, two outputs each.
        row("Conv")
            .attr("group", 2i64)
            .with(f32s(&[1, 2, 1], &[3.0, 5.0]))
            .with(f32s(&[4, 1, 1], &[1.0, 2.0, 3.0, 4.0]))
            .gives(f32s(&[1, 4, 1], &[3.0, 6.0, 15.0, 20.0])),
        row("Conv")
            .with(counting(&[1, 2, 2, 2]))
            .with(f32s(&[1, 2, 1, 1], &[1.0, 10.0]))
            .gives(f32s(&[1, 1, 2, 2], &[51.0, 62.0, 73.0, 84.0])),
        row("Conv")
            .with(ones(&[1, 1, 2, 2, 2]))
            .with(ones(&[1, 1, 2, 2, 2]))
            .gives(f32s(&[1, 1, 1, 1, 1], &[8.0])),
        row("Conv")
            .with(x())
            .with(ones(&[1, 2, 2, 2]))
            .refuses("does not fit weights"),
        row("Conv")
            .with(x())
            .with(ones(&[1, 1, 4, 4]))
            .refuses("does not fit into 3"),
        row("Conv")
            .with(x())
            .with(w())
            .with(list(&[1.0, 2.0]))
            .refuses("bias and output channels"),
        row("Conv")
            .ints("kernel_shape", &[3, 3])
            .with(x())
            .with(w())
            .refuses("the weights' is [2, 2]"),
        row("Conv").with(ints(&[1])).with(w()).refuses("takes float16"),
        fused().gives(f32s(&[1, 1, 2, 2], &[37.0, 47.0, 67.0, 77.0])),
        fused()
            .attr("activation", "Clip")
            .attr("activation_params", &[40.0f32, 70.0][..])
            .without()
            .with(f32s(&[1, 1, 2, 2], &[0.0, 1.0, 2.0, 3.0]))
            .gives(f32s(&[1, 1, 2, 2], &[40.0, 48.0, 69.0, 70.0])),
        fused()
            .attr("activation", "HardSigmoid")
            .attr("activation_params", &[0.01f32, 0.0][..])
            .gives(f32s(&[1, 1, 2, 2], &[0.37, 0.47, 0.67, 0.77])),
        fused()
            .attr("activation", "Mystery")
            .refuses("the fused activation 'Mystery'"),
    ]
}

fn transposed() -> Vec<Row> {
    let x = || f32s(&[1, 1, 2], &[1.0, 2.0]);
    let w = || f32s(&[1, 1, 3], &[1.0, 10.0, 100.0]);
    let up = || row("ConvTranspose").ints("strides", &[2]).with(x()).with(w());
    vec![
        row("ConvTranspose")
            .with(x())
            .with(w())
            .gives(f32s(&[1, 1, 4], &[1.0, 12.0, 120.0, 200.0])),
        up().gives(f32s(&[1, 1, 5], &[1.0, 10.0, 102.0, 20.0, 200.0])),
        up().ints("pads", &[1, 1])
            .gives(f32s(&[1, 1, 3], &[10.0, 102.0, 20.0])),
        up().ints("output_padding", &[1])
            .gives(f32s(&[1, 1, 6], &[1.0, 10.0, 102.0, 20.0, 200.0, 0.0])),
        up().ints("output_shape", &[4])
            .gives(f32s(&[1, 1, 4], &[10.0, 102.0, 20.0, 200.0])),
        up().attr("auto_pad", "SAME_UPPER")
            .gives(f32s(&[1, 1, 4], &[1.0, 10.0, 102.0, 20.0])),
        // One input channel to two output channels, with a bias.
        row("ConvTranspose")
            .with(x())
            .with(f32s(&[1, 2, 1], &[1.0, 3.0]))
            .with(list(&[0.5, 0.0]))
            .gives(f32s(&[1, 2, 2], &[1.5, 2.5, 3.0, 6.0])),
        row("ConvTranspose")
            .with(x())
            .with(ones(&[2, 1, 3]))
            .refuses("does not fit transposed weights"),
        up().ints("pads", &[9, 9]).refuses("leave nothing"),
    ]
}

fn products() -> Vec<Row> {
    let a = || counting(&[2, 3]);
    let b = || f32s(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let product = || f32s(&[2, 2], &[4.0, 5.0, 10.0, 11.0]);
    vec![
        row("MatMul").with(a()).with(b()).gives(product()),
        row("MatMul")
            .with(a())
            .with(list(&[1.0, 1.0, 1.0]))
            .gives(list(&[6.0, 15.0])),
        row("MatMul")
            .with(list(&[1.0, 2.0]))
            .with(list(&[3.0, 4.0]))
            .gives(scalar(11.0)),
        row("MatMul")
            .with(counting(&[2, 1, 2]))
            .with(f32s(&[2, 1], &[1.0, 1.0]))
            .gives(f32s(&[2, 1, 1], &[3.0, 7.0])),
        row("MatMul")
            .with(counting(&[2, 1, 1, 2]))
            .with(counting(&[3, 2, 1]))
            .gives(f32s(&[2, 3, 1, 1], &[5.0, 11.0, 17.0, 11.0, 25.0, 39.0])),
        row("MatMul")
            .with(i64s(&[1, 2], &[3, 4]))
            .with(i64s(&[2, 1], &[5, 6]))
            .gives(i64s(&[1, 1], &[39])),
        row("MatMul")
            .with(f32s(&[1, 0], &[]))
            .with(f32s(&[0, 2], &[]))
            .gives(f32s(&[1, 2], &[0.0, 0.0])),
        row("MatMul").with(a()).with(a()).refuses("inner dimensions"),
        row("MatMul").with(scalar(1.0)).with(a()).refuses("no scalars"),
        row("Gemm").with(a()).with(b()).gives(product()),
        row("Gemm")
            .attr("alpha", 2.0f32)
            .attr("beta", 0.5f32)
            .with(a())
            .with(b())
            .with(list(&[2.0, 4.0]))
            .gives(f32s(&[2, 2], &[9.0, 12.0, 21.0, 24.0])),
        row("Gemm")
            .attr("transA", 1i64)
            .attr("transB", 1i64)
            .with(counting(&[3, 2]))
            .with(counting(&[1, 3]))
            .gives(f32s(&[2, 1], &[22.0, 28.0])),
        row("Gemm")
            .with(a())
            .with(b())
            .with(list(&[1.0, 2.0, 3.0]))
            .refuses("do not broadcast"),
        row("Gemm")
            .with(a())
            .with(counting(&[3]))
            .refuses("takes matrices"),
        row("FusedGemm")
            .microsoft()
            .attr("activation", "Relu")
            .with(f32s(&[1, 1], &[-2.0]))
            .with(f32s(&[1, 1], &[3.0]))
            .gives(f32s(&[1, 1], &[0.0])),
        row("FusedGemm")
            .microsoft()
            .attr("activation", "LeakyRelu")
            .attr("activation_alpha", 0.5f32)
            .with(f32s(&[1, 1], &[-2.0]))
            .with(f32s(&[1, 1], &[3.0]))
            .gives(f32s(&[1, 1], &[-3.0])),
        row("FusedMatMul")
            .microsoft()
            .attr("alpha", 2.0f32)
            .attr("transB", 1i64)
            .with(counting(&[1, 2]))
            .with(counting(&[2, 2]))
            .gives(f32s(&[1, 2], &[10.0, 22.0])),
        row("FusedMatMul")
            .microsoft()
            .attr("transA", 1i64)
            .with(counting(&[2, 2, 1]))
            .with(counting(&[2, 2, 1]))
            .gives(f32s(&[2, 1, 1], &[5.0, 25.0])),
        row("FusedMatMul")
            .microsoft()
            .attr("transBatchA", 1i64)
            .with(a())
            .with(b())
            .refuses("transBatchA"),
    ]
}

fn pooling() -> Vec<Row> {
    let x = || counting(&[1, 1, 3, 3]);
    let pool = |op| row(op).ints("kernel_shape", &[2, 2]).with(x());
    vec![
        pool("MaxPool").gives_all(vec![
            f32s(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0]),
            i64s(&[1, 1, 2, 2], &[4, 5, 7, 8]),
        ]),
        pool("MaxPool").attr("storage_order", 1i64).gives_all(vec![
            f32s(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0]),
            i64s(&[1, 1, 2, 2], &[4, 7, 5, 8]),
        ]),
        pool("MaxPool")
            .ints("strides", &[2, 2])
            .attr("ceil_mode", 1i64)
            .gives(f32s(&[1, 1, 2, 2], &[5.0, 6.0, 8.0, 9.0])),
        row("MaxPool")
            .ints("kernel_shape", &[2])
            .with(Tensor::from_slice(&[1, 1, 3], &[-3i8, -2, -1]).unwrap())
            .gives(Tensor::from_slice(&[1, 1, 2], &[-2i8, -1]).unwrap()),
        row("MaxPool").with(x()).refuses("'kernel_shape' is required"),
        pool("AveragePool").gives(f32s(&[1, 1, 2, 2], &[3.0, 4.0, 6.0, 7.0])),
        row("AveragePool")
            .ints("kernel_shape", &[3])
            .ints("pads", &[1, 1])
            .with(counting(&[1, 1, 2]))
            .gives(f32s(&[1, 1, 2], &[1.5, 1.5])),
        row("AveragePool")
            .ints("kernel_shape", &[3])
            .ints("pads", &[1, 1])
            .attr("count_include_pad", 1i64)
            .with(counting(&[1, 1, 2]))
            .gives(f32s(&[1, 1, 2], &[1.0, 1.0])),
        // The last window is partial: only what lies inside of input and pads is counted.
        row("AveragePool")
            .ints("kernel_shape", &[2])
            .ints("strides", &[2])
            .attr("ceil_mode", 1i64)
            .attr("count_include_pad", 1i64)
            .with(counting(&[1, 1, 3]))
            .gives(f32s(&[1, 1, 2], &[1.5, 3.0])),
        row("GlobalAveragePool")
            .with(x())
            .gives(f32s(&[1, 1, 1, 1], &[5.0])),
        row("GlobalMaxPool")
            .with(counting(&[1, 2, 2]))
            .gives(f32s(&[1, 2, 1], &[2.0, 4.0])),
        row("GlobalMaxPool").with(list(&[1.0])).refuses("rank 1"),
    ]
}

fn normalisation() -> Vec<Row> {
    let x = || f32s(&[1, 2, 2], &[1.0, 3.0, 10.0, 30.0]);
    let batch = |op: Row| {
        op.with(x())
            .with(list(&[1.0, 2.0]))
            .with(list(&[0.0, 1.0]))
            .with(list(&[2.0, 10.0]))
            .with(list(&[1.0, 4.0]))
    };
    let exact = |name| row(name).attr("epsilon", 0.0f32);
    vec![
        batch(exact("BatchNormalization")).gives(f32s(&[1, 2, 2], &[-1.0, 1.0, 1.0, 21.0])),
        batch(
            exact("BatchNormalization")
                .attr("training_mode", 1i64)
                .attr("momentum", 0.5f32),
        )
        .gives_all(vec![
            f32s(&[1, 2, 2], &[-1.0, 1.0, -1.0, 3.0]),
            list(&[2.0, 15.0]),
            list(&[1.0, 52.0]),
        ]),
        batch(row("BatchNormalization").opset(7).attr("spatial", 0i64)).refuses("spatial = 0"),
        batch(row("BatchNormalization").opset(6)).refuses("training"),
        exact("InstanceNormalization")
            .with(x())
            .with(list(&[1.0, 2.0]))
            .with(list(&[0.0, 1.0]))
            .gives(f32s(&[1, 2, 2], &[-1.0, 1.0, -1.0, 3.0])),
        row("InstanceNormalization")
            .with(x())
            .with(list(&[1.0]))
            .with(list(&[0.0, 1.0]))
            .refuses("must be equal"),
        exact("LayerNormalization")
            .with(x())
            .with(list(&[1.0, 2.0]))
            .with(list(&[0.5, 0.0]))
            .gives_all(vec![
                f32s(&[1, 2, 2], &[-0.5, 2.0, -0.5, 2.0]),
                f32s(&[1, 2, 1], &[2.0, 20.0]),
                f32s(&[1, 2, 1], &[1.0, 0.1]),
            ]),
        exact("LayerNormalization")
            .attr("axis", 1i64)
            .with(counting(&[1, 2, 2]))
            .with(list(&[1.0, 1.0]))
            .gives(f32s(
                &[1, 2, 2],
                &[-1.341_640_8, -0.447_213_6, 0.447_213_6, 1.341_640_8],
            )),
        row("LayerNormalization")
            .attr("stash_type", i64::from(DType::F64.code()))
            .with(x())
            .with(list(&[1.0]))
            .refuses("stash_type"),
        row("LRN")
            .attr("size", 3i64)
            .attr("alpha", 3.0f32)
            .attr("beta", 1.0f32)
            .with(f32s(&[1, 3, 1], &[1.0, 2.0, 3.0]))
            .gives(f32s(&[1, 3, 1], &[1.0 / 6.0, 2.0 / 15.0, 3.0 / 14.0])),
        row("LRN").with(x()).refuses("'size' is required"),
    ]
}
