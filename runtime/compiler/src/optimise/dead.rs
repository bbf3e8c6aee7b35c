//! Drops nodes that no output of the graph needs, and values that nothing refers to.

use sanderling_core::Graph;

use super::Context;
use crate::error::CompileError;

pub(super) fn run(graph: &mut Graph, _: &Context<'_>) -> Result<usize, CompileError> {
    graph.check()?;
    let mut needed = vec![false; graph.values.len()];
    graph.outputs.iter().for_each(|id| needed[id.index()] = true);
    let mut keep = vec![false; graph.nodes.len()];
    // In order of the nodes every reader stands behind the writer: one walk from the back is enough.
    for (node, keep) in graph.nodes.iter().zip(&mut keep).rev() {
        *keep = node.outputs.iter().flatten().any(|id| needed[id.index()]);
        if *keep {
            node.inputs
                .iter()
                .flatten()
                .for_each(|id| needed[id.index()] = true);
        }
    }
    let before = graph.nodes.len();
    let mut keep = keep.into_iter();
    graph.nodes.retain(|_| keep.next().unwrap_or(true));
    graph.compact();
    Ok(before - graph.nodes.len())
}
