//! Drops an `Expand` in front of an operator that broadcasts by itself.
//!
//! Elementwise operators repeat an input along axes where it has one element; expanding it first only writes the
//! same numbers to memory. The `Expand` can go where the operator's result keeps its shape without it.

use sanderling_core::shape::broadcast;
use sanderling_core::{Dim, Graph, Node, ValueId};

use super::{Context, edit};
use crate::error::CompileError;

/// Operators with two inputs that broadcast against each other.
const BROADCASTING: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Pow",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    let producers = graph.producers();
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        for slot in 0..2 {
            let expand = edit::input(&graph.nodes[index], slot).and_then(|id| producers[id.index()]);
            let Some(expand) = expand
                .map(|expand| &graph.nodes[expand])
                .filter(|node| node.is("Expand"))
            else {
                continue;
            };
            let Some(source) = edit::input(expand, 0) else {
                continue;
            };
            if keeps_shape(graph, &graph.nodes[index], slot, source) {
                graph.nodes[index].inputs[slot] = Some(source);
                changes += 1;
            }
        }
    }
    Ok(changes)
}

/// Whether the node's result has the same shape, for sure, if input `slot` is `source` instead.
fn keeps_shape(graph: &Graph, node: &Node, slot: usize, source: ValueId) -> bool {
    let shape = |id: ValueId| graph.value(id).ty.as_ref().map(|ty| ty.shape.as_slice());
    let other = edit::input(node, 1 - slot).and_then(shape);
    let (Some(source), Some(other), Some(output)) =
        (shape(source), other, edit::output(node).and_then(shape))
    else {
        return false;
    };
    let broadcasts = BROADCASTING.iter().any(|op| node.is(op)) && node.opset >= 7;
    broadcasts
        && !output.contains(&Dim::Unknown)
        && broadcast(source, other).is_ok_and(|shape| shape == output)
}
