//! What moves elements as they are. ONNX `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze`, `Identity`, `Transpose`, `Concat`, `Slice` 10,
//! `Split`, of any type with whole bytes.
//!
//! The plan states every shape, so that attributes that only decide shapes are not read: a view is held to have as many elements.

use super::Operator;
use super::walk::{Walk, strides};
use crate::error::Fault;
use crate::node::Node;
use crate::tensor::{MAX_RANK, Shape, Tensor};
use sanderling_flat::DType;

const fn row(name: &'static str, since: u16, compute: super::Compute) -> Operator {
    Operator {
        domain: "",
        name,
        since,
        compute,
    }
}

/// ONNX `Reshape`.
pub const RESHAPE: Operator = row("Reshape", 5, view);
/// ONNX `Flatten`.
pub const FLATTEN: Operator = row("Flatten", 1, view);
/// ONNX `Squeeze`.
pub const SQUEEZE: Operator = row("Squeeze", 1, view);
/// ONNX `Unsqueeze`.
pub const UNSQUEEZE: Operator = row("Unsqueeze", 1, view);
/// ONNX `Identity`.
pub const IDENTITY: Operator = row("Identity", 1, view);
/// ONNX `Transpose`.
pub const TRANSPOSE: Operator = row("Transpose", 1, transpose);
/// ONNX `Concat`.
pub const CONCAT: Operator = row("Concat", 4, concat);
/// ONNX `Slice`.
pub const SLICE: Operator = row("Slice", 10, slice);
/// ONNX `Split`.
pub const SPLIT: Operator = row("Split", 2, split);

/// Bytes of an element of the output, which an input shares.
fn size<'x>(node: &Node<'x>, index: usize) -> Result<(Tensor<'x>, usize), Fault> {
    let x = node.input(index)?;
    match x.dtype.bits() {
        bits if bits >= 8 && bits % 8 == 0 && x.dtype == node.dtype() => Ok((x, bits / 8)),
        _ => Err(Fault::Type(Some(index))),
    }
}

fn view(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let (x, _) = size(node, 0)?;
    if x.shape.elements() != node.shape().elements() {
        return Err(Fault::Shape("the output has not as many elements as the input"));
    }
    match out {
        Some(out) if out.len() == x.bytes.len() => out.copy_from_slice(x.bytes),
        Some(_) => return Err(Fault::MissingInput(0)),
        None => {}
    }
    Ok(())
}

/// Copies each element of the output from where a walk finds it.
fn gather(
    node: &Node<'_>,
    x: &Tensor<'_>,
    size: usize,
    start: isize,
    steps: [isize; MAX_RANK],
    out: &mut [u8],
) {
    let walk = Walk::new(node.shape(), [start], [steps]);
    for (out, [at]) in out.chunks_exact_mut(size).zip(walk) {
        if let Some(from) = x.bytes.get(at * size..(at + 1) * size) {
            out.copy_from_slice(from);
        }
    }
}

fn transpose(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let (x, size) = size(node, 0)?;
    let (rank, y) = (x.shape.rank(), node.shape());
    let order = node.ints("perm")?;
    if y.rank() != rank || order.is_some_and(|order| order.len() != rank) {
        return Err(Fault::Attribute("perm"));
    }
    let (own, mut steps) = (strides(&x.shape), [0; MAX_RANK]);
    let mut seen = [false; MAX_RANK];
    for (axis, step) in steps.iter_mut().enumerate().take(rank) {
        let from = match order.and_then(|order| order.get(axis)) {
            Some(from) => usize::try_from(from).unwrap_or(MAX_RANK),
            None => rank - 1 - axis,
        };
        if from >= rank || seen[from] || x.shape.dim(from) != y.dim(axis) {
            return Err(Fault::Attribute("perm"));
        }
        seen[from] = true;
        *step = own[from];
    }
    if let Some(out) = out {
        gather(node, &x, size, 0, steps, out);
    }
    Ok(())
}

/// Elements behind an axis, and whether two shapes agree in all others.
fn along(shape: &Shape, y: &Shape, axis: usize) -> Option<usize> {
    let agree = shape.rank() == y.rank() && (0..y.rank()).all(|i| i == axis || shape.dim(i) == y.dim(i));
    agree.then(|| shape.product(axis + 1..shape.rank()))
}

fn concat(node: &Node<'_>, mut out: Option<&mut [u8]>) -> Result<(), Fault> {
    let y = node.shape();
    let axis = y.axis("axis", node.int_or("axis", 0)?)?;
    let mut done = 0;
    for index in 0..node.input_count() {
        let (x, size) = size(node, index)?;
        let behind = along(&x.shape, &y, axis).ok_or(Fault::Shape("inputs differ beside the axis"))?;
        let (rows, run) = (y.dim(axis) * behind * size, x.shape.dim(axis) * behind * size);
        let start = done * behind * size;
        done += x.shape.dim(axis);
        if done > y.dim(axis) {
            return Err(Fault::Shape("the inputs are longer than the output"));
        }
        if let (Some(out), 1..) = (out.as_deref_mut(), run) {
            let rows = out.chunks_exact_mut(rows);
            for (to, from) in rows.zip(x.bytes.chunks_exact(run)) {
                to[start..start + run].copy_from_slice(from);
            }
        }
    }
    if done == y.dim(axis) {
        Ok(())
    } else {
        Err(Fault::Shape("the inputs are shorter than the output"))
    }
}

fn split(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let (x, size) = size(node, 0)?;
    let y = node.shape();
    let axis = x.shape.axis("axis", node.int_or("axis", 0)?)?;
    let behind = along(&x.shape, &y, axis).ok_or(Fault::Shape("outputs differ beside the axis"))?;
    let (whole, part) = (x.shape.dim(axis), y.dim(axis));
    let sizes = node.optional_constant(1)?;
    // Without sizes all parts but the last are as long.
    let listed = |i: usize| -> Result<Option<i64>, Fault> {
        match (sizes, node.ints("split")?) {
            (Some(sizes), _) if sizes.dtype == DType::I64 => {
                sizes.i64(i).map(Some).ok_or(Fault::MissingInput(1))
            }
            (Some(_), _) => Err(Fault::Type(Some(1))),
            (None, Some(list)) => list.get(i).map(Some).ok_or(Fault::Attribute("split")),
            (None, None) => Ok(None),
        }
    };
    let mut start = 0usize;
    for i in 0..node.output() {
        let before = match listed(i)? {
            Some(n) => usize::try_from(n).map_err(|_| Fault::Attribute("split"))?,
            None => whole.div_ceil(node.output_count()),
        };
        start = start.saturating_add(before);
    }
    if start.checked_add(part).is_none_or(|end| end > whole) {
        return Err(Fault::Shape("the parts are longer than the input"));
    }
    let stated = match listed(node.output())? {
        Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
        None => whole.div_ceil(node.output_count()).min(whole - start),
    };
    if part != stated {
        return Err(Fault::Shape("the output is not as long as its part"));
    }
    if let Some(out) = out {
        let first = start * strides(&x.shape)[axis] as usize;
        debug_assert!(behind > 0 || out.is_empty());
        gather(node, &x, size, first as isize, strides(&x.shape), out);
    }
    Ok(())
}

fn slice(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let (x, size) = size(node, 0)?;
    let y = node.shape();
    let (starts, axes, steps_given) = (
        node.constant(1)?,
        node.optional_constant(3)?,
        node.optional_constant(4)?,
    );
    if y.rank() != x.shape.rank() {
        return Err(Fault::Shape("the output has another rank than the input"));
    }
    let wide = |tensor: &Tensor<'_>, i: usize| match tensor.dtype {
        DType::I64 => tensor.i64(i),
        DType::I32 => tensor.i32(i).map(i64::from),
        _ => None,
    };
    let leaves = Fault::Shape("the slice leaves the input");
    let mut steps = strides(&x.shape);
    let mut listed = [false; MAX_RANK];
    let mut first = 0isize;
    for i in 0..starts.shape.elements() {
        let axis = match axes {
            Some(axes) => wide(&axes, i).ok_or(Fault::Type(Some(3)))?,
            None => i as i64,
        };
        let axis = x.shape.axis("axes", axis)?;
        if core::mem::replace(&mut listed[axis], true) {
            return Err(Fault::Attribute("axes"));
        }
        let step = match steps_given {
            Some(steps) => wide(&steps, i).ok_or(Fault::Type(Some(4)))?,
            None => 1,
        };
        let (len, count) = (x.shape.dim(axis) as i64, y.dim(axis) as i64);
        let start = wide(&starts, i).ok_or(Fault::Type(Some(1)))?;
        if step == 0 || (len == 0 && count > 0) {
            return Err(leaves);
        }
        if count == 0 {
            continue;
        }
        let start = if start < 0 {
            start.saturating_add(len)
        } else {
            start
        };
        let start = start.clamp(0, if step < 0 { len - 1 } else { len });
        let last = (count - 1)
            .checked_mul(step)
            .and_then(|way| way.checked_add(start));
        if last.is_none_or(|last| !(0..len).contains(&last) || start >= len) {
            return Err(leaves);
        }
        first += start as isize * steps[axis];
        // A single element is reached without a step, however long.
        if count > 1 {
            let step = isize::try_from(step).ok();
            let step = step.and_then(|step| steps[axis].checked_mul(step));
            steps[axis] = step.ok_or(leaves)?;
        }
    }
    if (0..y.rank()).any(|axis| !listed[axis] && y.dim(axis) != x.shape.dim(axis)) {
        return Err(Fault::Shape("the output differs beside the axes"));
    }
    if let Some(out) = out {
        gather(node, &x, size, first, steps, out);
    }
    Ok(())
}
