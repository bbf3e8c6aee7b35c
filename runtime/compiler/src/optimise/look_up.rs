//! Computes elementwise operators on a table instead of on the rows that are looked up in it.
//!
//! `Gather` along axis 0 copies rows of a constant table. What is then computed of each element by itself (a bias per
//! column, an activation) can be computed once for each row of the table, at packing, as long as the table is not
//! used otherwise: 257 rows instead of 2048 of every run.

use sanderling_core::infer;
use sanderling_core::{DType, Graph, Node, Tensor, TensorType, ValueId};

use super::Context;
use super::edit::{self, Uses};
use crate::error::CompileError;

/// Operators that compute each element by itself, with one input or with a constant as the second.
const UNARY: &[&str] = &[
    "Relu",
    "Gelu",
    "Tanh",
    "Sigmoid",
    "HardSwish",
    "HardSigmoid",
    "LeakyRelu",
    "Elu",
    "Erf",
    "Exp",
    "Log",
    "Sqrt",
    "Neg",
    "Abs",
    "Softplus",
];
const BINARY: &[&str] = &["Add", "Sub", "Mul", "Div"];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    // What is changed below changes neither writers nor readers of what is computed.
    let uses = Uses::of(graph);
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let wanted = UNARY.iter().chain(BINARY).any(|op| node.is(op));
        let gather = if wanted {
            gather_before(graph, &uses, node)
        } else {
            None
        };
        let Some((gather, data)) = gather else { continue };
        let Some(table) = computed_table(graph, cx, node, gather, data) else {
            continue;
        };
        let name = node.name.clone();
        let table = graph.add_constant(format!("{name}.table"), table);
        graph.nodes[gather].inputs[0] = Some(table);
        let node = &mut graph.nodes[index];
        node.op_type = "Identity".into();
        node.inputs = vec![Some(data)];
        node.attributes.clear();
        changes += 1;
    }
    Ok(changes)
}

/// The `Gather` of a constant matrix whose rows the node alone reads, and the value between them.
fn gather_before(graph: &Graph, uses: &Uses, node: &Node) -> Option<(usize, ValueId)> {
    let data = node
        .inputs
        .iter()
        .flatten()
        .copied()
        .find(|id| graph.constant(*id).is_none())?;
    let gather = uses.writer(data)?;
    let source = &graph.nodes[gather];
    let rows = edit::attrs(source).int_or("axis", 0).ok()? == 0;
    let table = source
        .is("Gather")
        .then(|| graph.constant(edit::input(source, 0)?))??;
    let fits = rows && table.dtype() == DType::F32 && table.shape().len() == 2;
    (fits && uses.only_reader(data).is_some()).then_some((gather, data))
}

/// The table after the node, by the reference; none where a constant varies along the looked-up axes.
fn computed_table(
    graph: &Graph,
    cx: &Context<'_>,
    node: &Node,
    gather: usize,
    data: ValueId,
) -> Option<Tensor> {
    let table = graph.constant(edit::input(&graph.nodes[gather], 0)?)?;
    let columns = table.shape()[1];
    let rank = graph.value(data).ty.as_ref()?.rank();
    let mut inputs: Vec<Tensor> = Vec::with_capacity(2);
    for id in &node.inputs {
        let id = (*id)?;
        if id == data {
            inputs.push(table.clone());
            continue;
        }
        let constant = graph.constant(id)?;
        let per_column = match constant.shape() {
            [] => true,
            [front @ .., last] => front.iter().all(|&n| n == 1) && (*last == 1 || *last == columns),
        };
        if !per_column || constant.shape().len() > rank || rank < 2 {
            return None;
        }
        let len = constant.view().len();
        inputs.push(constant.clone().reshaped(&[len]).ok()?);
    }
    let operator = cx.table.find(&node.domain, &node.op_type, node.opset)?;
    let views: Vec<_> = inputs.iter().map(|tensor| Some(tensor.view())).collect();
    let ty = TensorType::fixed(DType::F32, table.shape());
    infer::eval(operator, edit::attrs(node), node.opset, &views, &[ty])
        .ok()?
        .pop()
}
