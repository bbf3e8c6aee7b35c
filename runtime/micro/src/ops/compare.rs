//! Bounds on bytes. ONNX `Clip` 12, `Max` 12 and `Min` 12 of u8 and i8: all operands have one scale and zero point.

use super::Operator;
use super::walk::{Walk, broadcast, joined};
use crate::error::Fault;
use crate::node::Node;
use crate::tensor::{Shape, read};

/// ONNX `Clip`.
pub const CLIP: Operator = Operator {
    domain: "",
    name: "Clip",
    since: 12,
    compute: clip,
};

/// ONNX `Max`.
pub const MAX: Operator = Operator {
    domain: "",
    name: "Max",
    since: 12,
    compute: |node, out| extreme(node, out, i32::max),
};

/// ONNX `Min`.
pub const MIN: Operator = Operator {
    domain: "",
    name: "Min",
    since: 12,
    compute: |node, out| extreme(node, out, i32::min),
};

fn clip(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.input(0)?;
    let signed = x.signed(0)?;
    let bound = |index: usize, default: i32| -> Result<i32, Fault> {
        let Some(bound) = node.optional_constant(index)? else {
            return Ok(default);
        };
        match bound.bytes {
            &[byte] if bound.dtype == x.dtype => Ok(read(signed, byte)),
            _ => Err(Fault::Type(Some(index))),
        }
    };
    // Where they cross, the upper one counts.
    let (least, most) = (bound(1, i32::MIN)?, bound(2, i32::MAX)?);
    if (x.shape, x.dtype) != (node.shape(), node.dtype()) {
        return Err(Fault::Shape("the output is not as the input"));
    }
    let Some(out) = out else { return Ok(()) };
    for (out, &byte) in out.iter_mut().zip(x.bytes) {
        *out = read(signed, byte).max(least).min(most) as u8;
    }
    Ok(())
}

fn extreme(node: &Node<'_>, out: Option<&mut [u8]>, pick: fn(i32, i32) -> i32) -> Result<(), Fault> {
    let mut out = out;
    let refused = Fault::Shape("the output is not what the inputs are broadcast to");
    let mut shape = Shape::default();
    for index in 0..node.input_count() {
        let x = node.input(index)?;
        let signed = x.signed(index)?;
        if x.dtype != node.dtype() {
            return Err(Fault::Type(Some(index)));
        }
        shape = joined(&shape, &x.shape).ok_or(refused)?;
        let steps = broadcast(&x.shape, &node.shape())?;
        let Some(out) = out.as_deref_mut() else { continue };
        for (out, [at]) in out.iter_mut().zip(Walk::new(node.shape(), [0], [steps])) {
            let byte = x.bytes.get(at).copied().unwrap_or(0);
            let picked = pick(read(signed, *out), read(signed, byte)) as u8;
            *out = if index == 0 { byte } else { picked };
        }
    }
    match node.input_count() {
        0 => Err(Fault::MissingInput(0)),
        _ if shape != node.shape() => Err(refused),
        _ => Ok(()),
    }
}
