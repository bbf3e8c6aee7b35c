//! Turns a product with one-hot rows into a look-up.
//!
//! `Equal(i, [0, 1, … n−1]) → Cast → MatMul(·, W)` multiplies W by rows that are 1 in one place and 0 elsewhere: what
//! comes out is row i of W, or zeros where i is outside 0..n. `Gather` reads that row. W gets a row of zeros at its
//! end, and i is cut to −1..=n, both ends of which mean that row (a negative index counts from the back).

use sanderling_core::{Attribute, DType, Graph, Node, Tensor, TensorType, Value, ValueId};

use super::{Context, edit};
use crate::error::CompileError;

/// The opset of the nodes that are made: the first with integer `Clip` and with `Squeeze` axes as an input.
const OPSET: u16 = 13;

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    if ["Clip", "Squeeze", "Gather"]
        .iter()
        .any(|op| cx.table.find("", op, OPSET).is_none())
    {
        return Ok(0);
    }
    cx.infer(graph)?;
    let producers = graph.producers();
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        if let Some(found) = find(graph, &producers, &graph.nodes[index]) {
            rewrite(graph, index, &found);
            changes += 1;
        }
    }
    if changes > 0 {
        graph.check()?;
    }
    Ok(changes)
}

/// The parts of the pattern that the look-up needs.
struct Found {
    /// Indices, with a last axis of one element.
    indices: ValueId,
    /// Weights with a row of zeros behind.
    weights: Tensor,
    name: String,
}

fn find(graph: &Graph, producers: &[Option<usize>], product: &Node) -> Option<Found> {
    let writer = |id: Option<ValueId>, op: &str| {
        producers[id?.index()]
            .map(|index| &graph.nodes[index])
            .filter(|node| node.is(op))
    };
    if !product.is("MatMul") {
        return None;
    }
    let cast = writer(edit::input(product, 0), "Cast")?;
    let equal = writer(edit::input(cast, 0), "Equal")?;
    let weight = edit::input(product, 1)?;
    let tensor = graph
        .constant(weight)
        .filter(|t| t.dtype() == DType::F32 && t.shape().len() == 2)?;
    let (rows, columns) = (tensor.shape()[0], tensor.shape()[1]);
    let (a, b) = (edit::input(equal, 0)?, edit::input(equal, 1)?);
    let (indices, range) = if graph.constant(b).is_some() {
        (a, b)
    } else {
        (b, a)
    };
    let range = graph.constant(range)?;
    let counts = range
        .view()
        .to_i64s()?
        .into_iter()
        .eq(0..i64::try_from(rows).ok()?);
    let last_only = range.shape().last() == Some(&rows);
    let ty = graph.value(indices).ty.as_ref()?;
    let integer = matches!(ty.dtype, DType::I32 | DType::I64);
    // The range must not add axes in front, and the indices must have one element along the last axis.
    let fits = range.shape().len() <= ty.rank() && ty.rank() > 1 && ty.shape.last()?.fixed() == Some(1);
    let values = tensor.view().as_slice::<f32>().ok()?;
    // 0 · ∞ is no zero.
    if !(counts && last_only && integer && fits) || values.iter().any(|w| !w.is_finite()) {
        return None;
    }
    let extended = [values, &vec![0.0; columns]].concat();
    let weights = Tensor::from_slice(&[rows + 1, columns], &extended).ok()?;
    Some(Found {
        indices,
        weights,
        name: graph.value(weight).name.clone(),
    })
}

/// Puts `Clip → Squeeze → Gather` in the place of the product.
fn rewrite(graph: &mut Graph, index: usize, found: &Found) {
    let output = graph.nodes[index].outputs.clone();
    let name = graph.nodes[index].name.clone();
    // `find` has seen the type.
    let Some(ty) = graph.value(found.indices).ty.clone() else {
        return;
    };
    let rows = found.weights.shape()[0] as i64 - 1;
    let bound = |n: i64| match ty.dtype {
        DType::I32 => Tensor::from_slice(&[], &[n as i32]),
        _ => Tensor::from_slice(&[], &[n]),
    };
    let (Ok(low), Ok(high), Ok(axes)) = (bound(-1), bound(rows), Tensor::from_slice(&[1], &[-1i64])) else {
        return;
    };
    let low = graph.add_constant(format!("{name}.low"), low);
    let high = graph.add_constant(format!("{name}.high"), high);
    let axes = graph.add_constant(format!("{name}.axes"), axes);
    let weights = graph.add_constant(format!("{}.rows", found.name), found.weights.clone());
    let squeezed = TensorType {
        dtype: ty.dtype,
        shape: ty.shape[..ty.rank() - 1].to_vec(),
    };
    let mut value = |suffix: &str, ty: TensorType| {
        graph.add_value(Value {
            name: format!("{name}.{suffix}"),
            ty: Some(ty),
            constant: None,
        })
    };
    let (cut, flat) = (value("cut", ty), value("indices", squeezed));
    let node = |op: &str, inputs: &[ValueId], outputs: Vec<Option<ValueId>>, attributes| Node {
        name: format!("{name}.{op}"),
        op_type: op.into(),
        opset: OPSET,
        inputs: inputs.iter().copied().map(Some).collect(),
        outputs,
        attributes,
        ..Node::default()
    };
    let axis = vec![("axis".to_string(), Attribute::Int(0))];
    graph.nodes[index] = node("Gather", &[weights, flat], output, axis);
    graph.nodes.push(node(
        "Clip",
        &[found.indices, low, high],
        vec![Some(cut)],
        Vec::new(),
    ));
    graph
        .nodes
        .push(node("Squeeze", &[cut, axes], vec![Some(flat)], Vec::new()));
}
