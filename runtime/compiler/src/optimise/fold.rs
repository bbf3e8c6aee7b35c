//! Computes ahead of time what depends on constants and shapes only.
//!
//! Inference has the values already: it calls the reference where all inputs are known. What is stored must not
//! make the bundle large, though: a small constant that a node blows up (Expand, Tile, ConstantOfShape) stays a
//! node.

use sanderling_core::{Graph, Node};

use super::Context;
use super::edit::Uses;
use crate::error::CompileError;

/// Results up to this many bytes are always stored.
const SMALL_BYTES: usize = 1 << 14;

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    run_but(graph, cx, |_| false)
}

/// Folds all but nodes that are to stay.
pub(super) fn run_but(
    graph: &mut Graph,
    cx: &Context<'_>,
    stays: impl Fn(&Node) -> bool,
) -> Result<usize, CompileError> {
    let mut facts = cx.infer(graph)?;
    let uses = Uses::of(graph);
    let mut folded = 0;
    let mut kept = Vec::with_capacity(graph.nodes.len());
    for node in std::mem::take(&mut graph.nodes) {
        let outputs = || node.outputs.iter().flatten();
        let known = outputs().count() > 0 && outputs().all(|id| facts[id.index()].data.is_some());
        let after: usize = outputs()
            .filter_map(|id| facts[id.index()].data.as_ref())
            .map(|t| t.bytes().len())
            .sum();
        let fits = after <= SMALL_BYTES.max(bytes_read(graph, &node));
        // An output of the graph must have a writer.
        if !known || !fits || stays(&node) || outputs().any(|id| uses.is_given_out(*id)) {
            kept.push(node);
            continue;
        }
        for id in node.outputs.iter().flatten() {
            let value = &mut graph.values[id.index()];
            value.constant = facts[id.index()].data.take();
        }
        folded += 1;
    }
    graph.nodes = kept;
    Ok(folded)
}

/// Bytes of constants that a node reads.
fn bytes_read(graph: &Graph, node: &Node) -> usize {
    let constants = node.inputs.iter().flatten().filter_map(|id| graph.constant(*id));
    constants.map(|tensor| tensor.bytes().len()).sum()
}
