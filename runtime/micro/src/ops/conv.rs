//! Convolution of eight-bit tensors. ONNX `QLinearConv` 10. Arithmetic: docs/numerics.md.
//!
//! Two kernels. Where the kernel is one element (most of a depthwise-separable network's work) sums of four neighbours stay in
//! registers while the channels pass, and the input's zero point is taken off once, with the sum of the weights. Elsewhere a row's
//! sums pass over the stack in runs, each weight read once a run, so that its zero point and the padding cost nothing inside.

use super::Operator;
use super::window::{Axis, axes};
use crate::error::Fault;
use crate::node::{Node, Operand, Quantisation};
use crate::rounding::Rounding;
use crate::tensor::{Byte, Signed, Tensor, Unsigned, read};
use sanderling_flat::DType;
use sanderling_flat::requantise::{Multiplier, Requantise};

const BIAS: usize = 8;
/// Sums of a row that are held at one time.
const RUN: usize = 16;
/// Sums that fit into registers beside what they are made of.
const TILE: usize = 4;

/// ONNX `QLinearConv`.
#[must_use]
pub const fn qlinear_conv<R: Rounding>() -> Operator {
    Operator {
        domain: "",
        name: "QLinearConv",
        since: 10,
        compute: compute::<R>,
    }
}

fn compute<R: Rounding>(node: &Node<'_>, out: Option<&mut [u8]>) -> Result<(), Fault> {
    let conv = Conv::new(node)?;
    let Some(out) = out else { return Ok(()) };
    match (conv.x.signed, conv.axes.iter().all(Axis::is_plain)) {
        (false, true) => conv.pointwise::<R, Unsigned>(out),
        (true, true) => conv.pointwise::<R, Signed>(out),
        (false, false) => conv.windowed::<R, Unsigned>(out),
        (true, false) => conv.windowed::<R, Signed>(out),
    }
}

struct Conv<'x> {
    axes: [Axis; 3],
    channels: usize,
    groups: usize,
    /// Input channels of a group.
    inputs: usize,
    x: Operand<'x>,
    w: Tensor<'x>,
    w_signed: bool,
    scales: Quantisation<'x>,
    bias: Option<Tensor<'x>>,
    scale_y: f32,
    output: Requantise,
}

/// One output channel.
struct Channel<'x> {
    weights: &'x [u8],
    zero: i32,
    bias: i32,
    multiplier: Multiplier,
}

impl<'x> Conv<'x> {
    fn new(node: &Node<'x>) -> Result<Self, Fault> {
        let (x, w) = (node.operand(0)?, node.constant(3)?);
        let w_signed = w.signed(3)?;
        let (scales, y) = (node.quantisation(4)?, node.shape());
        if node.optional(5).is_some_and(|zero| zero.dtype != w.dtype) {
            return Err(Fault::Type(Some(5)));
        }
        let (scale_y, output) = node.result(6)?;
        let axes = axes(node, &x.tensor.shape, Some(&w.shape))?;
        let (channels, inputs) = (w.shape.dim(0), w.shape.dim(1));
        let groups = usize::try_from(node.int_or("group", 1)?).unwrap_or(0);
        let fits = groups > 0
            && channels.is_multiple_of(groups)
            && inputs.checked_mul(groups) == Some(x.tensor.shape.dim(1))
            && (y.dim(0), y.dim(1)) == (x.tensor.shape.dim(0), channels);
        if !fits {
            return Err(Fault::Shape("batch, channels or groups"));
        }
        scales.fit(channels, x.scale, scale_y)?;
        let bias = node.optional_constant(BIAS)?;
        if bias.is_some_and(|bias| bias.dtype != DType::I32) {
            return Err(Fault::Type(Some(BIAS)));
        }
        if bias.is_some_and(|bias| bias.shape.elements() != channels) {
            return Err(Fault::Shape("the bias has not one element a channel"));
        }
        Ok(Self {
            axes,
            channels,
            groups,
            inputs,
            x,
            w,
            w_signed,
            scales,
            bias,
            scale_y,
            output,
        })
    }

    fn channel(&self, channel: usize) -> Result<Channel<'x>, Fault> {
        let len = self.w.shape.product(1..self.w.shape.rank());
        let (scale, zero) = self.scales.of(channel);
        let weights = self.w.bytes.get(channel * len..(channel + 1) * len);
        Ok(Channel {
            weights: weights.ok_or(Fault::MissingInput(3))?,
            zero,
            bias: self.bias.and_then(|bias| bias.i32(channel)).unwrap_or(0),
            multiplier: Multiplier::of_product(self.x.scale, scale, self.scale_y)?,
        })
    }

    /// The input of the group that an output channel is in, and elements of a channel.
    fn group(&self, batch: usize, channel: usize) -> Result<(&'x [u8], usize), Fault> {
        let plane: usize = self.axes.iter().map(|axis| axis.input as usize).product();
        let first = (batch * self.groups + channel / (self.channels / self.groups)) * self.inputs;
        let bytes = self
            .x
            .tensor
            .bytes
            .get(first * plane..(first + self.inputs) * plane);
        Ok((bytes.ok_or(Fault::MissingInput(0))?, plane))
    }

    fn pointwise<R: Rounding, X: Byte>(&self, out: &mut [u8]) -> Result<(), Fault> {
        let plane: usize = self.axes.iter().map(|axis| axis.output as usize).product();
        for (i, out) in out.chunks_exact_mut(plane.max(1)).enumerate() {
            let channel = self.channel(i % self.channels)?;
            let (x, plane) = self.group(i / self.channels, i % self.channels)?;
            let weight = |&byte: &u8| read(self.w_signed, byte) - channel.zero;
            let total = channel.weights.iter().map(weight).fold(0i32, i32::wrapping_add);
            let start = channel.bias.wrapping_sub(self.x.zero.wrapping_mul(total));
            let finish = |acc| R::requantise(&self.output, acc, channel.multiplier) as u8;
            let mut tiles = out.chunks_exact_mut(TILE);
            let mut first = 0;
            for tile in &mut tiles {
                let mut sums = [start; TILE];
                for (x, w) in x.chunks_exact(plane).zip(channel.weights) {
                    let w = weight(w);
                    let Some(x) = x.get(first..).and_then(|x| x.first_chunk::<TILE>()) else {
                        break;
                    };
                    for (sum, &x) in sums.iter_mut().zip(x) {
                        *sum = sum.wrapping_add(X::read(x).wrapping_mul(w));
                    }
                }
                tile.iter_mut()
                    .zip(sums)
                    .for_each(|(out, sum)| *out = finish(sum));
                first += TILE;
            }
            for (at, out) in (first..).zip(tiles.into_remainder()) {
                let products = x.iter().skip(at).step_by(plane).zip(channel.weights);
                let products = products.map(|(&x, w)| X::read(x).wrapping_mul(weight(w)));
                *out = finish(products.fold(start, i32::wrapping_add));
            }
        }
        Ok(())
    }

    fn windowed<R: Rounding, X: Byte>(&self, out: &mut [u8]) -> Result<(), Fault> {
        let [depth, height, width] = self.axes;
        let rows = (depth.output * height.output) as usize;
        let row_len = width.output as usize;
        let mut out_rows = out.chunks_exact_mut(row_len.max(1));
        for i in 0..self.x.tensor.shape.dim(0) * self.channels {
            let channel = self.channel(i % self.channels)?;
            let (x, plane) = self.group(i / self.channels, i % self.channels)?;
            for (row, out) in (&mut out_rows).take(rows).enumerate() {
                let (od, oh) = (row as i32 / height.output, row as i32 % height.output);
                for (run, out) in out.chunks_mut(RUN).enumerate() {
                    let mut sums = [channel.bias; RUN];
                    let first = (run * RUN) as i32;
                    self.sum::<X>(
                        x,
                        plane,
                        &channel,
                        [od, oh],
                        first..first + out.len() as i32,
                        &mut sums,
                    );
                    for (out, sum) in out.iter_mut().zip(sums) {
                        *out = R::requantise(&self.output, sum, channel.multiplier) as u8;
                    }
                }
            }
        }
        Ok(())
    }

    /// Adds to the sums of a run of a row all that the kernel sees.
    fn sum<X: Byte>(
        &self,
        x: &[u8],
        plane: usize,
        channel: &Channel<'_>,
        [od, oh]: [i32; 2],
        run: core::ops::Range<i32>,
        sums: &mut [i32; RUN],
    ) {
        let [depth, height, width] = self.axes;
        let (row_len, taps) = (width.input as usize, width.kernel as usize);
        let mut weights = channel.weights.chunks_exact(taps);
        for x in x.chunks_exact(plane.max(1)) {
            for kd in 0..depth.kernel {
                let slice = depth.source(od, kd);
                for kh in 0..height.kernel {
                    let Some(weights) = weights.next() else { return };
                    let row = slice.zip(height.source(oh, kh));
                    let Some((id, ih)) = row else { continue };
                    let start = (id * height.input as usize + ih) * row_len;
                    let row = x.get(start..start + row_len).unwrap_or_default();
                    for (kw, &w) in (0..).zip(weights) {
                        let w = read(self.w_signed, w) - channel.zero;
                        let (seen, at) = width.on_input(kw, run.clone());
                        let among = (seen.start - run.start) as usize..(seen.end - run.start) as usize;
                        let sums = sums.get_mut(among).unwrap_or_default();
                        self.add::<X>(row.get(at..).unwrap_or_default(), w, sums);
                    }
                }
            }
        }
    }

    /// Adds the products of one weight with every so many elements of a row.
    fn add<X: Byte>(&self, row: &[u8], w: i32, sums: &mut [i32]) {
        let zero = self.x.zero;
        let add = |(sum, &x): (&mut i32, &u8)| *sum = sum.wrapping_add((X::read(x) - zero).wrapping_mul(w));
        match self.axes[2].stride {
            1 => sums.iter_mut().zip(row).for_each(add),
            stride => sums
                .iter_mut()
                .zip(row.iter().step_by(stride as usize))
                .for_each(add),
        }
    }
}
