//! Puts per-channel scales and shifts into the weights of the node before them.
//!
//! A convolution's output channel c is linear in the weights of c, so `s_c · conv(x) + t_c` is a convolution
//! with weights `s_c · w` and bias `s_c · b + t_c`. `BatchNormalization` is such a scale and shift (Ioffe and
//! Szegedy 2015, at inference: s = γ / √(σ² + ε), t = β − s · µ), and so are `Mul`, `Div`, `Add` and `Sub` with a
//! constant that has one value per channel. Computed in binary64, rounded once.

use sanderling_core::{DType, Graph, Node, Tensor, ValueId};

use super::Context;
use super::edit::{self, Uses};
use crate::error::CompileError;

/// Scale and shift of each output channel.
struct Affine {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    let mut uses = Uses::of(graph);
    let mut changes = 0;
    let mut index = 0;
    while index < graph.nodes.len() {
        let length = graph.nodes.len();
        if fold_into_producer(graph, &mut uses, index).is_some() {
            changes += 1;
        }
        index += usize::from(graph.nodes.len() == length);
    }
    Ok(changes)
}

/// Folds the node at `index` into the node that writes its first input, if both are of the kinds described.
fn fold_into_producer(graph: &mut Graph, uses: &mut Uses, index: usize) -> Option<()> {
    let node = &graph.nodes[index];
    let candidates = ["BatchNormalization", "Mul", "Div", "Add", "Sub"];
    if !candidates.iter().any(|op| node.is(op)) {
        return None;
    }
    // `Mul` and `Add` may have the constant first.
    let data = (0..2)
        .filter_map(|i| edit::input(node, i))
        .find(|id| graph.constant(*id).is_none())?;
    let first = uses.writer(data)?;
    uses.only_reader(data)?;
    let weights = Weights::of(graph, &graph.nodes[first])?;
    let affine = scale_and_shift(graph, node, data, weights.channels)?;
    let (weight, bias) = weights.apply(graph, &affine)?;
    let name = graph.nodes[first].name.clone();
    let weight = graph.add_constant(format!("{name}.weight"), weight);
    let bias = graph.add_constant(format!("{name}.bias"), bias);
    let producer = &mut graph.nodes[first];
    producer.inputs.resize(3, None);
    producer.inputs[1] = Some(weight);
    producer.inputs[2] = Some(bias);
    // The second node gives back its data now, and the pass `dead` takes it away. Only readers of constants changed.
    let node = &mut graph.nodes[index];
    node.op_type = "Identity".into();
    node.inputs = vec![Some(data)];
    node.outputs.truncate(1);
    node.attributes.clear();
    uses.bypass(graph, index).then_some(())
}

/// Weights that a scale and a shift can be put into.
struct Weights {
    weight: ValueId,
    bias: Option<ValueId>,
    channels: usize,
    /// Elements of the weight with the same channel that follow each other, and how the channel repeats:
    /// element i belongs to channel `group(i) · per_group + i / inner % per_group`.
    inner: usize,
    per_group: usize,
    /// Elements of one group; groups follow each other.
    group_len: usize,
    /// Factor that the operator itself applies to the product, and to the bias.
    alpha: f64,
    beta: f64,
}

impl Weights {
    /// The weights of a node whose weight and bias are constant binary32 tensors that fit the operator.
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let weight = edit::input(node, 1)?;
        let bias = edit::input(node, 2);
        let tensor = graph.constant(weight).filter(|t| t.dtype() == DType::F32)?;
        let shape = tensor.shape();
        let int = |name, default| edit::attrs(node).int_or(name, default).ok();
        let (mut alpha, mut beta) = (1.0, 1.0);
        let (per_group, inner, groups) = if node.is("Conv") && shape.len() > 2 {
            (shape[0], shape[1..].iter().product(), 1)
        } else if node.is("ConvTranspose") && shape.len() > 2 {
            (
                shape[1],
                shape[2..].iter().product(),
                usize::try_from(int("group", 1)?).ok()?,
            )
        } else if node.is("Gemm") && shape.len() == 2 {
            alpha = f64::from(edit::attrs(node).float_or("alpha", 1.0).ok()?);
            beta = f64::from(edit::attrs(node).float_or("beta", 1.0).ok()?);
            if int("transB", 0)? != 0 {
                (shape[0], shape[1], 1)
            } else {
                (shape[1], 1, 1)
            }
        } else {
            return None;
        };
        let channels = per_group.checked_mul(groups)?;
        let len = tensor.view().len();
        if channels == 0 || len == 0 || !len.is_multiple_of(groups) {
            return None;
        }
        let bias_fits = |id| {
            let bias: Option<&Tensor> = graph.constant(id);
            bias.is_some_and(|b| b.dtype() == DType::F32 && per_channel(b, 1, channels).is_some())
        };
        if bias.is_some_and(|id| !bias_fits(id)) {
            return None;
        }
        Some(Self {
            weight,
            bias,
            channels,
            inner,
            per_group,
            group_len: len / groups,
            alpha,
            beta,
        })
    }

    /// Weight and bias with the scale and shift in them.
    fn apply(&self, graph: &Graph, affine: &Affine) -> Option<(Tensor, Tensor)> {
        let tensor = graph.constant(self.weight)?;
        let mut weight: Vec<f32> = tensor.view().as_slice::<f32>().ok()?.to_vec();
        for (i, w) in weight.iter_mut().enumerate() {
            let channel = i / self.group_len * self.per_group + i / self.inner % self.per_group;
            *w = (f64::from(*w) * affine.scale[channel]) as f32;
        }
        let old = match self.bias {
            Some(id) => per_channel(graph.constant(id)?, 1, self.channels)?,
            None => vec![0.0; self.channels],
        };
        if self.beta == 0.0 || self.alpha == 0.0 {
            return None;
        }
        let new = old.iter().zip(&affine.scale).zip(&affine.shift);
        let bias: Vec<f32> = new
            .map(|((b, s), t)| ((b * s * self.beta + t) / self.beta) as f32)
            .collect();
        let finite = weight.iter().chain(&bias).all(|x| x.is_finite());
        let made = (
            Tensor::from_slice(tensor.shape(), &weight).ok()?,
            Tensor::from_slice(&[bias.len()], &bias).ok()?,
        );
        finite.then_some(made)
    }
}

/// What the node does to each channel of `data`.
fn scale_and_shift(graph: &Graph, node: &Node, data: ValueId, channels: usize) -> Option<Affine> {
    if node.is("BatchNormalization") {
        return batch_norm(graph, node, channels);
    }
    let rank = graph.value(data).ty.as_ref()?.rank();
    let (a, b) = (edit::input(node, 0)?, edit::input(node, 1)?);
    let constant = graph.constant(if a == data { b } else { a })?;
    // The constant must not make the result larger than the data.
    if constant.shape().len() > rank {
        return None;
    }
    let values = per_channel(constant, rank.checked_sub(1).filter(|&r| r > 0)?, channels)?;
    let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
    let data_first = a == data;
    match node.op_type.as_str() {
        "Mul" => Some(Affine {
            scale: values,
            shift: zeros,
        }),
        "Add" => Some(Affine {
            scale: ones,
            shift: values,
        }),
        "Div" if data_first && values.iter().all(|&v| v != 0.0) => Some(Affine {
            scale: values.iter().map(|v| 1.0 / v).collect(),
            shift: zeros,
        }),
        "Sub" if data_first => Some(Affine {
            scale: ones,
            shift: values.iter().map(|v| -v).collect(),
        }),
        "Sub" => Some(Affine {
            scale: vec![-1.0; channels],
            shift: values,
        }),
        _ => None,
    }
}

fn batch_norm(graph: &Graph, node: &Node, channels: usize) -> Option<Affine> {
    let wanted = |i: usize| node.outputs.get(i).copied().flatten().is_some();
    let training = edit::attrs(node).int_or("training_mode", 0).ok()? != 0;
    // Before opset 9, `spatial` = 0 normalises each element by itself.
    let spatial = edit::attrs(node).int_or("spatial", 1).ok()? != 0;
    if training || !spatial || (1..5).any(wanted) {
        return None;
    }
    let epsilon = f64::from(edit::attrs(node).float_or("epsilon", 1e-5).ok()?);
    let values = |i| per_channel(graph.constant(edit::input(node, i)?)?, 1, channels);
    let (gamma, beta, mean, variance) = (values(1)?, values(2)?, values(3)?, values(4)?);
    let scale: Vec<f64> = gamma
        .iter()
        .zip(&variance)
        .map(|(g, v)| g / (v + epsilon).sqrt())
        .collect();
    let shift = beta
        .iter()
        .zip(&scale)
        .zip(&mean)
        .map(|((b, s), m)| b - s * m)
        .collect();
    Some(Affine { scale, shift })
}

/// The values of a binary32 constant that has one per channel, or one for all.
///
/// `axes` is how many axes the channel axis and those behind it are: the constant, broadcast from the right, may
/// have more than one element in the first of these only.
fn per_channel(constant: &Tensor, axes: usize, channels: usize) -> Option<Vec<f64>> {
    let values = constant.view().as_slice::<f32>().ok()?;
    let shape = constant.shape();
    let channel_axis = shape.len().checked_sub(axes);
    let only_channel = shape
        .iter()
        .enumerate()
        .all(|(i, &n)| n == 1 || Some(i) == channel_axis);
    match values.len() {
        1 => Some(vec![f64::from(values[0]); channels]),
        n if n == channels && only_channel => Some(values.iter().map(|&v| f64::from(v)).collect()),
        _ => None,
    }
}
