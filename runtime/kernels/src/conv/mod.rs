//! Convolution of NCHW images; one-dimensional convolution is the case of height or width 1.
//!
//! # Mental model
//!
//! One function, three ways, chosen by the shape alone:
//! - 1×1 without stride and padding *is* a matrix product: weights [out, in] times the image [in, H·W];
//! - depthwise (one input channel a group) has no reduction over channels for a product to use: each plane is a sum of
//!   shifted vectors (`window`);
//! - everything else is an *implicit* product: the right-hand panels are packed straight from the image, the im2col
//!   matrix [in·kh·kw, oh·ow] never exists ([`Image`]).
//!
//! # Numbers
//!
//! Each output is one chain of multiply-adds over (channel, row, column) of the window in ascending order, padding
//! included as zeros, then the epilogue of `gemm` (`depthwise` the same). Bound: as `gemm` with k = in/groups·kh·kw.

mod depthwise;
mod image;
#[cfg(test)]
mod tests;
mod transpose;

use alloc::vec::Vec;

use sanderling_simd::Best;

pub(crate) use image::Image;
pub use transpose::{ConvTranspose2d, conv_transpose2d};

use crate::ctx::Ctx;
use crate::error::{Error, Result, holds, product, rule};
use crate::gemm::{
    Bias, Epilogue, Lhs, MatRef, PackedA, Problem, QuantAxis, QuantData, QuantMat, Source, run, scratch_len,
};
use crate::unary::Unary;
use crate::window::{Bands, Window, out_len};

/// A convolution's shape and attributes; fields as in ONNX's Conv.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Images.
    pub batch: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Rows and columns of the window.
    pub kernel: [usize; 2],
    /// Steps of the window.
    pub strides: [usize; 2],
    /// Spacing of the window's taps.
    pub dilations: [usize; 2],
    /// Zeros above, left, below, right (ONNX's order).
    pub pads: [usize; 4],
    /// Groups; each sees its own channels only.
    pub groups: usize,
}

impl Conv2d {
    /// Rows and columns of the output; `None` if the window is larger than the padded input.
    pub fn out_hw(&self) -> Option<(usize, usize)> {
        let [top, left, bottom, right] = self.pads;
        let h = out_len(
            self.in_h,
            self.kernel[0],
            self.strides[0],
            self.dilations[0],
            (top, bottom),
            false,
        )?;
        let w = out_len(
            self.in_w,
            self.kernel[1],
            self.strides[1],
            self.dilations[1],
            (left, right),
            false,
        )?;
        Some((h, w))
    }

    /// Scratch that [`conv2d`] needs, in f32.
    pub fn scratch_len(&self, ctx: Ctx<'_>) -> usize {
        let Ok(sizes) = self.sizes() else { return 0 };
        if self.is_depthwise() {
            return Bands::new(KERNEL, self.window(&sizes))
                .map_or(0, |b| b.scratch_len().saturating_mul(ctx.threads()));
        }
        scratch_len(ctx, sizes.m, sizes.n, sizes.k)
    }

    fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.groups == self.in_channels
    }

    fn is_pointwise(&self) -> bool {
        self.kernel == [1, 1] && self.strides == [1, 1] && self.pads == [0; 4]
    }

    /// The window over a plane. A plane of width 1 is turned into one row, whose outputs then lie side by side; the
    /// order of the taps stays.
    fn window(&self, sizes: &Sizes) -> Window {
        let window = Window {
            in_h: self.in_h,
            in_w: self.in_w,
            out_h: sizes.out_h,
            out_w: sizes.out_w,
            kernel: self.kernel,
            strides: self.strides,
            dilations: self.dilations,
            pads: [self.pads[0], self.pads[1]],
        };
        let column = self.in_w == 1 && sizes.out_w == 1 && self.kernel[1] == 1 && self.pads[1] == 0;
        if column { window.turned() } else { window }
    }

    /// Checks the attributes and multiplies the dimensions out.
    fn sizes(&self) -> Result<Sizes> {
        let groups = self.groups;
        rule(KERNEL, groups > 0, "groups must be at least 1")?;
        rule(
            KERNEL,
            self.in_channels.is_multiple_of(groups),
            "groups must divide the input channels",
        )?;
        rule(
            KERNEL,
            self.out_channels.is_multiple_of(groups),
            "groups must divide the output channels",
        )?;
        let (out_h, out_w) = self.out_hw().ok_or(Error::Mismatch {
            kernel: KERNEL,
            rule: "the window must fit the padded input, with kernel, strides and dilations of at least 1",
        })?;
        let [kh, kw] = self.kernel;
        let plane = product(KERNEL, &[self.in_h, self.in_w])?;
        rule(
            KERNEL,
            u32::try_from(plane).is_ok(),
            "a plane may have 2^32 - 1 elements at most",
        )?;
        let k = product(KERNEL, &[self.in_channels / groups, kh, kw])?;
        Ok(Sizes {
            out_h,
            out_w,
            m: self.out_channels / groups,
            n: product(KERNEL, &[out_h, out_w])?,
            k,
            plane,
            input: product(KERNEL, &[self.batch, self.in_channels, plane])?,
            output: product(KERNEL, &[self.batch, self.out_channels, out_h, out_w])?,
            weights: product(KERNEL, &[self.out_channels, k])?,
        })
    }
}

const KERNEL: &str = "conv2d";

/// A convolution's dimensions, multiplied out without overflow.
struct Sizes {
    out_h: usize,
    out_w: usize,
    /// Output channels of a group.
    m: usize,
    /// Output positions.
    n: usize,
    /// Weights of an output channel.
    k: usize,
    /// Elements of an input plane.
    plane: usize,
    input: usize,
    output: usize,
    weights: usize,
}

/// Weights packed once for one instruction set.
#[derive(Clone, Debug)]
pub struct PackedConv {
    shape: [usize; 5],
    weights: Weights,
}

#[derive(Clone, Debug)]
enum Weights {
    /// One operand a group.
    Groups(Vec<PackedA>),
    /// Depthwise weights are used as they are.
    Depthwise(Vec<f32>),
}

/// What weights depend on: everything but batch, image size, strides, dilations and padding.
fn weight_shape(conv: &Conv2d) -> [usize; 5] {
    [
        conv.out_channels,
        conv.in_channels,
        conv.kernel[0],
        conv.kernel[1],
        conv.groups,
    ]
}

impl PackedConv {
    /// Packs f32 weights [out, in/groups, kh, kw]. They serve any batch, image size, stride, dilation and padding.
    ///
    /// # Errors
    /// Weights that are too short, attributes that contradict each other.
    pub fn new(isa: Best, conv: &Conv2d, weights: &[f32]) -> Result<Self> {
        let (m, k) = weight_sizes(conv, weights.len())?;
        let packed = if conv.is_depthwise() {
            Weights::Depthwise(weights[..conv.out_channels * k].to_vec())
        } else {
            let group = |g: usize| PackedA::new(isa, MatRef::row_major(&weights[g * m * k..][..m * k], m, k));
            Weights::Groups((0..conv.groups).map(group).collect::<Result<_>>()?)
        };
        Ok(PackedConv {
            shape: weight_shape(conv),
            weights: packed,
        })
    }

    /// Packs 8-bit weights with one scale (and zero point) for all or one for each output channel.
    ///
    /// They stay 8 bit in memory; depthwise weights, which are few, are expanded here.
    ///
    /// # Errors
    /// As [`Self::new`]; scales or zero points that are neither one nor one a channel.
    pub fn from_int8(
        isa: Best,
        conv: &Conv2d,
        weights: QuantData<'_>,
        scales: &[f32],
        zero_points: &[i32],
    ) -> Result<Self> {
        let (m, k) = weight_sizes(conv, weights.len())?;
        let fits = |n: usize| n == 1 || n == conv.out_channels;
        rule(
            KERNEL,
            fits(scales.len()),
            "scales: one, or one for each output channel",
        )?;
        let zeros = zero_points.len();
        rule(
            KERNEL,
            zeros == 0 || fits(zeros),
            "zero points: none, one, or one for each output channel",
        )?;
        if conv.is_depthwise() {
            let value = |i: usize| {
                let zero = if zeros == 0 {
                    0
                } else {
                    zero_points[if zeros == 1 { 0 } else { i / k }]
                };
                let scale = scales[if scales.len() == 1 { 0 } else { i / k }];
                (i32::from(weights.get(i)) + weights.shift() - zero) as f32 * scale
            };
            let expanded = (0..conv.out_channels * k).map(value).collect();
            return Ok(PackedConv {
                shape: weight_shape(conv),
                weights: Weights::Depthwise(expanded),
            });
        }
        let part = |all: usize, g: usize| if all <= 1 { 0..all } else { g * m..(g + 1) * m };
        let group = |g: usize| {
            let span = g * m * k..(g + 1) * m * k;
            let data = match weights {
                QuantData::I8(q) => QuantData::I8(&q[span]),
                QuantData::U8(q) => QuantData::U8(&q[span]),
            };
            // One channel a group leaves one scale either way.
            PackedA::from_int8(
                isa,
                &QuantMat {
                    data,
                    rows: m,
                    cols: k,
                    row_stride: k,
                    col_stride: 1,
                    scales: &scales[part(scales.len(), g)],
                    zero_points: &zero_points[part(zeros, g)],
                    axis: QuantAxis::Row,
                },
            )
        };
        let groups = (0..conv.groups).map(group).collect::<Result<_>>()?;
        Ok(PackedConv {
            shape: weight_shape(conv),
            weights: Weights::Groups(groups),
        })
    }

    /// Bytes that it holds.
    pub fn bytes(&self) -> usize {
        match &self.weights {
            Weights::Groups(groups) => groups.iter().map(PackedA::bytes).sum(),
            Weights::Depthwise(weights) => weights.len() * 4,
        }
    }
}

/// Output channels of a group and weights of a channel, checked against the number of weights.
fn weight_sizes(conv: &Conv2d, len: usize) -> Result<(usize, usize)> {
    let groups = conv.groups;
    let divides =
        groups > 0 && conv.in_channels.is_multiple_of(groups) && conv.out_channels.is_multiple_of(groups);
    rule(
        KERNEL,
        divides,
        "groups must divide the input and output channels",
    )?;
    let k = product(
        KERNEL,
        &[conv.in_channels / groups, conv.kernel[0], conv.kernel[1]],
    )?;
    holds(KERNEL, "weights", product(KERNEL, &[conv.out_channels, k])?, len)?;
    Ok((conv.out_channels / groups, k))
}

/// A convolution's weights.
#[derive(Clone, Copy, Debug)]
pub enum ConvWeights<'a> {
    /// [out, in/groups, kh, kw] as they lie in memory.
    Plain(&'a [f32]),
    /// Packed before.
    Packed(&'a PackedConv),
}

/// `y = act(conv(x, weights) + bias + residual)`: x [batch, in, H, W], y and residual [batch, out, oh, ow].
///
/// # Errors
/// Slices that are too short, attributes or weights that contradict the shape.
pub fn conv2d(
    ctx: Ctx<'_>,
    conv: &Conv2d,
    x: &[f32],
    weights: ConvWeights<'_>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    act: Option<Unary>,
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let sizes = conv.sizes()?;
    holds(KERNEL, "x", sizes.input, x.len())?;
    holds(KERNEL, "y", sizes.output, y.len())?;
    holds(
        KERNEL,
        "bias",
        conv.out_channels,
        bias.map_or(conv.out_channels, <[f32]>::len),
    )?;
    holds(
        KERNEL,
        "residual",
        sizes.output,
        residual.map_or(sizes.output, <[f32]>::len),
    )?;
    match weights {
        ConvWeights::Plain(w) => holds(KERNEL, "weights", sizes.weights, w.len())?,
        ConvWeights::Packed(p) => {
            rule(
                KERNEL,
                p.shape == weight_shape(conv),
                "the weights were packed for another shape",
            )?;
        }
    }
    if sizes.output == 0 {
        return Ok(());
    }
    if conv.is_depthwise() {
        let w = match weights {
            ConvWeights::Plain(w) => w,
            ConvWeights::Packed(PackedConv {
                weights: Weights::Depthwise(w),
                ..
            }) => w,
            ConvWeights::Packed(_) => return rule(KERNEL, false, "depthwise weights were expected"),
        };
        return depthwise::run(
            ctx,
            conv,
            &conv.window(&sizes),
            x,
            w,
            bias,
            residual,
            act,
            y,
            scratch,
        );
    }
    for image in 0..conv.batch {
        for group in 0..conv.groups {
            one_group(
                ctx, conv, &sizes, image, group, x, weights, bias, residual, act, y, scratch,
            )?;
        }
    }
    Ok(())
}

/// The product of one image and group.
#[inline]
fn one_group(
    ctx: Ctx<'_>,
    conv: &Conv2d,
    sizes: &Sizes,
    image: usize,
    group: usize,
    x: &[f32],
    weights: ConvWeights<'_>,
    bias: Option<&[f32]>,
    residual: Option<&[f32]>,
    act: Option<Unary>,
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let Sizes { m, n, k, plane, .. } = *sizes;
    let channels = conv.in_channels / conv.groups;
    let x = &x[(image * conv.in_channels + group * channels) * plane..][..channels * plane];
    let out = (image * conv.out_channels + group * m) * n..(image * conv.out_channels + (group + 1) * m) * n;
    let epilogue = Epilogue {
        alpha: 1.0,
        bias: bias.map_or(Bias::None, |b| Bias::PerRow(&b[group * m..(group + 1) * m])),
        residual: residual.map(|r| &r[out.clone()]),
        act,
    };
    let lhs = match weights {
        ConvWeights::Plain(w) => Lhs::Plain(MatRef::row_major(&w[group * m * k..][..m * k], m, k)),
        ConvWeights::Packed(PackedConv {
            weights: Weights::Groups(groups),
            ..
        }) => Lhs::Packed(&groups[group]),
        ConvWeights::Packed(_) => return rule(KERNEL, false, "weights by group were expected"),
    };
    lhs.check(ctx.isa)?;
    let source = if conv.is_pointwise() {
        Source::Matrix(MatRef::row_major(x, channels, plane))
    } else {
        Source::Image(Image {
            x,
            window: conv.window(sizes),
        })
    };
    let y = &mut y[out];
    let problem = Problem::new(KERNEL, m, n, k, y.len(), n, &epilogue)?;
    run(ctx, &problem, lhs, &source, y, scratch)
}
