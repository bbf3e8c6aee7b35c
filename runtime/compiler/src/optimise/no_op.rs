//! Drops nodes that give back their first input.

use sanderling_core::shape::MAX_ELEMENTS;
use sanderling_core::{Dim, Graph, Node, TensorType};

use super::Context;
use super::edit::{self, Uses};
use crate::error::CompileError;

/// Whether a node of this operator gives back its first input; both types are given where they are known.
type Rule = fn(&Graph, &Uses, &Node, Types<'_>) -> bool;

struct Types<'a> {
    input: Option<&'a TensorType>,
    output: Option<&'a TensorType>,
}

impl Types<'_> {
    /// Whether type and every dimension are the same for sure: two open dimensions are not.
    fn same(&self) -> bool {
        let known = |ty: &TensorType| !ty.shape.contains(&Dim::Unknown);
        self.input.is_some_and(known) && self.input == self.output
    }
}

const RULES: &[(&str, Rule)] = &[
    ("Identity", |_, _, _, _| true),
    ("Dropout", dropout),
    ("Cast", |_, _, _, types| {
        types
            .input
            .zip(types.output)
            .is_some_and(|(a, b)| a.dtype == b.dtype)
    }),
    ("Reshape", |_, _, _, types| types.same()),
    ("Flatten", |_, _, _, types| types.same()),
    ("Expand", |_, _, _, types| types.same()),
    ("Slice", slice),
    ("Pad", pad),
    ("Transpose", transpose),
    ("Concat", |_, _, node, _| node.inputs.len() == 1),
];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    let mut uses = Uses::of(graph);
    let mut changes = 0;
    let mut index = 0;
    while index < graph.nodes.len() {
        let node = &graph.nodes[index];
        let type_of = |id: Option<_>| id.and_then(|id| graph.value(id).ty.as_ref());
        let types = Types {
            input: type_of(edit::input(node, 0)),
            output: type_of(edit::output(node)),
        };
        let rule = RULES.iter().find(|(op, _)| node.is(op)).map(|(_, rule)| rule);
        let length = graph.nodes.len();
        if rule.is_some_and(|rule| rule(graph, &uses, node, types)) && uses.bypass(graph, index) {
            changes += 1;
        }
        // A bypass may remove the node at `index`; the next one then stands there.
        index += usize::from(graph.nodes.len() == length);
    }
    Ok(changes)
}

/// In inference, and where nobody reads the mask.
fn dropout(graph: &Graph, uses: &Uses, node: &Node, _: Types<'_>) -> bool {
    let mask = node.outputs.get(1).copied().flatten();
    let mask_read = mask.is_some_and(|mask| uses.is_given_out(mask) || uses.is_read(mask));
    let training = match node.opset {
        ..7 => edit::attrs(node).int_or("is_test", 0) != Ok(1),
        7..12 => false,
        _ => edit::input(node, 2).is_some_and(|id| {
            graph
                .constant(id)
                .is_none_or(|flag| flag.bytes().iter().any(|&b| b != 0))
        }),
    };
    !mask_read && !training
}

/// The whole of every axis, forwards.
fn slice(graph: &Graph, _: &Uses, node: &Node, types: Types<'_>) -> bool {
    let list = |index: usize, name: &str| match node.opset {
        ..10 => edit::attrs(node)
            .ints(name)
            .ok()
            .flatten()
            .map(|list| list.to_vec()),
        _ => edit::const_ints(graph, node, index),
    };
    let (Some(ty), Some(starts), Some(ends)) = (types.input, list(1, "starts"), list(2, "ends")) else {
        return false;
    };
    let given = |index| edit::input(node, index).is_some();
    let steps = list(4, "steps");
    let forwards = steps
        .as_ref()
        .map_or(!given(4), |steps| steps.iter().all(|&step| step == 1));
    let axes = match list(3, "axes") {
        Some(axes) => axes,
        None if given(3) => return false,
        None => (0..).take(starts.len()).collect(),
    };
    let whole = |((&start, &end), &axis): ((&i64, &i64), &i64)| {
        let axis = if axis < 0 { axis + ty.rank() as i64 } else { axis };
        let size = usize::try_from(axis).ok().and_then(|axis| largest_size(ty, axis));
        start == 0 && size.is_some_and(|size| end >= size)
    };
    forwards && axes.len() == ends.len() && starts.iter().zip(&ends).zip(&axes).all(whole)
}

/// The most elements that an axis can have: its size, or what the limit on a tensor's elements leaves it.
fn largest_size(ty: &TensorType, axis: usize) -> Option<i64> {
    match ty.shape.get(axis)? {
        Dim::Fixed(n) => Some(*n),
        _ => {
            let others = ty
                .shape
                .iter()
                .filter_map(Dim::fixed)
                .try_fold(1i64, i64::checked_mul)?;
            Some(i64::try_from(MAX_ELEMENTS).ok()? / others.max(1))
        }
    }
}

fn pad(graph: &Graph, _: &Uses, node: &Node, types: Types<'_>) -> bool {
    let given = if node.opset < 11 {
        edit::attrs(node)
            .ints("pads")
            .ok()
            .flatten()
            .map(|list| list.to_vec())
    } else {
        edit::const_ints(graph, node, 1)
    };
    types.same() && given.is_some_and(|pads| pads.iter().all(|&n| n == 0))
}

fn transpose(_: &Graph, _: &Uses, node: &Node, types: Types<'_>) -> bool {
    let perm = edit::attrs(node)
        .ints("perm")
        .ok()
        .flatten()
        .map(|list| list.to_vec());
    match perm {
        Some(perm) => perm.iter().zip(0..).all(|(&axis, i)| axis == i),
        // Without `perm` the axes are reversed.
        None => types.input.is_some_and(|ty| ty.rank() < 2),
    }
}
