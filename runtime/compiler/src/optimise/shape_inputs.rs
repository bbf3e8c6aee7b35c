//! Makes computed target shapes constants, so that the nodes that compute them can go.
//!
//! `Shape → Slice → Concat → Reshape` computes at run time what is known before: with one open dimension the
//! target is a constant with −1 in it. An `Expand` needs no number where its input has the dimension already.

use sanderling_core::{Dim, Graph, Node, Tensor, TensorType};

use super::{Context, edit};
use crate::error::CompileError;

/// A rule: the constant target, from the node, its input's type, and the dimensions that the target holds.
type Rule = fn(&Node, &TensorType, &[Dim]) -> Option<Vec<i64>>;

/// Operators whose second input is a shape, from the opset on in which it is one.
const RULES: &[(&str, u16, Rule)] = &[("Reshape", 5, reshape), ("Expand", 8, expand)];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    let facts = cx.infer(graph)?;
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let rule = RULES
            .iter()
            .find(|(op, first, _)| node.is(op) && node.opset >= *first);
        let (Some((_, _, rule)), Some(data), Some(target)) =
            (rule, edit::input(node, 0), edit::input(node, 1))
        else {
            continue;
        };
        let (Some(ty), Some(dims)) = (&facts[data.index()].ty, &facts[target.index()].dims) else {
            continue;
        };
        let Some(shape) = rule(node, ty, dims) else {
            continue;
        };
        let Ok(tensor) = Tensor::from_slice(&[shape.len()], &shape) else {
            continue;
        };
        let name = format!("{}.shape", node.name);
        graph.nodes[index].inputs[1] = Some(graph.add_constant(name, tensor));
        changes += 1;
    }
    Ok(changes)
}

/// 0 where the dimension is the input's own, −1 for one that is not.
fn reshape(node: &Node, ty: &TensorType, dims: &[Dim]) -> Option<Vec<i64>> {
    if edit::attrs(node).int_or("allowzero", 0).ok()? != 0 {
        return None;
    }
    let open = dims.iter().filter(|dim| dim.fixed().is_none()).count();
    let target = dims.iter().enumerate().map(|(axis, dim)| match dim {
        Dim::Fixed(n) => *n,
        Dim::Symbol(_) if open > 1 && ty.shape.get(axis) == Some(dim) => 0,
        _ => -1,
    });
    let target: Vec<i64> = target.collect();
    let fits = target.iter().filter(|&&n| n == -1).count() <= 1 && target.iter().all(|&n| n >= -1);
    // A fixed 0 would be read as "the input's own".
    (fits && !dims.contains(&Dim::Fixed(0))).then_some(target)
}

/// 1 where the input has the dimension already: expanding by 1 leaves it as it is.
fn expand(_: &Node, ty: &TensorType, dims: &[Dim]) -> Option<Vec<i64>> {
    let target = dims.iter().enumerate().map(|(axis, dim)| match dim {
        Dim::Fixed(n) => Some(*n),
        Dim::Symbol(_) => {
            let own = (axis + ty.rank())
                .checked_sub(dims.len())
                .and_then(|axis| ty.shape.get(axis));
            (own == Some(dim)).then_some(1)
        }
        Dim::Unknown => None,
    });
    target.collect()
}
