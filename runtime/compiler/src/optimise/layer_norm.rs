//! Recognises layer normalisation that an exporter wrote out.
//!
//! `y = (x − mean) / √(variance + ε) · γ + β` over the last axis (Ba, Kiros and Hinton, arXiv 1607.06450), as
//! `ReduceMean → Sub → Pow or Mul → ReduceMean → Add → Sqrt → Div → Mul → Add`. ONNX has had one operator for it since
//! opset 17.

use sanderling_core::{Attribute, DType, Graph, Node, ValueId};

use super::{Context, edit};
use crate::error::CompileError;

const OPSET: u16 = 17;

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    if cx.table.find("", "LayerNormalization", OPSET).is_none() {
        return Ok(0);
    }
    cx.infer(graph)?;
    let producers = graph.producers();
    let mut changes = 0;
    for index in 0..graph.nodes.len() {
        let Some(found) = (Finder {
            graph,
            producers: &producers,
        })
        .find(&graph.nodes[index]) else {
            continue;
        };
        let node = &mut graph.nodes[index];
        node.op_type = "LayerNormalization".into();
        node.opset = OPSET;
        node.inputs = [found.data, found.scale, found.shift].map(Some).to_vec();
        node.attributes = vec![
            ("axis".into(), Attribute::Int(-1)),
            ("epsilon".into(), Attribute::Float(found.epsilon)),
        ];
        changes += 1;
    }
    Ok(changes)
}

struct Found {
    data: ValueId,
    scale: ValueId,
    shift: ValueId,
    epsilon: f32,
}

struct Finder<'a> {
    graph: &'a Graph,
    producers: &'a [Option<usize>],
}

impl Finder<'_> {
    /// The pattern that ends at a node.
    fn find(&self, node: &Node) -> Option<Found> {
        let (scaled, shift) = self.with_constant(node, "Add")?;
        let (normalised, scale) = self.with_constant(self.writer(scaled)?, "Mul")?;
        let divide = self.writer(normalised).filter(|node| node.is("Div"))?;
        let centred = edit::input(divide, 0)?;
        let root = self
            .writer(edit::input(divide, 1)?)
            .filter(|node| node.is("Sqrt"))?;
        let (variance, epsilon) = self.with_constant(self.writer(edit::input(root, 0)?)?, "Add")?;
        let epsilon = self.single(epsilon)?;
        let square = self.writer(self.mean_of(variance)?)?;
        let subtract = self.writer(centred).filter(|node| node.is("Sub"))?;
        let (data, mean) = (edit::input(subtract, 0)?, edit::input(subtract, 1)?);
        let size = self.graph.value(data).ty.as_ref()?.shape.last()?.fixed()?;
        let fits = |id: ValueId| {
            let tensor = self.graph.constant(id);
            tensor.is_some_and(|t| t.dtype() == DType::F32 && t.shape().iter().map(|&n| n as i64).eq([size]))
        };
        let same = self.squares(square, centred) && self.mean_of(mean) == Some(data);
        (same && fits(scale) && fits(shift)).then_some(Found {
            data,
            scale,
            shift,
            epsilon,
        })
    }

    fn writer(&self, id: ValueId) -> Option<&Node> {
        self.producers[id.index()].map(|index| &self.graph.nodes[index])
    }

    /// The computed and the constant input of a commutative operator.
    fn with_constant(&self, node: &Node, op: &str) -> Option<(ValueId, ValueId)> {
        let (a, b) = (edit::input(node, 0)?, edit::input(node, 1)?);
        let constant = |id: ValueId| self.graph.constant(id).is_some();
        match (constant(a), constant(b)) {
            _ if !node.is(op) => None,
            (false, true) => Some((a, b)),
            (true, false) => Some((b, a)),
            _ => None,
        }
    }

    /// What a value is the mean of along the last axis, with that axis kept.
    fn mean_of(&self, id: ValueId) -> Option<ValueId> {
        let node = self.writer(id).filter(|node| node.is("ReduceMean"))?;
        let data = edit::input(node, 0)?;
        let rank = self.graph.value(data).ty.as_ref()?.rank() as i64;
        let axes = match node.opset {
            ..18 => edit::attrs(node).ints("axes").ok()??.to_vec(),
            _ => edit::const_ints(self.graph, node, 1)?,
        };
        let kept = edit::attrs(node).int_or("keepdims", 1).ok()? != 0;
        (kept && matches!(axes[..], [axis] if axis == -1 || axis == rank - 1)).then_some(data)
    }

    fn squares(&self, node: &Node, of: ValueId) -> bool {
        let (a, b) = (edit::input(node, 0), edit::input(node, 1));
        let by_power = node.is("Pow") && a == Some(of) && b.and_then(|id| self.single(id)) == Some(2.0);
        by_power || (node.is("Mul") && a == Some(of) && b == Some(of))
    }

    /// The value of a constant of one element.
    fn single(&self, id: ValueId) -> Option<f32> {
        match self.graph.constant(id)?.view().as_slice::<f32>().ok()? {
            [value] => Some(*value),
            _ => None,
        }
    }
}
