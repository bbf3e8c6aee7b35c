//! Elements that move and do not change, and shapes as data.

use crate::rows::{Row, bools, counting, f32s, i64s, ints, list, row, scalar};
use sanderling_core::{DType, Tensor};

pub(crate) fn rows() -> Vec<Row> {
    [shapes(), joins(), picks(), repeats(), made()].concat()
}

fn shapes() -> Vec<Row> {
    let x = || counting(&[2, 3]);
    vec![
        row("Reshape")
            .with(x())
            .with(ints(&[3, -1]))
            .gives(counting(&[3, 2])),
        row("Reshape")
            .with(x())
            .with(ints(&[0, 1, 3]))
            .gives(counting(&[2, 1, 3])),
        row("Reshape")
            .opset(1)
            .ints("shape", &[6])
            .with(x())
            .gives(counting(&[6])),
        row("Reshape")
            .attr("allowzero", 1i64)
            .with(f32s(&[0, 3], &[]))
            .with(ints(&[3, 0]))
            .gives(f32s(&[3, 0], &[])),
        row("Reshape")
            .with(x())
            .with(ints(&[4, -1]))
            .refuses("do not split evenly"),
        row("Reshape")
            .with(x())
            .with(ints(&[5]))
            .refuses("6 elements do not take the shape [5]"),
        row("Reshape")
            .with(x())
            .with(ints(&[-1, -1]))
            .refuses("a dimension of -1"),
        row("Reshape")
            .with(x())
            .with(ints(&[1, 1, 0]))
            .refuses("keeps dimension 2"),
        row("Flatten").with(counting(&[2, 3, 2])).gives(counting(&[2, 6])),
        row("Flatten")
            .attr("axis", 0i64)
            .with(x())
            .gives(counting(&[1, 6])),
        row("Flatten")
            .attr("axis", 2i64)
            .with(x())
            .gives(counting(&[6, 1])),
        row("Squeeze").with(counting(&[1, 3, 1])).gives(counting(&[3])),
        row("Squeeze")
            .with(counting(&[1, 3, 1]))
            .with(ints(&[-1]))
            .gives(counting(&[1, 3])),
        row("Squeeze")
            .opset(11)
            .ints("axes", &[0])
            .with(counting(&[1, 3]))
            .gives(counting(&[3])),
        row("Squeeze").with(x()).with(ints(&[0])).refuses("not of size 1"),
        row("Unsqueeze")
            .with(x())
            .with(ints(&[0, -1]))
            .gives(counting(&[1, 2, 3, 1])),
        row("Unsqueeze")
            .opset(11)
            .ints("axes", &[1])
            .with(x())
            .gives(counting(&[2, 1, 3])),
        row("Unsqueeze")
            .with(x())
            .with(ints(&[5]))
            .refuses("is 5, the rank is 3"),
        row("Transpose")
            .with(x())
            .gives(f32s(&[3, 2], &[1.0, 4.0, 2.0, 5.0, 3.0, 6.0])),
        row("Transpose")
            .ints("perm", &[1, 0, 2])
            .with(counting(&[2, 1, 2]))
            .gives(counting(&[1, 2, 2])),
        row("Transpose")
            .ints("perm", &[0, 0])
            .with(x())
            .refuses("no permutation"),
        row("Shape").with(x()).gives(ints(&[2, 3])),
        row("Shape").attr("start", -1i64).with(x()).gives(ints(&[3])),
        row("Shape")
            .attr("start", 1i64)
            .attr("end", 1i64)
            .with(x())
            .gives(ints(&[])),
        row("Size").with(x()).gives(i64s(&[], &[6])),
    ]
}

fn joins() -> Vec<Row> {
    let x = || counting(&[2, 2]);
    vec![
        row("Concat")
            .attr("axis", 1i64)
            .with(x())
            .with(f32s(&[2, 1], &[8.0, 9.0]))
            .gives(f32s(&[2, 3], &[1.0, 2.0, 8.0, 3.0, 4.0, 9.0])),
        row("Concat")
            .attr("axis", 0i64)
            .with(ints(&[1]))
            .with(ints(&[]))
            .with(ints(&[2, 3]))
            .gives(ints(&[1, 2, 3])),
        row("Concat")
            .attr("axis", 0i64)
            .with(x())
            .with(list(&[1.0]))
            .refuses("different ranks"),
        row("Concat")
            .attr("axis", 0i64)
            .with(x())
            .with(counting(&[2, 3]))
            .refuses("must be equal"),
        row("Concat")
            .attr("axis", 0i64)
            .with(scalar(1.0))
            .refuses("scalars"),
        row("Split")
            .with(ints(&[1, 2, 3, 4]))
            .with(ints(&[1, 3]))
            .gives_all(vec![ints(&[1]), ints(&[2, 3, 4])]),
        row("Split")
            .opset(11)
            .attr("axis", 1i64)
            .ints("split", &[1, 1])
            .with(x())
            .gives_all(vec![f32s(&[2, 1], &[1.0, 3.0]), f32s(&[2, 1], &[2.0, 4.0])]),
        row("Split")
            .opset(18)
            .attr("num_outputs", 2i64)
            .with(ints(&[1, 2, 3]))
            .gives_all(vec![ints(&[1, 2]), ints(&[3])]),
        row("Split")
            .with(ints(&[1, 2, 3]))
            .gives_all(vec![ints(&[1]), ints(&[2]), ints(&[3])]),
        row("Split")
            .with(ints(&[1, 2, 3]))
            .with(ints(&[1, 1]))
            .refuses("do not split"),
        row("Slice")
            .with(counting(&[4]))
            .with(ints(&[1]))
            .with(ints(&[-1]))
            .gives(list(&[2.0, 3.0])),
        row("Slice")
            .with(counting(&[2, 3]))
            .with(ints(&[-1, 0]))
            .with(ints(&[i64::MIN, 9]))
            .with(ints(&[1, 0]))
            .with(ints(&[-2, 1]))
            .gives(f32s(&[2, 2], &[3.0, 1.0, 6.0, 4.0])),
        row("Slice")
            .opset(1)
            .ints("starts", &[1])
            .ints("ends", &[2])
            .ints("axes", &[0])
            .with(counting(&[3]))
            .gives(list(&[2.0])),
        row("Slice")
            .with(ints(&[5, 6, 7]))
            .with(ints(&[3]))
            .with(ints(&[1]))
            .gives(ints(&[])),
        row("Slice")
            .with(counting(&[3]))
            .with(ints(&[0]))
            .with(ints(&[1]))
            .with(ints(&[0]))
            .with(ints(&[0]))
            .refuses("steps [0]"),
    ]
}

fn picks() -> Vec<Row> {
    let x = || counting(&[3, 2]);
    vec![
        row("Gather")
            .with(x())
            .with(i64s(&[1, 2], &[2, -3]))
            .gives(f32s(&[1, 2, 2], &[5.0, 6.0, 1.0, 2.0])),
        row("Gather")
            .attr("axis", 1i64)
            .with(x())
            .with(i64s(&[], &[1]))
            .gives(list(&[2.0, 4.0, 6.0])),
        row("Gather")
            .with(x())
            .with(ints(&[3]))
            .refuses("index 3 is outside of an axis of 3"),
        row("Gather")
            .with(x())
            .with(list(&[0.0]))
            .refuses("takes int32 or int64"),
        row("GatherElements")
            .attr("axis", 1i64)
            .with(x())
            .with(i64s(&[2, 2], &[0, 0, -1, 0]))
            .gives(f32s(&[2, 2], &[1.0, 1.0, 4.0, 3.0])),
        row("GatherElements")
            .with(x())
            .with(ints(&[0]))
            .refuses("do not lie within"),
        row("GatherElements")
            .with(x())
            .with(i64s(&[1, 2], &[0, 3]))
            .refuses("index 3"),
    ]
}

fn repeats() -> Vec<Row> {
    let x = || list(&[1.0, 2.0, 3.0]);
    let pad = |mode: &'static str, begin: i64, end: i64| {
        row("Pad")
            .opset(19)
            .attr("mode", mode)
            .with(x())
            .with(ints(&[begin, end]))
    };
    vec![
        row("Expand")
            .with(f32s(&[2, 1], &[1.0, 2.0]))
            .with(ints(&[3]))
            .gives(f32s(&[2, 3], &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0])),
        row("Expand")
            .with(x())
            .with(ints(&[2, 1]))
            .gives(f32s(&[2, 3], &[1.0, 2.0, 3.0, 1.0, 2.0, 3.0])),
        row("Expand")
            .with(x())
            .with(ints(&[2]))
            .refuses("do not broadcast"),
        row("Tile")
            .with(f32s(&[1, 2], &[1.0, 2.0]))
            .with(ints(&[2, 2]))
            .gives(f32s(&[2, 4], &[1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0])),
        row("Tile").with(x()).with(ints(&[0])).gives(list(&[])),
        row("Tile").with(x()).with(ints(&[1, 1])).refuses("2 repeats"),
        row("Tile").with(x()).with(ints(&[-1])).refuses("negative"),
        pad("constant", 1, 2).gives(list(&[0.0, 1.0, 2.0, 3.0, 0.0, 0.0])),
        pad("constant", 1, -1)
            .with(scalar(9.0))
            .gives(list(&[9.0, 1.0, 2.0])),
        pad("reflect", 2, 3).gives(list(&[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0, 2.0])),
        pad("edge", 1, 1).gives(list(&[1.0, 1.0, 2.0, 3.0, 3.0])),
        pad("wrap", 2, 1).gives(list(&[2.0, 3.0, 1.0, 2.0, 3.0, 1.0])),
        pad("mirror", 1, 1).refuses("'mode' is 'mirror'"),
        pad("constant", -2, -2).refuses("take more than"),
        row("Pad")
            .opset(2)
            .ints("pads", &[1, 0])
            .attr("value", 5.0f32)
            .with(x())
            .gives(list(&[5.0, 1.0, 2.0, 3.0])),
        row("Pad")
            .opset(18)
            .with(counting(&[1, 2]))
            .with(ints(&[1, 0]))
            .without()
            .with(ints(&[-1]))
            .gives(f32s(&[1, 3], &[0.0, 1.0, 2.0])),
    ]
}

fn made() -> Vec<Row> {
    vec![
        row("Constant")
            .attr("value", list(&[1.0, 2.0]))
            .gives(list(&[1.0, 2.0])),
        row("Constant").attr("value_int", 7i64).gives(i64s(&[], &[7])),
        row("Constant").ints("value_ints", &[1, 2]).gives(ints(&[1, 2])),
        row("Constant")
            .attr("value_floats", &[0.5f32][..])
            .gives(list(&[0.5])),
        row("Constant").refuses("sparse"),
        row("ConstantOfShape")
            .with(ints(&[1, 2]))
            .gives(f32s(&[1, 2], &[0.0, 0.0])),
        row("ConstantOfShape")
            .attr("value", ints(&[7]))
            .with(ints(&[2]))
            .gives(ints(&[7, 7])),
        row("ConstantOfShape")
            .attr("value", bools(&[true]))
            .with(ints(&[]))
            .gives(Tensor::from_bytes(DType::Bool, &[], &[1]).unwrap()),
        row("ConstantOfShape").with(ints(&[-1])).refuses("negative"),
        row("Range")
            .with(i64s(&[], &[10]))
            .with(i64s(&[], &[4]))
            .with(i64s(&[], &[-2]))
            .gives(ints(&[10, 8, 6])),
        row("Range")
            .with(scalar(0.0))
            .with(scalar(1.0))
            .with(scalar(0.4))
            .gives(list(&[0.0, 0.4, 0.8])),
        row("Range")
            .with(i64s(&[], &[0]))
            .with(i64s(&[], &[4]))
            .with(i64s(&[], &[0]))
            .refuses("has no end"),
    ]
}
