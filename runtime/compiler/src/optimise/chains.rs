//! Joins reshapes in a row into the last, and transposes in a row into one; drops pairs that undo each other.

use sanderling_core::{Attribute, Dim, Graph, Node};

use super::Context;
use super::edit::{self, Uses};
use crate::error::CompileError;

/// Operators that keep the elements in their order and change the shape alone.
const VIEWS: &[&str] = &["Reshape", "Squeeze", "Unsqueeze", "Flatten"];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    let mut uses = Uses::of(graph);
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let first = edit::input(&graph.nodes[index], 0).and_then(|id| uses.writer(id));
        let Some(first) = first.map(|first| graph.nodes[first].clone()) else {
            continue;
        };
        let node = &graph.nodes[index];
        if undoes(graph, &first, node) {
            let ends = edit::output(node).zip(edit::input(&first, 0));
            let ends = ends.filter(|(from, _)| !uses.is_given_out(*from) && uses.is_read(*from));
            if let Some((from, to)) = ends {
                uses.replace(graph, from, to);
                changes += 1;
                continue;
            }
        }
        let node = &graph.nodes[index];
        let joined = if VIEWS.iter().any(|op| first.is(op)) && has_absolute_target(graph, node) {
            true
        } else if let Some(perm) = joined_perm(&first, node) {
            graph.nodes[index].attributes = vec![("perm".into(), Attribute::Ints(perm))];
            true
        } else {
            false
        };
        if joined {
            uses.set_input(graph, index, 0, edit::input(&first, 0));
            changes += 1;
        }
    }
    Ok(changes)
}

/// Whether two views in a row give back the shape that the first one was given.
fn undoes(graph: &Graph, first: &Node, second: &Node) -> bool {
    let views = [first, second]
        .iter()
        .all(|node| VIEWS.iter().any(|op| node.is(op)));
    let ty = |id: Option<_>| id.and_then(|id| graph.value(id).ty.as_ref());
    let (before, after) = (ty(edit::input(first, 0)), ty(edit::output(second)));
    views && before == after && before.is_some_and(|ty| !ty.shape.contains(&Dim::Unknown))
}

/// A `Reshape` to a constant target that does not take a dimension over from its input.
fn has_absolute_target(graph: &Graph, node: &Node) -> bool {
    let target = edit::const_ints(graph, node, 1);
    node.is("Reshape") && node.opset >= 5 && target.is_some_and(|dims| !dims.contains(&0))
}

/// The permutation that two transposes make together: `out[i] = mid[second[i]] = in[first[second[i]]]`.
fn joined_perm(first: &Node, second: &Node) -> Option<Vec<i64>> {
    let perm = |node: &Node| {
        edit::attrs(node)
            .ints("perm")
            .ok()
            .flatten()
            .map(|list| list.to_vec())
    };
    if !first.is("Transpose") || !second.is("Transpose") {
        return None;
    }
    let (first, second) = (perm(first)?, perm(second)?);
    second
        .iter()
        .map(|&axis| first.get(usize::try_from(axis).ok()?).copied())
        .collect()
}
