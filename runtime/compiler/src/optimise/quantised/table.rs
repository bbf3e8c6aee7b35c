//! Chains of elementwise operators from one dequantised tensor to a `QuantizeLinear`: a function of a byte, so a table
//! of 256. The reference operators compute it.

use sanderling_core::infer;
use sanderling_core::{Attrs, DType, Graph, Tensor, TensorType, ValueId};

use super::super::{Context, edit};
use super::edges::{Edges, Quantised};

/// Operators that compute each element by itself, from one tensor and constants.
const POINTWISE: &[&str] = &[
    "Abs",
    "Add",
    "Ceil",
    "Clip",
    "Div",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "Reciprocal",
    "Relu",
    "Round",
    "Sigmoid",
    "Sign",
    "Softplus",
    "Sqrt",
    "Sub",
    "Tanh",
];
/// Most operators of a chain.
const MAX_CHAIN: usize = 32;

/// The bytes that the chain before the `QuantizeLinear` at `index` starts from, and its table.
///
/// None where there is no such chain.
pub(super) fn between(
    graph: &Graph,
    cx: &Context<'_>,
    edges: &Edges,
    index: usize,
) -> Option<(ValueId, Tensor)> {
    let mut chain = vec![index];
    let mut source = None;
    let mut waiting = vec![edit::input(&graph.nodes[index], 0)?];
    while let Some(value) = waiting.pop() {
        if graph.constant(value).is_some() {
            continue;
        }
        let producer = edges.producer(value)?;
        let node = &graph.nodes[producer];
        if node.is("DequantizeLinear") {
            if source.is_some_and(|source| source != producer) {
                return None;
            }
            source = Some(producer);
        } else if !chain.contains(&producer) {
            if chain.len() > MAX_CHAIN || !POINTWISE.iter().any(|op| node.is(op)) {
                return None;
            }
            chain.push(producer);
            waiting.extend(node.inputs.iter().flatten());
        }
    }
    let source = source?;
    let start = edit::output(&graph.nodes[source])?;
    let from = edges.dequantised(graph, start)?;
    if !from.is_eight_bits() || from.single().is_none() || !keeps_shape(graph, from.value, index) {
        return None;
    }
    // Nodes are in order: a smaller index is computed earlier.
    chain.push(source);
    chain.sort_unstable();
    chain.dedup();
    Some((from.value, computed(graph, cx, &chain, from.value)?))
}

/// Whether a table gives every byte of these back, in their type: a chain that does nothing.
pub(super) fn moves_nothing(graph: &Graph, from: ValueId, table: &Tensor) -> bool {
    let same_type = graph.value(from).ty.as_ref().map(|ty| ty.dtype) == Some(table.dtype());
    same_type && table.bytes().iter().copied().eq(0..=255)
}

/// Whether the result has the shape of the bytes it starts from: no constant broadcasts it.
fn keeps_shape(graph: &Graph, from: ValueId, index: usize) -> bool {
    let shape = |id: ValueId| graph.value(id).ty.as_ref().map(|ty| &ty.shape);
    let output = edit::output(&graph.nodes[index]);
    output.is_some_and(|output| shape(from).is_some() && shape(from) == shape(output))
}

/// The chain's result for each byte, by the reference.
fn computed(graph: &Graph, cx: &Context<'_>, chain: &[usize], from: ValueId) -> Option<Tensor> {
    let dtype = graph.value(from).ty.as_ref()?.dtype;
    let bytes: Vec<u8> = (0..=255).collect();
    let mut known = vec![(from, Tensor::from_bytes(dtype, &[256], &bytes).ok()?)];
    for &index in chain {
        let node = &graph.nodes[index];
        let operator = cx.table.find(&node.domain, &node.op_type, node.opset)?;
        let inputs = node
            .inputs
            .iter()
            .map(|id| {
                let Some(id) = id else { return Some(None) };
                match known.iter().find(|(value, _)| value == id) {
                    Some((_, tensor)) => Some(Some(tensor.clone())),
                    // A constant that all elements share, whatever its rank.
                    None => Some(Some(graph.constant(*id)?.clone().reshaped(&[]).ok()?)),
                }
            })
            .collect::<Option<Vec<_>>>()?;
        let output = edit::output(node)?;
        let dtype = graph.value(output).ty.as_ref()?.dtype;
        if !matches!(dtype, DType::F32 | DType::U8 | DType::I8) {
            return None;
        }
        let views: Vec<_> = inputs.iter().map(|t| t.as_ref().map(Tensor::view)).collect();
        let ty = TensorType::fixed(dtype, &[256]);
        let found = infer::eval(operator, edit::attrs(node), node.opset, &views, &[ty]).ok()?;
        known.push((output, found.into_iter().next()?));
    }
    known.pop().map(|(_, table)| table)
}

/// The table that takes bytes of one scale and zero point to another.
pub(super) fn rescaling(cx: &Context<'_>, from: &Quantised, to: &Quantised) -> Option<Tensor> {
    const OPSET: u16 = 13;
    let bytes: Vec<u8> = (0..=255).collect();
    let mut value = Tensor::from_bytes(from.dtype, &[256], &bytes).ok()?;
    for (op, quantised, dtype) in [
        ("DequantizeLinear", from, DType::F32),
        ("QuantizeLinear", to, to.dtype),
    ] {
        let (scale, zero) = quantised.single()?;
        let scale = Tensor::from_slice(&[], &[scale]).ok()?;
        let zero = super::eight_bits(quantised.dtype, zero);
        let inputs = [Some(value.view()), Some(scale.view()), Some(zero.view())];
        let operator = cx.table.find("", op, OPSET)?;
        let ty = TensorType::fixed(dtype, &[256]);
        let found = infer::eval(operator, Attrs::of_graph(&[]), OPSET, &inputs, &[ty]).ok()?;
        value = found.into_iter().next()?;
    }
    Some(value)
}
