//! Edits that keep a graph whole: single writers, names of outputs, inputs untouched.

use sanderling_core::{Attrs, Graph, Node, ValueId};

/// Makes every node that reads `from` read `to`.
pub(super) fn replace_uses(graph: &mut Graph, from: ValueId, to: ValueId) {
    let edges = graph
        .nodes
        .iter_mut()
        .flat_map(|node| node.inputs.iter_mut().flatten());
    edges.filter(|id| **id == from).for_each(|id| *id = to);
}

/// Takes a node that gives back its first input out of the way: readers of its first output read the input.
///
/// The node stays, without readers, for the pass `dead` to remove. Where its output is an output of the graph,
/// the input's writer writes it instead, which is not possible if the input is given, a constant or itself an
/// output: then nothing is changed.
pub(super) fn bypass(graph: &mut Graph, index: usize) -> bool {
    let node = &graph.nodes[index];
    let (Some(&Some(input)), Some(&Some(output))) = (node.inputs.first(), node.outputs.first()) else {
        return false;
    };
    if !graph.outputs.contains(&output) {
        let used = is_read(graph, output);
        replace_uses(graph, output, input);
        return used;
    }
    let Some(writer) = graph.producers()[input.index()] else {
        return false;
    };
    if graph.outputs.contains(&input) {
        return false;
    }
    graph.nodes.remove(index);
    let writer = if writer > index { writer - 1 } else { writer };
    let slots = graph.nodes[writer].outputs.iter_mut();
    slots
        .filter(|id| **id == Some(input))
        .for_each(|id| *id = Some(output));
    replace_uses(graph, input, output);
    true
}

/// Whether exactly one node reads the value, once, and the graph does not give it out.
pub(super) fn read_once(graph: &Graph, value: ValueId) -> bool {
    let reads = graph
        .nodes
        .iter()
        .flat_map(|node| node.inputs.iter().flatten())
        .filter(|id| **id == value);
    reads.count() == 1 && !graph.outputs.contains(&value)
}

/// Whether a node reads the value.
pub(super) fn is_read(graph: &Graph, value: ValueId) -> bool {
    graph.nodes.iter().any(|node| node.inputs.contains(&Some(value)))
}

/// A node's attributes.
pub(super) fn attrs(node: &Node) -> Attrs<'_> {
    Attrs::of_graph(&node.attributes)
}

/// An input of a node.
pub(super) fn input(node: &Node, index: usize) -> Option<ValueId> {
    node.inputs.get(index).copied().flatten()
}

/// The first output of a node.
pub(super) fn output(node: &Node) -> Option<ValueId> {
    node.outputs.first().copied().flatten()
}

/// The integers of a constant input.
pub(super) fn const_ints(graph: &Graph, node: &Node, index: usize) -> Option<Vec<i64>> {
    graph.constant(input(node, index)?)?.view().to_i64s()
}
