//! What only moves or compares elements does so with bytes, as long as all operands have one scale.

use sanderling_core::ops::common::SANDERLING;
use sanderling_core::{Graph, Node, TensorType, Value, ValueId};

use super::edges::Quantised;
use super::{Lowered, Site, table};

/// Operators that move, and how many of their first inputs are data; `usize::MAX` for all.
const MOVEMENTS: &[(&str, usize)] = &[
    ("Concat", usize::MAX),
    ("DepthToSpace", 1),
    ("Expand", 1),
    ("Flatten", 1),
    ("Gather", 1),
    ("MaxPool", 1),
    ("Reshape", 1),
    ("Slice", 1),
    ("SpaceToDepth", 1),
    ("Squeeze", 1),
    ("Tile", 1),
    ("Transpose", 1),
    ("Unsqueeze", 1),
];

pub(super) fn lower(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    let node = graph.nodes[site.node].clone();
    let &(op, data) = MOVEMENTS.iter().find(|(op, _)| node.is(op))?;
    if node.outputs.iter().flatten().count() != 1 || !takes_bytes(&node) {
        return None;
    }
    let data = data.min(node.inputs.len());
    let sources = node.inputs[..data]
        .iter()
        .map(|input| site.edges.dequantised(graph, (*input)?))
        .collect::<Option<Vec<_>>>()?;
    let whole = |source: &Quantised| source.is_eight_bits() && source.single().is_some();
    if !sources.iter().all(whole) {
        return None;
    }
    let mut inputs = node.inputs.clone();
    for (input, source) in inputs.iter_mut().zip(&sources) {
        *input = Some(rescaled(graph, site, source)?);
    }
    Some(Lowered {
        domain: "",
        op,
        inputs,
    })
}

/// Whether the operator takes bytes in the model's opset: MaxPool does from 12 on.
fn takes_bytes(node: &Node) -> bool {
    !node.is("MaxPool") || node.opset >= 12
}

/// The bytes of an operand in the result's scale: themselves, or by a table in front.
fn rescaled(graph: &mut Graph, site: &Site<'_>, source: &Quantised) -> Option<ValueId> {
    let result = site.result;
    if (source.dtype, &source.scales, &source.zeros) == (result.dtype, &result.scales, &result.zeros) {
        return Some(source.value);
    }
    let table = table::rescaling(site.cx, source, result)?;
    let name = format!("{}.rescaled", graph.value(source.value).name);
    let ty = graph.value(source.value).ty.clone()?;
    let table = graph.add_constant(format!("{name}.table"), table);
    let output = graph.add_value(Value {
        name: name.clone(),
        ty: Some(TensorType {
            dtype: result.dtype,
            ..ty
        }),
        constant: None,
    });
    graph.nodes.push(Node {
        name,
        domain: SANDERLING.into(),
        op_type: "LookupTable".into(),
        opset: 1,
        inputs: vec![Some(source.value), Some(table)],
        outputs: vec![Some(output)],
        attributes: Vec::new(),
    });
    Some(output)
}
