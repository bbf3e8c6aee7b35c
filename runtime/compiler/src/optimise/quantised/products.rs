//! Convolutions and matrix products with quantised weights: the bias in int32, the proof that sums fit, the form.

use sanderling_core::ops::common::qlinear::centred;
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_core::{DType, Graph, Tensor, ValueId};

use super::super::edit;
use super::edges::Quantised;
use super::elementwise::operand;
use super::{Lowered, MICROSOFT, Site};

/// Weights of a product, by output channel.
struct Weights {
    quantised: Quantised,
    /// Σ |w − zw| of each channel.
    magnitudes: Vec<u64>,
}

pub(super) fn conv(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    let x = operand(graph, site, 0)?;
    let weights = weights(graph, site, 1, 0)?;
    let bias = bias(graph, site, &x, &weights, 2, 1.0)?;
    let mut inputs = x.operand(graph).to_vec();
    inputs.extend(weights.quantised.operand(graph));
    inputs.extend(site.result.parameters(graph));
    inputs.extend(bias.map(|bias| Some(add_bias(graph, site, &bias))));
    Some(Lowered {
        domain: "",
        op: "QLinearConv",
        inputs,
    })
}

pub(super) fn gemm(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    let attrs = edit::attrs(&graph.nodes[site.node]);
    let columns = usize::from(attrs.int_or("transB", 0).ok()? == 0);
    let beta = attrs.float_or("beta", 1.0).ok()?;
    if attrs.float_or("alpha", 1.0).ok()? != 1.0 {
        return None;
    }
    let a = operand(graph, site, 0)?;
    let weights = weights(graph, site, 1, columns)?;
    let bias = bias(graph, site, &a, &weights, 2, f64::from(beta))?;
    let mut inputs = a.operand(graph).to_vec();
    inputs.extend(weights.quantised.operand(graph));
    inputs.push(bias.map(|bias| add_bias(graph, site, &bias)));
    inputs.extend(site.result.parameters(graph));
    Some(Lowered {
        domain: MICROSOFT,
        op: "QGemm",
        inputs,
    })
}

pub(super) fn mat_mul(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    let a = operand(graph, site, 0)?;
    let b = match matrix(graph, site, 1).and_then(|()| weights(graph, site, 1, 1)) {
        Some(weights) => {
            bias(graph, site, &a, &weights, usize::MAX, 1.0)?;
            weights.quantised
        }
        None => product_of_two(graph, site, &a)?,
    };
    let mut inputs = a.operand(graph).to_vec();
    inputs.extend(b.operand(graph));
    inputs.extend(site.result.parameters(graph));
    Some(Lowered {
        domain: "",
        op: "QLinearMatMul",
        inputs,
    })
}

/// Holds that an input has two axes: of a stack of matrices, axis 1 is not that of the columns.
fn matrix(graph: &Graph, site: &Site<'_>, index: usize) -> Option<()> {
    let input = edit::input(&graph.nodes[site.node], index)?;
    let shape = &graph.value(input).ty.as_ref()?.shape;
    (shape.len() == 2).then_some(())
}

/// A computed right operand, or a stack of matrices: the inner dimension alone must keep sums in range.
fn product_of_two(graph: &Graph, site: &Site<'_>, a: &Quantised) -> Option<Quantised> {
    let b = operand(graph, site, 1)?;
    let inner = graph.value(a.value).ty.as_ref()?.shape.last()?.fixed()?;
    let bound = largest(a)?.checked_mul(largest(&b)?)?;
    let fits = bound.checked_mul(u64::try_from(inner).ok()?)? < 1 << 31;
    Multiplier::of_product(a.single()?.0, b.single()?.0, site.result.single()?.0).ok()?;
    fits.then_some(b)
}

/// The largest |x − zero point|.
fn largest(x: &Quantised) -> Option<u64> {
    let (_, zero) = x.single()?;
    let (least, most) = match x.dtype {
        DType::U8 => (0, 255),
        _ => (-128, 127),
    };
    Some(u64::from(
        (most - zero).unsigned_abs().max((zero - least).unsigned_abs()),
    ))
}

/// Constant eight-bit weights at an input, whose output channels are along `axis`.
fn weights(graph: &Graph, site: &Site<'_>, index: usize, axis: usize) -> Option<Weights> {
    let input = edit::input(&graph.nodes[site.node], index)?;
    let mut quantised = site.edges.dequantised(graph, input)?;
    let tensor = graph.constant(quantised.value)?;
    let shape = tensor.shape();
    let rank = i64::try_from(shape.len()).ok()?;
    // A single scale under an axis (one output channel) is one for all.
    let along = quantised
        .axis
        .map(|given| if given < 0 { given + rank } else { given });
    if !quantised.is_eight_bits() || along.is_some_and(|along| along != axis as i64) || axis >= shape.len() {
        return None;
    }
    let channels = shape[axis];
    if quantised.scales.len() != 1 && quantised.scales.len() != channels {
        return None;
    }
    quantised.axis = along;
    let behind: usize = shape[axis + 1..].iter().product();
    let channel = |i: usize| i / behind % channels;
    let zero = |i: usize| quantised.zeros[if quantised.zeros.len() == 1 { 0 } else { channel(i) }];
    let mut magnitudes = vec![0u64; channels];
    for (i, value) in centred(tensor.view(), zero).ok()?.into_iter().enumerate() {
        magnitudes[channel(i)] += u64::from(value.unsigned_abs());
    }
    Some(Weights {
        quantised,
        magnitudes,
    })
}

/// The bias in units of `sx · sw`, clamped to what keeps every sum in int32; none where the node has none.
///
/// Gives nothing at all where the bytes are not defined: a multiplier that is not normal, weights whose sums alone
/// may not fit, a bias that is no constant for each channel.
fn bias(
    graph: &Graph,
    site: &Site<'_>,
    x: &Quantised,
    weights: &Weights,
    index: usize,
    factor: f64,
) -> Option<Option<Vec<i32>>> {
    let ((scale_x, _), (scale_y, _)) = (x.single()?, site.result.single()?);
    let channels = weights.magnitudes.len();
    let scales = &weights.quantised.scales;
    let scale = |channel: usize| scales[if scales.len() == 1 { 0 } else { channel }];
    let largest = largest(x)?;
    let mut limits = Vec::with_capacity(channels);
    for (channel, magnitude) in weights.magnitudes.iter().enumerate() {
        Multiplier::of_product(scale_x, scale(channel), scale_y).ok()?;
        let taken = largest.checked_mul(*magnitude)?;
        limits.push(i64::try_from((1u64 << 31).checked_sub(taken + 1)?).ok()?);
    }
    let Some(input) = edit::input(&graph.nodes[site.node], index) else {
        return Some(None);
    };
    let mut clamped = 0usize;
    let wanted = bias_in_units(graph, site, input, channels, factor, |channel| {
        (scale_x, scale(channel))
    })?;
    let bias = wanted.iter().zip(&limits).map(|(&wanted, &limit)| {
        let held = wanted.clamp(-(limit as f64), limit as f64);
        clamped += usize::from(held != wanted);
        held as i32
    });
    let bias = bias.collect();
    if clamped > 0 {
        site.cx.note(format!(
            "node '{}': the bias of {clamped} of {channels} channels is clamped so that sums fit 32 bits",
            graph.nodes[site.node].name
        ));
    }
    Some(Some(bias))
}

/// The bias as whole numbers of `sx · sw`: the integers it is stored as where they are of that unit, else rounded.
fn bias_in_units(
    graph: &Graph,
    site: &Site<'_>,
    input: ValueId,
    channels: usize,
    factor: f64,
    scales: impl Fn(usize) -> (f32, f32),
) -> Option<Vec<f64>> {
    let each = |len: usize, i: usize| if len == 1 { 0 } else { i };
    let per_channel = |len: usize| len == channels || len == 1;
    let rounded = |real: f64, channel: usize| {
        let (x, w) = scales(channel);
        libm::rint(real * factor / (f64::from(x) * f64::from(w)))
    };
    if let Some(float) = graph.constant(input) {
        let values = float.view().as_slice::<f32>().ok()?;
        // Along the last axis only: a bias that differs by row has no integer form here.
        if !per_channel(values.len()) || *float.shape().last().unwrap_or(&1) != values.len() {
            return None;
        }
        let finite = values.iter().all(|value| value.is_finite());
        let each = (0..channels).map(|c| rounded(f64::from(values[each(values.len(), c)]), c));
        return finite.then(|| each.collect());
    }
    let stored = site.edges.dequantised(graph, input)?;
    let tensor = graph.constant(stored.value)?;
    let integers: Vec<i32> = match stored.dtype {
        DType::I32 => tensor.view().as_slice::<i32>().ok()?.to_vec(),
        _ => centred(tensor.view(), |_| 0).ok()?,
    };
    if !per_channel(integers.len()) || *tensor.shape().last().unwrap_or(&1) != integers.len() {
        return None;
    }
    let value = |channel: usize| {
        let at = each(integers.len(), channel);
        let scale = stored.scales[each(stored.scales.len(), at)];
        let whole = f64::from(integers[at]) - f64::from(stored.zeros[each(stored.zeros.len(), at)]);
        let (x, w) = scales(channel);
        if scale == x * w && factor == 1.0 {
            whole
        } else {
            rounded(whole * f64::from(scale), channel)
        }
    };
    Some((0..channels).map(value).collect())
}

fn add_bias(graph: &mut Graph, site: &Site<'_>, bias: &[i32]) -> ValueId {
    let name = format!("{}.bias", graph.nodes[site.node].name);
    let tensor =
        Tensor::from_slice(&[bias.len()], bias).expect("a list has as many elements as its shape says");
    graph.add_constant(name, tensor)
}
