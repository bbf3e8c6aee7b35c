//! Lets a convolution or matrix product finish its result while it is in registers.
//!
//! `Conv → Add → Relu` writes and reads the whole tensor three times; onnxruntime's contributed operators
//! `FusedConv` and `FusedGemm` (domain `com.microsoft`) say the same in one node.

use sanderling_core::{Attribute, DType, Dim, Graph, Node};

use super::Context;
use super::edit::{self, Uses};
use crate::error::CompileError;

const DOMAIN: &str = "com.microsoft";
const OPSET: u16 = 1;

/// Plain operator, its fused form, and whether that takes an addend and parameters as a list.
struct Fusable {
    plain: &'static str,
    fused: &'static str,
    is_conv: bool,
}

const FUSABLE: &[Fusable] = &[
    Fusable {
        plain: "Conv",
        fused: "FusedConv",
        is_conv: true,
    },
    Fusable {
        plain: "Gemm",
        fused: "FusedGemm",
        is_conv: false,
    },
];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    graph.check()?;
    let mut uses = Uses::of(graph);
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let row = FUSABLE.iter().find(|row| is_row(&graph.nodes[index], row));
        if let Some(row) = row.filter(|row| cx.table.find(DOMAIN, row.fused, OPSET).is_some()) {
            changes += usize::from(add_addend(graph, &mut uses, index, row));
            changes += usize::from(add_activation(graph, &mut uses, index, row));
        }
    }
    if changes > 0 {
        graph.nodes.retain(|node| !node.op_type.is_empty());
        // An addend may be written behind the node that now reads it.
        graph.check()?;
    }
    Ok(changes)
}

fn is_row(node: &Node, row: &Fusable) -> bool {
    node.is(row.plain) || (node.domain == DOMAIN && node.op_type == row.fused)
}

/// The only node that reads a node's result, if there is just one.
fn reader(graph: &Graph, uses: &Uses, index: usize) -> Option<usize> {
    let output = edit::output(&graph.nodes[index])?;
    let float = graph
        .value(output)
        .ty
        .as_ref()
        .is_some_and(|ty| ty.dtype == DType::F32);
    uses.only_reader(output).filter(|_| float)
}

fn make_fused(node: &mut Node, row: &Fusable) {
    node.domain = DOMAIN.into();
    node.op_type = row.fused.into();
    node.opset = OPSET;
}

/// `Conv` then `Add` of a computed tensor of the same shape.
fn add_addend(graph: &mut Graph, uses: &mut Uses, index: usize, row: &Fusable) -> bool {
    let has_activation = graph.nodes[index]
        .attributes
        .iter()
        .any(|(name, _)| name == "activation");
    if !row.is_conv || edit::input(&graph.nodes[index], 3).is_some() || has_activation {
        return false;
    }
    let Some(add) = reader(graph, uses, index).filter(|&add| graph.nodes[add].is("Add")) else {
        return false;
    };
    let result = edit::output(&graph.nodes[index]);
    let other = graph.nodes[add]
        .inputs
        .iter()
        .flatten()
        .copied()
        .find(|id| Some(*id) != result);
    let (Some(result), Some(other)) = (result, other) else {
        return false;
    };
    let (a, b) = (&graph.value(result).ty, &graph.value(other).ty);
    let known = a.as_ref().is_some_and(|ty| !ty.shape.contains(&Dim::Unknown));
    if !known || a != b {
        return false;
    }
    let node = &mut graph.nodes[index];
    make_fused(node, row);
    node.inputs.resize(4, None);
    uses.set_input(graph, index, 3, Some(other));
    uses.take_outputs(graph, index, add);
    true
}

fn add_activation(graph: &mut Graph, uses: &mut Uses, index: usize, row: &Fusable) -> bool {
    if graph.nodes[index]
        .attributes
        .iter()
        .any(|(name, _)| name == "activation")
    {
        return false;
    }
    let Some(reader) = reader(graph, uses, index) else {
        return false;
    };
    let Some((activation, params)) = activation(graph, &graph.nodes[reader]) else {
        return false;
    };
    let node = &mut graph.nodes[index];
    make_fused(node, row);
    node.attributes.push((
        "activation".into(),
        Attribute::String(activation.as_bytes().to_vec()),
    ));
    if row.is_conv && !params.is_empty() {
        node.attributes
            .push(("activation_params".into(), Attribute::Floats(params)));
    } else if !row.is_conv {
        let names = ["activation_alpha", "activation_beta"];
        let named = names
            .iter()
            .zip(params)
            .map(|(name, value)| (name.to_string(), Attribute::Float(value)));
        node.attributes.extend(named);
    }
    uses.take_outputs(graph, index, reader);
    true
}

/// Name and parameters of an activation that the fused operators have.
fn activation(graph: &Graph, node: &Node) -> Option<(&'static str, Vec<f32>)> {
    let float = |name, default| edit::attrs(node).float_or(name, default).ok();
    let has = |op: &str| node.is(op);
    if has("Relu") {
        Some(("Relu", Vec::new()))
    } else if has("Sigmoid") {
        Some(("Sigmoid", Vec::new()))
    } else if has("Tanh") {
        Some(("Tanh", Vec::new()))
    } else if has("LeakyRelu") {
        Some(("LeakyRelu", vec![float("alpha", 0.01)?]))
    } else if has("HardSigmoid") {
        Some(("HardSigmoid", vec![float("alpha", 0.2)?, float("beta", 0.5)?]))
    } else if has("Clip") {
        let bounds = match node.opset {
            ..11 => [float("min", f32::MIN)?, float("max", f32::MAX)?],
            _ => [
                clip_bound(graph, node, 1, f32::MIN)?,
                clip_bound(graph, node, 2, f32::MAX)?,
            ],
        };
        Some(("Clip", bounds.to_vec()))
    } else {
        None
    }
}

/// A bound of `Clip` that is absent or a constant.
fn clip_bound(graph: &Graph, node: &Node, index: usize, absent: f32) -> Option<f32> {
    match edit::input(node, index) {
        None => Some(absent),
        Some(id) => graph
            .constant(id)?
            .view()
            .as_slice::<f32>()
            .ok()?
            .first()
            .copied(),
    }
}
