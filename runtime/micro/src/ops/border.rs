//! Where integers meet floats. ONNX `QuantizeLinear` 10 and `DequantizeLinear` 10 of binary32 and eight bits, one scale or one
//! an index of an axis; `Softmax` 13 of binary32, for the answer behind the last of them. Arithmetic: docs/numerics.md, "The
//! border"; without an FPU the compiler's own soft floats compute the same bytes.

use super::Operator;
use crate::error::Fault;
use crate::node::{Node, Quantisation};
use crate::tensor::{Shape, read};
use sanderling_flat::DType;

/// ONNX `QuantizeLinear`.
pub const QUANTIZE_LINEAR: Operator = Operator {
    domain: "",
    name: "QuantizeLinear",
    since: 10,
    compute: quantize,
};

/// ONNX `DequantizeLinear`.
pub const DEQUANTIZE_LINEAR: Operator = Operator {
    domain: "",
    name: "DequantizeLinear",
    since: 10,
    compute: dequantize,
};

/// ONNX `Softmax`.
pub const SOFTMAX: Operator = Operator {
    domain: "",
    name: "Softmax",
    since: 13,
    compute: softmax,
};

/// Scales, and for elements the index of theirs: `i / behind % len`.
fn scales<'x>(node: &Node<'x>, shape: &Shape) -> Result<(Quantisation<'x>, usize, usize), Fault> {
    if node.int_or("block_size", 0)? != 0
        || node.int_or("output_dtype", 0)? != 0
        || node.int_or("precision", 0)? != 0
    {
        return Err(Fault::Unsupported("block_size, output_dtype or precision"));
    }
    let (scales, count) = (node.quantisation(1)?, node.constant(1)?.shape.elements());
    if count == 1 {
        return Ok((scales, 1, 1));
    }
    let axis = shape.axis("axis", node.int_or("axis", 1)?)?;
    if shape.dim(axis) != count {
        return Err(Fault::Shape("scales are not as many as indices of the axis"));
    }
    Ok((scales, shape.product(axis + 1..shape.rank()).max(1), count))
}

fn quantize(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.input(0)?;
    let (least, most) = match node.dtype() {
        DType::U8 => (0, 255),
        DType::I8 => (-128, 127),
        _ => return Err(Fault::Type(None)),
    };
    if x.dtype != DType::F32 {
        return Err(Fault::Type(Some(0)));
    }
    match node.optional(2) {
        Some(zero) if zero.dtype != node.dtype() => return Err(Fault::Type(Some(2))),
        None if node.dtype() != DType::U8 => return Err(Fault::Type(None)),
        _ => {}
    }
    if x.shape != node.shape() {
        return Err(Fault::Shape("the output is not as the input"));
    }
    let (scales, behind, len) = scales(node, &x.shape)?;
    let Some(out) = out else { return Ok(()) };
    for (i, (out, bytes)) in out.iter_mut().zip(x.bytes.as_chunks::<4>().0).enumerate() {
        let (scale, zero) = scales.of(i / behind % len);
        // A float that is far out of range saturates here, and again below.
        let rounded = libm::rintf(f32::from_le_bytes(*bytes) / scale) as i32;
        *out = rounded.saturating_add(zero).clamp(least, most) as u8;
    }
    Ok(())
}

fn dequantize(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.input(0)?;
    let signed = x.signed(0)?;
    if node.dtype() != DType::F32 {
        return Err(Fault::Type(None));
    }
    if node.optional(2).is_some_and(|zero| zero.dtype != x.dtype) {
        return Err(Fault::Type(Some(2)));
    }
    if x.shape != node.shape() {
        return Err(Fault::Shape("the output is not as the input"));
    }
    let (scales, behind, len) = scales(node, &x.shape)?;
    let Some(out) = out else { return Ok(()) };
    for (i, (out, &byte)) in out.as_chunks_mut::<4>().0.iter_mut().zip(x.bytes).enumerate() {
        let (scale, zero) = scales.of(i / behind % len);
        *out = ((read(signed, byte) - zero) as f32 * scale).to_le_bytes();
    }
    Ok(())
}

fn softmax(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let x = node.input(0)?;
    if (x.dtype, node.dtype()) != (DType::F32, DType::F32) {
        return Err(Fault::Type(Some(0)));
    }
    let axis = x.shape.axis("axis", node.int_or("axis", -1)?)?;
    if x.shape != node.shape() {
        return Err(Fault::Shape("the output is not as the input"));
    }
    let behind = x.shape.product(axis + 1..x.shape.rank());
    if behind != 1 {
        return Err(Fault::Unsupported("a softmax along another axis than the last"));
    }
    let Some(out) = out else { return Ok(()) };
    let len = x.shape.dim(axis).max(1) * 4;
    for (out, x) in out.chunks_exact_mut(len).zip(x.bytes.chunks_exact(len)) {
        let elements = || {
            x.as_chunks::<4>()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
        };
        let most = elements().fold(f32::NEG_INFINITY, f32::max);
        let powers = || elements().map(|x| libm::expf(x - most));
        let sum: f32 = powers().sum();
        for (out, power) in out.as_chunks_mut::<4>().0.iter_mut().zip(powers()) {
            *out = (power / sum).to_le_bytes();
        }
    }
    Ok(())
}
