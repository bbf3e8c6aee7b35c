//! Elementwise operators on eight-bit tensors. onnxruntime `com.microsoft` `QLinearAdd` 1 and `QLinearMul` 1, with
//! broadcasting; our `LookupTable` 1. Arithmetic: docs/numerics.md.

use super::walk::{Walk, broadcast, joined};
use super::{MICROSOFT, Operator, SANDERLING};
use crate::error::Fault;
use crate::node::Node;
use crate::rounding::Rounding;
use crate::tensor::read;
use sanderling_flat::requantise::{Addition, Multiplier};

/// onnxruntime's `QLinearAdd`.
#[must_use]
pub const fn qlinear_add<R: Rounding>() -> Operator {
    Operator {
        domain: MICROSOFT,
        name: "QLinearAdd",
        since: 1,
        compute: add::<R>,
    }
}

/// onnxruntime's `QLinearMul`.
#[must_use]
pub const fn qlinear_mul<R: Rounding>() -> Operator {
    Operator {
        domain: MICROSOFT,
        name: "QLinearMul",
        since: 1,
        compute: mul::<R>,
    }
}

/// Our `LookupTable`.
pub const LOOKUP_TABLE: Operator = Operator {
    domain: SANDERLING,
    name: "LookupTable",
    since: 1,
    compute: look_up,
};

fn add<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    binary::<R, Addition>(
        node,
        out,
        |[a, b, y]| {
            let addition = Addition::new(a, b, y)?;
            Ok((addition, addition.multiplier))
        },
        |addition, a, b| addition.sum(a, b),
    )
}

fn mul<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    binary::<R, ()>(
        node,
        out,
        |[a, b, y]| Ok(((), Multiplier::of_product(a, b, y)?)),
        |(), a, b| a.wrapping_mul(b),
    )
}

/// An operator's factors come from its scales; its sums from the factors and two centred values.
fn binary<R: Rounding, F>(
    node: &Node<'_>,
    out: Option<&mut [u8]>,
    factors: impl Fn([f32; 3]) -> Result<(F, Multiplier), Fault>,
    sum: impl Fn(&F, i32, i32) -> i32,
) -> Result<(), Fault> {
    let (a, b) = (node.operand(0)?, node.operand(3)?);
    let (scale_y, output) = node.result(6)?;
    let (factors, multiplier) = factors([a.scale, b.scale, scale_y])?;
    let steps = [
        broadcast(&a.tensor.shape, &node.shape())?,
        broadcast(&b.tensor.shape, &node.shape())?,
    ];
    if joined(&a.tensor.shape, &b.tensor.shape) != Some(node.shape()) {
        return Err(Fault::Shape("the output is not what the inputs are broadcast to"));
    }
    let Some(out) = out else { return Ok(()) };
    let (a_bytes, b_bytes) = (a.tensor.bytes, b.tensor.bytes);
    let compute = |x: u8, y: u8| {
        let (x, y) = (read(a.signed, x) - a.zero, read(b.signed, y) - b.zero);
        R::requantise(&output, sum(&factors, x, y), multiplier) as u8
    };
    if a.tensor.shape == b.tensor.shape {
        let pairs = a_bytes.iter().zip(b_bytes);
        out.iter_mut()
            .zip(pairs)
            .for_each(|(out, (&x, &y))| *out = compute(x, y));
        return Ok(());
    }
    let of = |bytes: &[u8], at: usize| bytes.get(at).copied().unwrap_or(0);
    for (out, [x, y]) in out.iter_mut().zip(Walk::new(node.shape(), [0, 0], steps)) {
        *out = compute(of(a_bytes, x), of(b_bytes, y));
    }
    Ok(())
}

fn look_up(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let (x, table) = (node.input(0)?, node.constant(1)?);
    x.signed(0)?;
    table.signed(1)?;
    let entries: &[u8; 256] = table
        .bytes
        .try_into()
        .map_err(|_| Fault::Shape("a table has 256 elements"))?;
    if x.shape != node.shape() || table.dtype != node.dtype() {
        return Err(Fault::Shape(
            "the output is not as the input, or not of the table's type",
        ));
    }
    let Some(out) = out else { return Ok(()) };
    let pairs = out.iter_mut().zip(x.bytes);
    pairs.for_each(|(out, &byte)| *out = entries[usize::from(byte)]);
    Ok(())
}
