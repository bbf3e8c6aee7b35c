//! Convolution of eight-bit tensors over one or two axes: dense, in groups of whole words, or each channel by itself.

use super::weights::{Packing, Sizes, Weights, signed_flip};
use super::{LaunchOp, Signed, dtype, fits_words, results};
use crate::kernel::{Conv, Depthwise};
use crate::layout::{LANES, Layout};
use crate::lower::Lowering;
use crate::node::Seen;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::TensorView;
use sanderling_core::ops::common::conv::Geometry;
use sanderling_core::ops::common::qlinear::{Operand, Quantisation, operand, result};
use sanderling_core::ops::common::requantise::Multiplier;
use sanderling_core::ops::common::window::Axis;

const X: Operand = operand(0);
const W: Operand = operand(3);
const Y: Operand = result(6);
const BIAS: usize = 8;

pub(super) struct QLinearConv;

/// How the channels meet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Words,
    Depthwise,
}

fn kind(geometry: &Geometry) -> Option<Kind> {
    let whole = geometry.group_inputs.is_multiple_of(LANES) && geometry.group_outputs.is_multiple_of(LANES);
    match geometry.groups {
        1 => Some(Kind::Words),
        _ if geometry.group_inputs == 1 && geometry.group_outputs == 1 => Some(Kind::Depthwise),
        _ => whole.then_some(Kind::Words),
    }
}

/// Rows and columns; one spatial axis is a row.
fn axes(geometry: &Geometry) -> Option<[Axis; 2]> {
    let row = Axis {
        input: 1,
        output: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        pad_begin: 0,
        pad_end: 0,
    };
    match geometry.axes[..] {
        [h, w] => Some([h, w]),
        [w] => Some([row, w]),
        _ => None,
    }
}

impl LaunchOp for QLinearConv {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        let (Some(x), Some(w), Some(_)) = (seen.bytes(0), seen.bytes(3), seen.output_bytes()) else {
            return false;
        };
        let fits = Geometry::new(seen.attrs(), &x, &w)
            .ok()
            .and_then(|g| kind(&g).and(axes(&g)));
        fits.is_some_and(|axes| axes.iter().all(fits_words))
            && seen.is_known(3)
            && seen.has_single_scale(X)
            && seen.has_scale(W)
            && seen.has_single_scale(Y)
            && seen.is_known_or_absent(BIAS)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let weights = lowering.known(3).ok_or(OpError::NotConstant { index: 3 })?;
        let geometry = Geometry::new(lowering.node().attrs(), &lowering.shape(x)?, weights.shape())?;
        let (Some(kind), Some(axes)) = (kind(&geometry), axes(&geometry)) else {
            return Err(OpError::unsupported("these groups or axes of a convolution"));
        };
        let (scale_x, zero_x) = lowering.quantisation(X)?.single()?;
        let (scale_y, zero_y) = lowering.quantisation(Y)?.single()?;
        let call = Call {
            geometry: &geometry,
            axes,
            weights,
            scales: lowering
                .quantisation(W)?
                .fit(geometry.groups * geometry.group_outputs)?,
            bias: match lowering.known(BIAS) {
                Some(bias) => Some(bias.as_slice::<i32>()?.to_vec()),
                None => None,
            },
            x: Signed::new(dtype(lowering, x)?, zero_x),
            scale_x,
            scale_y,
            y: results(dtype(lowering, y)?, zero_y)?,
        };
        match kind {
            Kind::Words => call.words(lowering),
            Kind::Depthwise => call.depthwise(lowering),
        }
    }
}

/// A convolution, read.
struct Call<'a> {
    geometry: &'a Geometry,
    axes: [Axis; 2],
    weights: TensorView<'a>,
    scales: Quantisation,
    bias: Option<Vec<i32>>,
    x: Signed,
    scale_x: f32,
    scale_y: f32,
    y: [u32; 3],
}

impl Call<'_> {
    fn words(self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let g = self.geometry;
        let (kernel, inputs) = (g.kernel_len(), g.group_inputs);
        let packing = Packing {
            sizes: Sizes {
                outputs: g.group_outputs,
                inputs,
                groups: g.groups,
                kernel,
            },
            weights: self.weights,
            scales: self.scales,
            x: (self.scale_x, self.x.zero),
            y: self.scale_y,
            bias: self.bias,
        };
        let Weights {
            words,
            starts,
            zeros,
            multipliers,
        } = packing.pack(|o, i, k| (o * inputs + i) * kernel + k)?;
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let (x_layout, y_layout) = (
            Layout::channels(&lowering.shape(x)?),
            Layout::channels(&lowering.shape(y)?),
        );
        let [h, w] = self.axes;
        let params = Conv {
            x: 0,
            y: 0,
            weights: lowering.constant(words),
            starts: lowering.constant(starts),
            multipliers: lowering.constant(multipliers),
            zeros: if zeros.is_empty() {
                u32::MAX
            } else {
                lowering.constant(zeros)
            },
            batch: g.batch as u32,
            in_h: h.input as u32,
            in_w: w.input as u32,
            in_c: x_layout.packed() as u32,
            out_h: h.output as u32,
            out_w: w.output as u32,
            out_c: y_layout.packed() as u32,
            group_in: inputs.div_ceil(LANES) as u32,
            group_out: g.group_outputs.div_ceil(LANES) as u32,
            kernel_h: h.kernel as u32,
            kernel_w: w.kernel as u32,
            stride_h: h.stride as u32,
            stride_w: w.stride as u32,
            pad_h: h.pad_begin as u32,
            pad_w: w.pad_begin as u32,
            dilation_h: h.dilation as u32,
            dilation_w: w.dilation as u32,
            flip: self.x.flip,
            pad_word: u32::from_le_bytes([self.x.zero as u8; LANES]),
            y_zero: self.y[0],
            y_least: self.y[1],
            y_most: self.y[2],
        };
        let threads = g.batch * h.output * w.output.div_ceil(4) * y_layout.packed();
        let places = [lowering.operand(x, &x_layout)?, lowering.result(y, y_layout)];
        lowering.launch(threads, &places, &params);
        Ok(())
    }

    fn depthwise(self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let g = self.geometry;
        let (kernel, channels) = (g.kernel_len(), g.groups);
        let flip = signed_flip(self.weights.dtype());
        let bytes = self.weights.bytes();
        let weight = |k: usize| move |c: usize| bytes[c * kernel + k] ^ flip;
        let words: Vec<u32> = (0..kernel).flat_map(|k| by_words(channels, weight(k))).collect();
        let zeros = by_words(channels, |c| (self.scales.of(c).1 - i32::from(flip)) as u8);
        let multipliers = (0..channels)
            .map(|c| Multiplier::of_product(self.scale_x, self.scales.of(c).0, self.scale_y))
            .collect::<Result<Vec<_>, _>>()?;
        let padded = channels.next_multiple_of(LANES);
        let start = |c: usize| {
            self.bias
                .as_ref()
                .and_then(|bias| bias.get(c))
                .map_or(0, |&b| b as u32)
        };
        let multiplier = |c: usize| multipliers.get(c).map_or(1.0, |m| m.get()).to_bits();
        let (x, y) = (lowering.input(0)?, lowering.output()?);
        let (x_layout, y_layout) = (
            Layout::channels(&lowering.shape(x)?),
            Layout::channels(&lowering.shape(y)?),
        );
        let [h, w] = self.axes;
        let params = Depthwise {
            x: 0,
            y: 0,
            weights: lowering.constant(words),
            starts: lowering.constant((0..padded).map(start)),
            multipliers: lowering.constant((0..padded).map(multiplier)),
            zeros: lowering.constant(zeros),
            batch: g.batch as u32,
            in_h: h.input as u32,
            in_w: w.input as u32,
            channels: x_layout.packed() as u32,
            out_h: h.output as u32,
            out_w: w.output as u32,
            kernel_h: h.kernel as u32,
            kernel_w: w.kernel as u32,
            stride_h: h.stride as u32,
            stride_w: w.stride as u32,
            pad_h: h.pad_begin as u32,
            pad_w: w.pad_begin as u32,
            dilation_h: h.dilation as u32,
            dilation_w: w.dilation as u32,
            flip: self.x.flip,
            x_zero: self.x.zero as u32,
            y_zero: self.y[0],
            y_least: self.y[1],
            y_most: self.y[2],
        };
        let threads = y_layout.words();
        let places = [lowering.operand(x, &x_layout)?, lowering.result(y, y_layout)];
        lowering.launch(threads, &places, &params);
        Ok(())
    }
}

/// Bytes of channels as words; 0 past the last.
fn by_words(channels: usize, byte: impl Fn(usize) -> u8) -> Vec<u32> {
    let lane = |c: usize| if c < channels { byte(c) } else { 0 };
    (0..channels.div_ceil(LANES))
        .map(|word| u32::from_le_bytes(core::array::from_fn(|i| lane(word * LANES + i))))
        .collect()
}
