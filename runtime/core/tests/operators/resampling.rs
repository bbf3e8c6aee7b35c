//! Sizes that grow and shrink.

use crate::rows::{Row, counting, f32s, ints, list, row};
use sanderling_core::Tensor;

/// Resize of a list by a scale.
fn by_scale(x: Tensor, scale: f32) -> Row {
    row("Resize").opset(19).with(x).without().with(list(&[scale]))
}

/// Resize of a list to a size.
fn to_size(x: Tensor, size: i64) -> Row {
    row("Resize")
        .opset(19)
        .with(x)
        .without()
        .without()
        .with(ints(&[size]))
}

pub(crate) fn rows() -> Vec<Row> {
    let x = || counting(&[4]);
    vec![
        by_scale(counting(&[2]), 2.0).gives(list(&[1.0, 1.0, 2.0, 2.0])),
        by_scale(x(), 0.5)
            .attr("mode", "nearest")
            .gives(list(&[1.0, 3.0])),
        by_scale(x(), 0.5)
            .attr("nearest_mode", "ceil")
            .gives(list(&[2.0, 4.0])),
        by_scale(counting(&[2]), 2.0)
            .attr("mode", "linear")
            .gives(list(&[1.0, 1.25, 1.75, 2.0])),
        by_scale(x(), 0.5).attr("mode", "linear").gives(list(&[1.5, 3.5])),
        by_scale(x(), 0.5)
            .attr("mode", "linear")
            .attr("antialias", 1i64)
            .gives(list(&[1.625, 3.375])),
        to_size(counting(&[3]), 5)
            .attr("mode", "linear")
            .attr("coordinate_transformation_mode", "align_corners")
            .gives(list(&[1.0, 1.5, 2.0, 2.5, 3.0])),
        to_size(counting(&[2]), 4)
            .attr("mode", "linear")
            .attr("coordinate_transformation_mode", "asymmetric")
            .gives(list(&[1.0, 1.5, 2.0, 2.0])),
        to_size(x(), 1)
            .attr("mode", "linear")
            .attr("coordinate_transformation_mode", "pytorch_half_pixel")
            .gives(list(&[1.0])),
        by_scale(counting(&[2]), 2.0).attr("mode", "cubic").gives(list(&[
            0.894_531_25,
            1.226_562_5,
            1.773_437_5,
            2.105_468_8,
        ])),
        row("Resize")
            .opset(13)
            .attr("mode", "linear")
            .attr("coordinate_transformation_mode", "tf_crop_and_resize")
            .attr("extrapolation_value", 9.0f32)
            .with(counting(&[3]))
            .with(list(&[0.0, 1.5]))
            .without()
            .with(ints(&[4]))
            .gives(list(&[1.0, 2.0, 3.0, 9.0])),
        row("Resize")
            .opset(18)
            .ints("axes", &[1])
            .attr("keep_aspect_ratio_policy", "not_larger")
            .with(f32s(&[1, 2], &[1.0, 2.0]))
            .without()
            .without()
            .with(ints(&[4]))
            .gives(f32s(&[1, 4], &[1.0, 1.0, 2.0, 2.0])),
        row("Resize")
            .opset(10)
            .with(counting(&[2]))
            .with(list(&[1.5]))
            .gives(list(&[1.0, 1.0, 2.0])),
        by_scale(x(), -1.0).refuses("positive numbers"),
        by_scale(x(), 2.0)
            .attr("mode", "magic")
            .refuses("'mode' is 'magic'"),
        row("Resize").with(x()).refuses("input 2 is required"),
        row("Resize")
            .attr("mode", "linear")
            .with(ints(&[1]))
            .refuses("takes float16"),
        row("Upsample")
            .opset(9)
            .with(counting(&[2]))
            .with(list(&[2.0]))
            .gives(list(&[1.0, 1.0, 2.0, 2.0])),
        row("Upsample")
            .opset(7)
            .attr("scales", &[2.0f32][..])
            .attr("mode", "linear")
            .with(counting(&[2]))
            .gives(list(&[1.0, 1.5, 2.0, 2.0])),
        row("Upsample")
            .opset(1)
            .attr("height_scale", 1.0f32)
            .attr("width_scale", 2.0f32)
            .with(counting(&[1, 1, 1, 2]))
            .gives(f32s(&[1, 1, 1, 4], &[1.0, 1.0, 2.0, 2.0])),
        row("Upsample")
            .opset(9)
            .with(counting(&[2]))
            .refuses("'scales' is required"),
        row("DepthToSpace")
            .attr("blocksize", 2i64)
            .with(counting(&[1, 4, 1, 2]))
            .gives(f32s(&[1, 1, 2, 4], &[1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0])),
        row("DepthToSpace")
            .attr("blocksize", 2i64)
            .attr("mode", "CRD")
            .with(counting(&[1, 8, 1, 1]))
            .gives(counting(&[1, 2, 2, 2])),
        row("DepthToSpace")
            .attr("blocksize", 2i64)
            .with(counting(&[1, 8, 1, 1]))
            .gives(f32s(&[1, 2, 2, 2], &[1.0, 3.0, 5.0, 7.0, 2.0, 4.0, 6.0, 8.0])),
        row("DepthToSpace")
            .attr("blocksize", 2i64)
            .with(counting(&[1, 3, 1, 1]))
            .refuses("does not divide by 4"),
        row("SpaceToDepth")
            .attr("blocksize", 2i64)
            .with(counting(&[1, 1, 2, 4]))
            .gives(f32s(&[1, 4, 1, 2], &[1.0, 3.0, 2.0, 4.0, 5.0, 7.0, 6.0, 8.0])),
        row("SpaceToDepth")
            .with(counting(&[1, 1, 2, 2]))
            .refuses("'blocksize' is required"),
    ]
}
