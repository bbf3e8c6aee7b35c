//! Stores weights as int8, one scale per output channel.
//!
//! For each channel of a weight tensor, `scale = max|w| / 127` and `q = rne(w / scale)`, so the range is symmetric,
//! the zero point is 0 and −128 is never used. The graph then says so in ONNX's own words: the constant is int8
//! and a `DequantizeLinear` with an `axis` stands between it and the operator that reads it. Activations stay
//! float. A backend that has a kernel for int8 weights takes both nodes as one; any other computes the weights
//! back once.
//!
//! Source: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv 1806.08342,
//! section 3.1 (symmetric, per channel).

use sanderling_bundle::{Quantisation, QuantisedLayer};
use sanderling_core::{Attribute, Attrs, DType, Graph, Node, Tensor, TensorType, Value, ValueId};

use crate::error::CompileError;

/// How to quantise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantiseOptions {
    /// Weights, or nodes that read them, to leave as they are, by name.
    pub skip: Vec<String>,
    /// Weights with fewer elements stay as they are: their scales would eat the gain.
    pub min_elements: usize,
}

impl Default for QuantiseOptions {
    /// Every weight of 1024 elements or more.
    fn default() -> Self {
        Self {
            skip: Vec::new(),
            min_elements: 1024,
        }
    }
}

/// What [`quantise`] did.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantiseReport {
    /// One row per weight that was changed: goes into the bundle's lineage.
    pub quantisation: Quantisation,
    /// Weights that were left as they are although an operator above would take them, and why.
    pub left: Vec<(String, String)>,
}

/// An operator whose weights are quantised.
struct Quantisable {
    domain: &'static str,
    op_type: &'static str,
    /// Which input is the weight.
    input: usize,
    /// The axis of the output channels, from attributes and rank.
    axis: fn(Attrs<'_>, usize) -> Option<usize>,
}

const fn row(
    domain: &'static str,
    op_type: &'static str,
    input: usize,
    axis: fn(Attrs<'_>, usize) -> Option<usize>,
) -> Quantisable {
    Quantisable {
        domain,
        op_type,
        input,
        axis,
    }
}

const OPERATORS: &[Quantisable] = &[
    row("", "Conv", 1, |_, rank| (rank > 2).then_some(0)),
    row("com.microsoft", "FusedConv", 1, |_, rank| (rank > 2).then_some(0)),
    row("", "ConvTranspose", 1, |_, rank| (rank > 2).then_some(1)),
    row("", "Gemm", 1, gemm_axis),
    row("com.microsoft", "FusedGemm", 1, gemm_axis),
    // With more than two axes a scale per column would be shared by all matrices of the batch.
    row("", "MatMul", 1, |_, rank| (rank == 2).then_some(1)),
    row("", "Gather", 0, gather_axis),
];

fn gemm_axis(attrs: Attrs<'_>, rank: usize) -> Option<usize> {
    let transposed = attrs.int_or("transB", 0).ok()? != 0;
    (rank == 2).then_some(usize::from(!transposed))
}

/// Rows of an embedding are looked up along axis 0, and each has its own scale.
fn gather_axis(attrs: Attrs<'_>, rank: usize) -> Option<usize> {
    (rank == 2 && attrs.int_or("axis", 0).ok()? == 0).then_some(0)
}

/// The opset from which `DequantizeLinear` has an `axis`.
const DEQUANTISE_OPSET: u16 = 13;
const SCHEME: &str = "weights int8, symmetric, one scale per output channel";

/// Replaces constant binary32 weights by int8 ones with a `DequantizeLinear` behind them.
///
/// # Errors
/// [`CompileError::Manifest`] if a name in `skip` fits nothing; [`CompileError::Core`] if the graph does not check.
pub fn quantise(graph: &mut Graph, options: &QuantiseOptions) -> Result<QuantiseReport, CompileError> {
    let names = || {
        graph
            .nodes
            .iter()
            .map(|n| &n.name)
            .chain(graph.values.iter().map(|v| &v.name))
    };
    if let Some(unknown) = options
        .skip
        .iter()
        .find(|skip| !names().any(|name| name == *skip))
    {
        let why = "no node and no weight has this name; `sanderling inspect` lists them".to_owned();
        return Err(CompileError::Manifest {
            at: format!("quantise.skip '{unknown}'"),
            why,
        });
    }
    let quantisation = Quantisation {
        scheme: SCHEME.into(),
        layers: Vec::new(),
    };
    let mut report = QuantiseReport {
        quantisation,
        left: Vec::new(),
    };
    let mut done: Vec<(ValueId, usize, ValueId)> = Vec::new();
    for index in 0..graph.nodes.len() {
        let Some((slot, weight, axis)) = candidate(graph, &graph.nodes[index], options) else {
            continue;
        };
        if let Some((_, _, made)) = done.iter().find(|(w, a, _)| *w == weight && *a == axis) {
            graph.nodes[index].inputs[slot] = Some(*made);
            continue;
        }
        let value = graph.value(weight).clone();
        match value.constant.as_ref().map(|tensor| Int8::from_f32(tensor, axis)) {
            Some(Ok(int8)) => {
                report.quantisation.layers.push(int8.report(&value.name));
                let made = insert(graph, &value.name, &int8, axis);
                graph.nodes[index].inputs[slot] = Some(made);
                done.push((weight, axis, made));
            }
            Some(Err(why)) => report.left.push((value.name.clone(), why)),
            None => {}
        }
    }
    graph.check()?;
    graph.compact();
    Ok(report)
}

/// The weight of a node that is to be quantised: input slot, value, axis.
fn candidate(graph: &Graph, node: &Node, options: &QuantiseOptions) -> Option<(usize, ValueId, usize)> {
    let operator = OPERATORS
        .iter()
        .find(|operator| node.domain == operator.domain && node.op_type == operator.op_type)?;
    let weight = node.inputs.get(operator.input).copied().flatten()?;
    let tensor = graph.constant(weight).filter(|t| t.dtype() == DType::F32)?;
    let axis = (operator.axis)(Attrs::of_graph(&node.attributes), tensor.shape().len())?;
    let skipped = options
        .skip
        .iter()
        .any(|name| *name == node.name || *name == graph.value(weight).name);
    let large = tensor.view().len() >= options.min_elements;
    (large && !skipped).then_some((operator.input, weight, axis))
}

/// Adds the int8 constant, its scales and the node; gives the node's output.
fn insert(graph: &mut Graph, name: &str, int8: &Int8, axis: usize) -> ValueId {
    let weight = graph.add_constant(format!("{name}.int8"), int8.weight.clone());
    let scales = graph.add_constant(format!("{name}.scale"), int8.scales.clone());
    let ty = Some(TensorType::fixed(DType::F32, int8.weight.shape()));
    let output = graph.add_value(Value {
        name: format!("{name}.float"),
        ty,
        constant: None,
    });
    graph.nodes.push(Node {
        name: format!("{name}.dequantize"),
        domain: String::new(),
        op_type: "DequantizeLinear".into(),
        opset: DEQUANTISE_OPSET,
        // Without a zero point it is 0.
        inputs: vec![Some(weight), Some(scales)],
        outputs: vec![Some(output)],
        attributes: vec![("axis".into(), Attribute::Int(axis as i64))],
    });
    output
}

/// A weight tensor in int8, and how far it is from the original.
struct Int8 {
    weight: Tensor,
    scales: Tensor,
    max_error: f64,
    signal: f64,
    noise: f64,
}

impl Int8 {
    /// Quantises along `axis`.
    fn from_f32(tensor: &Tensor, axis: usize) -> Result<Self, String> {
        let words = |error: sanderling_core::OpError| error.to_string();
        let view = tensor.view();
        let weights = view.as_slice::<f32>().map_err(words)?;
        if let Some(odd) = weights.iter().find(|w| !w.is_finite()) {
            return Err(format!("it holds {odd}"));
        }
        let channels = tensor.shape()[axis];
        let inner: usize = tensor.shape()[axis + 1..].iter().product();
        let channel_of = |i: usize| i / inner % channels;
        let mut largest = vec![0f32; channels];
        for (i, w) in weights.iter().enumerate() {
            let max = &mut largest[channel_of(i)];
            *max = max.max(w.abs());
        }
        // A channel of zeros (or of subnormals) takes the smallest normal scale: products stay normal numbers.
        let scales: Vec<f32> = largest
            .iter()
            .map(|max| (max / 127.0).max(f32::MIN_POSITIVE))
            .collect();
        let (mut max_error, mut signal, mut noise) = (0f64, 0f64, 0f64);
        let mut quantised = Vec::with_capacity(weights.len());
        for (i, &w) in weights.iter().enumerate() {
            let scale = scales[channel_of(i)];
            let q = (w / scale).round_ties_even().clamp(-127.0, 127.0);
            let error = f64::from(w) - f64::from(q * scale);
            max_error = max_error.max(error.abs());
            signal += f64::from(w) * f64::from(w);
            noise += error * error;
            quantised.push(q as i8);
        }
        Ok(Self {
            weight: Tensor::from_slice(tensor.shape(), &quantised).map_err(words)?,
            scales: Tensor::from_slice(&[channels], &scales).map_err(words)?,
            max_error,
            signal,
            noise,
        })
    }

    fn report(&self, name: &str) -> QuantisedLayer {
        // Exact weights (all zero, all whole steps) have no noise; 200 dB is beyond binary32. By libm, so that the
        // report, which is part of the bundle, is the same on any host.
        let sqnr_db = if self.noise > 0.0 {
            10.0 * libm::log10(self.signal / self.noise)
        } else {
            200.0
        };
        QuantisedLayer {
            name: name.to_owned(),
            max_error: self.max_error as f32,
            sqnr_db: sqnr_db as f32,
            bytes_before: 4 * self.weight.bytes().len() as u64,
            bytes_after: (self.weight.bytes().len() + self.scales.bytes().len()) as u64,
        }
    }
}

#[cfg(test)]
mod tests;
