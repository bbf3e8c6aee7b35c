//! Reductions, searches and sorts.

use crate::rows::{Row, bools, counting, f32s, i64s, ints, list, row, scalar};

pub(crate) fn rows() -> Vec<Row> {
    [reductions(), searches()].concat()
}

fn reductions() -> Vec<Row> {
    // 1 2 3 / 4 5 6
    let x = || counting(&[2, 3]);
    let over = |op, axes: &[i64]| row(op).opset(18).with(x()).with(ints(axes));
    vec![
        row("ReduceSum")
            .with(x())
            .with(ints(&[1]))
            .gives(f32s(&[2, 1], &[6.0, 15.0])),
        row("ReduceSum")
            .with(x())
            .with(ints(&[0]))
            .attr("keepdims", 0i64)
            .gives(list(&[5.0, 7.0, 9.0])),
        row("ReduceSum").with(x()).gives(f32s(&[1, 1], &[21.0])),
        row("ReduceSum")
            .attr("noop_with_empty_axes", 1i64)
            .with(x())
            .with(ints(&[]))
            .gives(x()),
        row("ReduceSum")
            .opset(11)
            .ints("axes", &[-1])
            .with(x())
            .gives(f32s(&[2, 1], &[6.0, 15.0])),
        row("ReduceSum")
            .with(x())
            .with(ints(&[2]))
            .refuses("is 2, the rank is 2"),
        row("ReduceSum")
            .with(x())
            .with(ints(&[1, -1]))
            .refuses("names axis 1 twice"),
        row("ReduceSum")
            .with(f32s(&[0, 2], &[]))
            .with(ints(&[0]))
            .gives(f32s(&[1, 2], &[0.0, 0.0])),
        row("ReduceSum").with(scalar(3.0)).gives(scalar(3.0)),
        over("ReduceMean", &[0, 1]).gives(f32s(&[1, 1], &[3.5])),
        row("ReduceMean")
            .ints("axes", &[0])
            .with(x())
            .gives(f32s(&[1, 3], &[2.5, 3.5, 4.5])),
        over("ReduceMax", &[1]).gives(f32s(&[2, 1], &[3.0, 6.0])),
        row("ReduceMax")
            .opset(20)
            .with(bools(&[false, true]))
            .attr("keepdims", 1i64)
            .gives(bools(&[true])),
        row("ReduceMax")
            .opset(18)
            .with(f32s(&[0], &[]))
            .gives(f32s(&[1], &[f32::NEG_INFINITY])),
        over("ReduceMin", &[0]).gives(f32s(&[1, 3], &[1.0, 2.0, 3.0])),
        row("ReduceMin").opset(20).with(bools(&[])).gives(bools(&[true])),
        over("ReduceProd", &[1]).gives(f32s(&[2, 1], &[6.0, 120.0])),
        over("ReduceSumSquare", &[1]).gives(f32s(&[2, 1], &[14.0, 77.0])),
        row("ReduceL1").with(list(&[-1.0, 2.0])).gives(list(&[3.0])),
        row("ReduceL2").with(list(&[-3.0, 4.0])).gives(list(&[5.0])),
        row("ReduceLogSum")
            .with(list(&[1.0, 9.0]))
            .gives(list(&[2.302_585_1])),
        row("ReduceLogSumExp")
            .with(list(&[1000.0, 1000.0]))
            .gives(list(&[1_000.693_1])),
        row("ReduceLogSumExp")
            .opset(18)
            .with(f32s(&[0], &[]))
            .gives(list(&[f32::NEG_INFINITY])),
        row("ReduceProd").with(ints(&[2, 3, 4])).gives(ints(&[24])),
        row("CumSum")
            .with(x())
            .with(i64s(&[], &[1]))
            .gives(f32s(&[2, 3], &[1.0, 3.0, 6.0, 4.0, 9.0, 15.0])),
        row("CumSum")
            .attr("exclusive", 1i64)
            .attr("reverse", 1i64)
            .with(x())
            .with(i64s(&[], &[0]))
            .gives(f32s(&[2, 3], &[4.0, 5.0, 6.0, 0.0, 0.0, 0.0])),
        row("CumSum").with(x()).with(ints(&[0, 1])).refuses("one number"),
        row("Softmax")
            .with(f32s(&[1, 2], &[1000.0, 1000.0]))
            .gives(f32s(&[1, 2], &[0.5, 0.5])),
        row("Softmax")
            .attr("axis", 0i64)
            .with(f32s(&[2, 1], &[0.0, 1.0]))
            .gives(f32s(&[2, 1], &[0.268_941_43, 0.731_058_6])),
        // Before opset 13 everything from the axis on is one distribution.
        row("Softmax")
            .opset(11)
            .with(f32s(&[1, 2, 2], &[0.0; 4]))
            .gives(f32s(&[1, 2, 2], &[0.25; 4])),
        row("Softmax")
            .with(f32s(&[1, 2, 2], &[0.0; 4]))
            .gives(f32s(&[1, 2, 2], &[0.5; 4])),
        row("Softmax")
            .attr("axis", 5i64)
            .with(list(&[0.0]))
            .refuses("'axis' is 5"),
        row("LogSoftmax")
            .with(list(&[0.0, 0.0]))
            .gives(list(&[-0.693_147_2, -0.693_147_2])),
    ]
}

fn searches() -> Vec<Row> {
    let x = || f32s(&[2, 3], &[3.0, 7.0, 7.0, 9.0, 1.0, 1.0]);
    vec![
        row("ArgMax")
            .attr("axis", 1i64)
            .with(x())
            .gives(i64s(&[2, 1], &[1, 0])),
        row("ArgMax")
            .attr("axis", -1i64)
            .attr("select_last_index", 1i64)
            .attr("keepdims", 0i64)
            .with(x())
            .gives(ints(&[2, 0])),
        row("ArgMin")
            .attr("axis", 1i64)
            .attr("keepdims", 0i64)
            .with(x())
            .gives(ints(&[0, 1])),
        row("ArgMin").with(f32s(&[0], &[])).refuses("no elements"),
        row("TopK").with(x()).with(ints(&[2])).gives_all(vec![
            f32s(&[2, 2], &[7.0, 7.0, 9.0, 1.0]),
            i64s(&[2, 2], &[1, 2, 0, 1]),
        ]),
        row("TopK")
            .attr("largest", 0i64)
            .attr("axis", 0i64)
            .with(x())
            .with(ints(&[1]))
            .gives_all(vec![f32s(&[1, 3], &[3.0, 1.0, 1.0]), i64s(&[1, 3], &[0, 1, 1])]),
        row("TopK")
            .opset(9)
            .attr("k", 1i64)
            .with(x())
            .gives_all(vec![f32s(&[2, 1], &[7.0, 9.0]), i64s(&[2, 1], &[1, 0])]),
        row("TopK").with(x()).with(ints(&[4])).refuses("cannot be taken"),
        row("NonZero")
            .with(x())
            .gives(i64s(&[2, 6], &[0, 0, 0, 1, 1, 1, 0, 1, 2, 0, 1, 2])),
        row("NonZero").with(scalar(5.0)).gives(i64s(&[1, 1], &[0])),
        row("OneHot")
            .with(ints(&[1, -1, 9]))
            .with(ints(&[3]))
            .with(list(&[0.5, 2.0]))
            .gives(f32s(&[3, 3], &[0.5, 2.0, 0.5, 0.5, 0.5, 2.0, 0.5, 0.5, 0.5])),
        row("OneHot")
            .attr("axis", 0i64)
            .with(ints(&[1, 0]))
            .with(i64s(&[], &[2]))
            .with(ints(&[0, 1]))
            .gives(i64s(&[2, 2], &[0, 1, 1, 0])),
        row("OneHot")
            .with(ints(&[1]))
            .with(ints(&[-3]))
            .with(list(&[0.0, 1.0]))
            .refuses("a depth of -3"),
    ]
}
