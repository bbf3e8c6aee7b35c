//! Where floats begin and end: what a value is dequantised from, what it is quantised to, and what lies between.

use sanderling_core::infer;
use sanderling_core::ops::common::qlinear::centred;
use sanderling_core::{DType, Graph, Tensor, TensorType, ValueId};

use super::super::{Context, edit};

/// ONNX's code of binary32.
const FLOAT: i64 = 1;

/// A quantised tensor, and how its floats are to be had: its scale and zero point are constants.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    /// The integers. For a result: what `QuantizeLinear` writes.
    pub(super) value: ValueId,
    /// u8, i8; int32 for biases.
    pub(super) dtype: DType,
    /// One, or one for each index of `axis`.
    pub(super) scales: Vec<f32>,
    /// As many.
    pub(super) zeros: Vec<i32>,
    /// The axis, where there is more than one scale.
    pub(super) axis: Option<i64>,
}

impl Quantised {
    /// Scale and zero point, where there is one for all.
    pub(super) fn single(&self) -> Option<(f32, i32)> {
        match (&self.scales[..], &self.zeros[..]) {
            (&[scale], &[zero]) => Some((scale, zero)),
            _ => None,
        }
    }

    /// Whether it has eight bits.
    pub(super) fn is_eight_bits(&self) -> bool {
        matches!(self.dtype, DType::U8 | DType::I8)
    }

    /// Its scale and zero point as inputs of a QLinear operator.
    pub(super) fn parameters(&self, graph: &mut Graph) -> [Option<ValueId>; 2] {
        let name = graph.value(self.value).name.clone();
        let shape: &[usize] = if self.axis.is_some() {
            &[self.scales.len()]
        } else {
            &[]
        };
        let zeros: Vec<u8> = self.zeros.iter().map(|&zero| zero as u8).collect();
        let made = [
            ("scale", Tensor::from_slice(shape, &self.scales)),
            ("zero_point", Tensor::from_bytes(self.dtype, shape, &zeros)),
        ];
        made.map(|(what, tensor)| Some(graph.add_constant(format!("{name}.{what}"), tensor.ok()?)))
    }

    /// The three inputs of an operand: integers, scale, zero point.
    pub(super) fn operand(&self, graph: &mut Graph) -> [Option<ValueId>; 3] {
        let [scale, zero] = self.parameters(graph);
        [Some(self.value), scale, zero]
    }
}

/// Who writes and who reads, as long as no node is added.
pub(super) struct Edges {
    producers: Vec<Option<usize>>,
    reads: Vec<u32>,
}

impl Edges {
    pub(super) fn new(graph: &Graph) -> Self {
        let mut reads = vec![0; graph.values.len()];
        let read = graph.nodes.iter().flat_map(|node| node.inputs.iter().flatten());
        read.chain(&graph.outputs).for_each(|id| reads[id.index()] += 1);
        Self {
            producers: graph.producers(),
            reads,
        }
    }

    /// The node that writes a value.
    pub(super) fn producer(&self, value: ValueId) -> Option<usize> {
        self.producers.get(value.index()).copied().flatten()
    }

    fn read_once(&self, value: ValueId) -> bool {
        self.reads.get(value.index()) == Some(&1)
    }

    /// What a float value is dequantised from.
    pub(super) fn dequantised(&self, graph: &Graph, value: ValueId) -> Option<Quantised> {
        let node = &graph.nodes[self.producer(value)?];
        if !node.is("DequantizeLinear") {
            return None;
        }
        self.described(graph, self.producer(value)?, edit::input(node, 0)?)
    }

    /// What a `QuantizeLinear` with one scale quantises to eight bits.
    pub(super) fn quantise(&self, graph: &Graph, index: usize) -> Option<Quantised> {
        let found = self.described(graph, index, edit::output(&graph.nodes[index])?)?;
        (found.is_eight_bits() && found.single().is_some()).then_some(found)
    }

    /// Scale and zero point of a node that quantises or dequantises, where they are constants of binary32 and
    /// integers, for a tensor of integers.
    fn described(&self, graph: &Graph, index: usize, value: ValueId) -> Option<Quantised> {
        let node = &graph.nodes[index];
        let attrs = edit::attrs(node);
        // Floats of another precision than binary32 give other bytes.
        let floats = match node.is("DequantizeLinear") {
            true => attrs.int_or("output_dtype", 0),
            false => attrs.int_or("precision", 0),
        };
        let binary32 = matches!(floats.ok()?, 0 | FLOAT);
        if attrs.int_or("block_size", 0).ok()? != 0 || !binary32 {
            return None;
        }
        let dtype = graph.value(value).ty.as_ref()?.dtype;
        let scale = graph.constant(edit::input(node, 1)?)?;
        let scales = scale.view().as_slice::<f32>().ok()?.to_vec();
        let zeros = match edit::input(node, 2) {
            None => vec![0; scales.len()],
            Some(zero) => {
                let zero = graph.constant(zero)?.view();
                match zero.dtype() {
                    DType::I32 => zero.as_slice::<i32>().ok()?.to_vec(),
                    _ => centred(zero, |_| 0).ok()?,
                }
            }
        };
        let whole = scales.iter().all(|s| s.is_finite() && *s > 0.0) && zeros.len() == scales.len();
        let integers = matches!(dtype, DType::U8 | DType::I8 | DType::I32);
        let axis = match scales.len() {
            1 => None,
            _ => Some(attrs.int_or("axis", 1).ok()?),
        };
        (whole && integers).then_some(Quantised {
            value,
            dtype,
            scales,
            zeros,
            axis,
        })
    }

    /// The node whose result alone the `QuantizeLinear` at `index` quantises, and what a Relu or Clip between them
    /// bounds the integers to.
    pub(super) fn computed_by(
        &self,
        graph: &Graph,
        cx: &Context<'_>,
        index: usize,
        result: &Quantised,
    ) -> Option<(usize, Option<(i32, i32)>)> {
        let quantised = edit::input(&graph.nodes[index], 0)?;
        let before = self.producer(quantised)?;
        if !self.read_once(quantised) {
            return None;
        }
        if !(graph.nodes[before].is("Relu") || graph.nodes[before].is("Clip")) {
            return Some((before, None));
        }
        let bounded = edit::input(&graph.nodes[before], 0)?;
        let node = self.producer(bounded).filter(|_| self.read_once(bounded))?;
        // Quantising is monotone: the bounds of the integers are the bounds, quantised.
        let bounds =
            [f32::NEG_INFINITY, f32::INFINITY].map(|x| bounded_integer(graph, cx, before, index, result, x));
        let [Some(least), Some(most)] = bounds else {
            return None;
        };
        let whole = match result.dtype {
            DType::U8 => (0, 255),
            _ => (-128, 127),
        };
        Some((node, (whole != (least, most)).then_some((least, most))))
    }
}

/// What an infinite input becomes: the bound after `clip`, quantised by the node at `index`, both by the reference.
fn bounded_integer(
    graph: &Graph,
    cx: &Context<'_>,
    clip: usize,
    index: usize,
    result: &Quantised,
    x: f32,
) -> Option<i32> {
    let mut value = Tensor::from_slice(&[], &[x]).ok()?;
    for (at, dtype) in [(clip, DType::F32), (index, result.dtype)] {
        let node = &graph.nodes[at];
        let operator = cx.table.find(&node.domain, &node.op_type, node.opset)?;
        let mut inputs = vec![Some(value.view())];
        for id in node.inputs.iter().skip(1) {
            inputs.push(match id {
                Some(id) => Some(graph.constant(*id)?.view()),
                None => None,
            });
        }
        let ty = TensorType::fixed(dtype, &[]);
        let found = infer::eval(operator, edit::attrs(node), node.opset, &inputs, &[ty]).ok()?;
        value = found.into_iter().next()?;
    }
    centred(value.view(), |_| 0).ok()?.first().copied()
}
