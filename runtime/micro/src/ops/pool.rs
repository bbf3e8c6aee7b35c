//! Pools. onnxruntime `com.microsoft` `QLinearGlobalAveragePool` 1 (arithmetic: docs/numerics.md); ONNX `MaxPool` 12 of bytes.

use super::window::axes;
use super::{MICROSOFT, Operator};
use crate::error::Fault;
use crate::node::Node;
use crate::rounding::Rounding;
use crate::tensor::read;
use sanderling_flat::requantise::Multiplier;

/// onnxruntime's `QLinearGlobalAveragePool`.
#[must_use]
pub const fn qlinear_global_average_pool<R: Rounding>() -> Operator {
    Operator {
        domain: MICROSOFT,
        name: "QLinearGlobalAveragePool",
        since: 1,
        compute: mean::<R>,
    }
}

/// ONNX `MaxPool`, of u8 and i8, without `Indices`.
pub const MAX_POOL: Operator = Operator {
    domain: "",
    name: "MaxPool",
    since: 12,
    compute: max_pool,
};

fn mean<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.operand(0)?;
    let (scale_y, output) = node.result(3)?;
    let (shape, y) = (x.tensor.shape, node.shape());
    let rank = shape.rank();
    if rank < 3 {
        return Err(Fault::Shape(
            "a mean has a batch, channels and at least one spatial axis",
        ));
    }
    let last = node.int_or("channels_last", 0)? != 0;
    let (kept, spatial) = if last {
        (rank - 1, 1..rank - 1)
    } else {
        (1, 2..rank)
    };
    let (n, channels) = (shape.product(spatial), shape.dim(kept));
    let fits = y.rank() == rank
        && (0..rank).all(|axis| {
            y.dim(axis)
                == if axis == 0 || axis == kept {
                    shape.dim(axis)
                } else {
                    1
                }
        });
    if !fits {
        return Err(Fault::Shape("the output is not a mean a channel"));
    }
    let multiplier = Multiplier::of_mean(x.scale, scale_y, n)?;
    let Some(out) = out else { return Ok(()) };
    // Distance of channels, and of a channel's elements.
    let (behind, step) = if last { (1, channels) } else { (n, 1) };
    for (plane, out) in out.iter_mut().enumerate() {
        let start = plane / channels * channels * n + plane % channels * behind;
        let elements = x
            .tensor
            .bytes
            .get(start..)
            .unwrap_or_default()
            .iter()
            .step_by(step)
            .take(n);
        let sum: i32 = elements.map(|&byte| read(x.signed, byte) - x.zero).sum();
        *out = R::requantise(&output, sum, multiplier) as u8;
    }
    Ok(())
}

fn max_pool(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.input(0)?;
    let signed = x.signed(0)?;
    let y = node.shape();
    if node.output() != 0 {
        return Err(Fault::Unsupported("the output Indices"));
    }
    let [depth, height, width] = axes(node, &x.shape, None)?;
    if (x.shape.dim(0), x.shape.dim(1), x.dtype) != (y.dim(0), y.dim(1), node.dtype()) {
        return Err(Fault::Shape("the output is not a greatest element a window"));
    }
    let Some(out) = out else { return Ok(()) };
    let (rows, cols) = (height.input as usize, width.input as usize);
    let plane = depth.input as usize * rows * cols;
    let mut out = out.iter_mut();
    // Planes without elements count too: all that their windows see is padding.
    for i in 0..x.shape.product(0..2) {
        let x = x.bytes.get(i * plane..(i + 1) * plane).unwrap_or_default();
        for (od, oh, ow) in all([depth.output, height.output, width.output]) {
            let Some(out) = out.next() else { return Ok(()) };
            // A window that sees padding alone gives the least.
            let mut most = if signed { -128 } else { 0 };
            for (kd, kh, kw) in all([depth.kernel, height.kernel, width.kernel]) {
                let place = depth
                    .source(od, kd)
                    .zip(height.source(oh, kh))
                    .zip(width.source(ow, kw));
                let byte = place.and_then(|((d, h), w)| x.get((d * rows + h) * cols + w));
                most = byte.map_or(most, |&byte| read(signed, byte).max(most));
            }
            *out = most as u8;
        }
    }
    Ok(())
}

fn all([a, b, c]: [i32; 3]) -> impl Iterator<Item = (i32, i32, i32)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}
