//! Stores equal constants once, and computes equal nodes once.

use std::collections::HashMap;

use sanderling_core::{DType, Graph, Node, ValueId};

use super::Context;
use super::edit::Uses;
use crate::error::CompileError;

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    Ok(constants(graph) + nodes(graph, cx))
}

/// Makes readers of equal constants read the first of them.
fn constants(graph: &mut Graph) -> usize {
    let mut first: HashMap<(DType, &[usize], [u8; 32]), ValueId> = HashMap::new();
    let mut same_as: HashMap<ValueId, ValueId> = HashMap::new();
    for (index, value) in (0u32..).zip(&graph.values) {
        let Some(tensor) = &value.constant else { continue };
        let key = (
            tensor.dtype(),
            tensor.shape(),
            sanderling_bundle::sha256(tensor.bytes()),
        );
        let id = ValueId(index);
        let known = *first.entry(key).or_insert(id);
        if known != id {
            same_as.insert(id, known);
        }
    }
    let edges = graph
        .nodes
        .iter_mut()
        .flat_map(|node| node.inputs.iter_mut().flatten());
    let mut changes = 0;
    for id in edges {
        if let Some(&known) = same_as.get(id) {
            *id = known;
            changes += 1;
        }
    }
    changes
}

/// Operator, opset, inputs and number of outputs: what equal nodes have in common besides attributes.
type Kind = (String, u16, Vec<Option<ValueId>>, usize);

/// Makes readers of equal nodes read the first of them. Nodes are in order, so inputs are settled first.
fn nodes(graph: &mut Graph, cx: &Context<'_>) -> usize {
    let mut seen: HashMap<Kind, Vec<usize>> = HashMap::new();
    let mut uses = Uses::of(graph);
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let operator = cx.table.find(&node.domain, &node.op_type, node.opset);
        let given_out = node.outputs.iter().flatten().any(|id| uses.is_given_out(*id));
        if operator.is_none_or(|op| !op.deterministic()) || given_out {
            continue;
        }
        let op = format!("{}:{}", node.domain, node.op_type);
        let key = (op, node.opset, node.inputs.clone(), node.outputs.len());
        let alike = seen.entry(key).or_default();
        let Some(&first) = alike
            .iter()
            .find(|&&first| same_attributes(&graph.nodes[first], node))
        else {
            alike.push(index);
            continue;
        };
        let (from, to) = (
            graph.nodes[index].outputs.clone(),
            graph.nodes[first].outputs.clone(),
        );
        // An output that the first node does not write has nothing to be replaced by.
        if from
            .iter()
            .zip(&to)
            .any(|(from, to)| from.is_some() && to.is_none())
        {
            continue;
        }
        for (from, to) in from.into_iter().zip(to).filter_map(|(from, to)| from.zip(to)) {
            changes += usize::from(uses.is_read(from));
            uses.replace(graph, from, to);
        }
    }
    changes
}

/// Whether two nodes have the same attributes, in any order.
fn same_attributes(a: &Node, b: &Node) -> bool {
    a.attributes.len() == b.attributes.len()
        && a.attributes
            .iter()
            .all(|attribute| b.attributes.contains(attribute))
}
