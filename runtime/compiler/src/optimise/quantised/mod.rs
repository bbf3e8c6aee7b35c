//! Turns float operators between `DequantizeLinear` and `QuantizeLinear` into operators on the integers themselves
//! (docs/adr/0006).
//!
//! The walk goes over the `QuantizeLinear` nodes: what stands before one decides what becomes of it. A chain of
//! elementwise operators on one tensor is a table; what only moves elements moves bytes; convolutions, products,
//! additions and means become their QLinear forms. A Relu or Clip on the way becomes a bound on the integers. What
//! has no integer form is left in floats between its `DequantizeLinear` and `QuantizeLinear`.
//!
//! A node is only rewritten where docs/numerics.md defines its bytes: per-tensor scales of activations, multipliers
//! that are normal numbers, sums that provably fit int32.

mod edges;
mod elementwise;
mod movement;
mod products;
mod table;

use sanderling_core::ops::common::SANDERLING;
use sanderling_core::{Attribute, DType, Graph, Node, Tensor, Value, ValueId};

use super::{Context, edit, fold};
use crate::error::CompileError;
use edges::{Edges, Quantised};

const MICROSOFT: &str = "com.microsoft";

/// What a lowering sees: the node to rewrite, and what its result is quantised to.
struct Site<'a> {
    cx: &'a Context<'a>,
    edges: &'a Edges,
    /// The float node, by index.
    node: usize,
    /// Scale, zero point and type of the result.
    result: &'a Quantised,
}

/// The integer form of a node: operator and inputs; attributes stay the node's own.
struct Lowered {
    domain: &'static str,
    op: &'static str,
    inputs: Vec<Option<ValueId>>,
}

/// Float operators that have an integer form. To add one: its function, and a row.
type Lower = fn(&mut Graph, &Site<'_>) -> Option<Lowered>;
const LOWERINGS: &[(&str, Lower)] = &[
    ("Conv", products::conv),
    ("Gemm", products::gemm),
    ("MatMul", products::mat_mul),
    ("Add", elementwise::add),
    ("Mul", elementwise::mul),
    ("GlobalAveragePool", elementwise::global_average_pool),
];

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    if !graph.nodes.iter().any(|node| node.is("QuantizeLinear")) {
        return Ok(0);
    }
    // Scales may be computed, weights quantised in the graph; what is dequantised must stay visible.
    let mut changes = fold::run_but(graph, cx, |node| node.is("DequantizeLinear"))?;
    cx.infer(graph)?;
    // Nodes that are added stand behind these until the check sorts them; what writes floats stays where it is.
    let edges = Edges::new(graph);
    for index in 0..graph.nodes.len() {
        if graph.nodes[index].is("QuantizeLinear") {
            changes += usize::from(rewrite(graph, cx, &edges, index));
        } else if graph.nodes[index].is("Shape") {
            changes += usize::from(measure_bytes(graph, &edges, index));
        }
    }
    graph.check()?;
    Ok(changes)
}

/// Lets a `Shape` measure the integers instead of their floats, which nobody else may need.
fn measure_bytes(graph: &mut Graph, edges: &Edges, index: usize) -> bool {
    let measured = edit::input(&graph.nodes[index], 0);
    let Some(found) = measured.and_then(|value| edges.dequantised(graph, value)) else {
        return false;
    };
    graph.nodes[index].inputs[0] = Some(found.value);
    true
}

/// Rewrites what ends in the `QuantizeLinear` at `index`, which becomes the integer operator.
fn rewrite(graph: &mut Graph, cx: &Context<'_>, edges: &Edges, index: usize) -> bool {
    let Some(result) = edges.quantise(graph, index) else {
        return false;
    };
    if let Some((x, table)) = table::between(graph, cx, edges, index) {
        if table::moves_nothing(graph, x, &table) {
            // Another pass takes it out.
            let same = Lowered {
                domain: "",
                op: "Identity",
                inputs: vec![Some(x)],
            };
            replace(graph, index, same, Vec::new());
            return true;
        }
        let table = graph.add_constant(format!("{}.table", name(graph, index)), table);
        replace(
            graph,
            index,
            Lowered {
                domain: SANDERLING,
                op: "LookupTable",
                inputs: vec![Some(x), Some(table)],
            },
            Vec::new(),
        );
        return true;
    }
    let Some((node, bounds)) = edges.computed_by(graph, cx, index, &result) else {
        return false;
    };
    let site = Site {
        cx,
        edges,
        node,
        result: &result,
    };
    let row = LOWERINGS.iter().find(|(op, _)| graph.nodes[node].is(op));
    let lowered = match row {
        Some((_, lower)) => lower(graph, &site),
        None => movement::lower(graph, &site),
    };
    let Some(lowered) = lowered else { return false };
    let keeps = |(name, _): &&(String, _)| !matches!(name.as_str(), "alpha" | "beta");
    let attributes = graph.nodes[node]
        .attributes
        .iter()
        .filter(keeps)
        .cloned()
        .collect();
    let opset = graph.nodes[node].opset;
    replace(graph, index, lowered, attributes);
    if graph.nodes[index].domain.is_empty() {
        graph.nodes[index].opset = opset;
    }
    if let Some((least, most)) = bounds {
        bound(graph, index, &result, least, most);
    }
    true
}

fn name(graph: &Graph, index: usize) -> String {
    graph.nodes[index].name.clone()
}

/// Puts an integer operator in the place of the node at `index`, which keeps its name and outputs.
fn replace(graph: &mut Graph, index: usize, lowered: Lowered, attributes: Vec<(String, Attribute)>) {
    let node = &mut graph.nodes[index];
    node.domain = lowered.domain.into();
    node.op_type = lowered.op.into();
    node.inputs = lowered.inputs;
    node.attributes = attributes;
    if !lowered.domain.is_empty() {
        node.opset = 1;
    }
}

/// Lets a `Clip` on the integers follow the node at `index`, and takes over its output.
fn bound(graph: &mut Graph, index: usize, result: &Quantised, least: i32, most: i32) {
    let Some(output) = edit::output(&graph.nodes[index]) else {
        return;
    };
    let before = graph.values[output.index()].clone();
    let unbounded = graph.add_value(Value {
        name: format!("{}.unbounded", before.name),
        ..before
    });
    let name = name(graph, index);
    let bounds = [least, most].map(|value| eight_bits(result.dtype, value));
    let [least, most] = bounds.map(|tensor| Some(graph.add_constant(format!("{name}.bound"), tensor)));
    graph.nodes[index].outputs = vec![Some(unbounded)];
    let opset = graph
        .nodes
        .iter()
        .find(|n| n.domain.is_empty())
        .map_or(13, |n| n.opset);
    graph.nodes.push(Node {
        name: format!("{name}.bound"),
        op_type: "Clip".into(),
        // Clip of bytes is there from 12 on, and the same since.
        opset: opset.max(13),
        inputs: vec![Some(unbounded), least, most],
        outputs: vec![Some(output)],
        ..Node::default()
    });
}

/// A scalar of u8 or i8.
fn eight_bits(dtype: DType, value: i32) -> Tensor {
    // Any one byte is a scalar of either.
    Tensor::from_bytes(dtype, &[], &[value as u8]).expect("one byte is a scalar of eight bits")
}

#[cfg(test)]
mod tests;
