//! Transposed convolution: each input element adds its weighted window to the output.
//!
//! A product makes what every (output channel, row, column) of the window contributes at every input position,
//! [chunk·kh·kw, H·W], for as many output channels at a time as fit the scratch; its rows are then added to the output
//! where they belong (col2im), in ascending order of the window's taps. Bound: as `gemm` with k = in/groups·kh·kw.

use super::{Ctx, MatRef, Result};
use crate::error::{Error, holds, product, rule};
use crate::gemm::{Epilogue, Lhs, Rhs, gemm, gemm_scratch_len};
use crate::unary::{Unary, unary_inplace};

const KERNEL: &str = "conv_transpose2d";
/// f32 of products at a time (256 KiB), as long as one channel's are not more.
const CHUNK: usize = 64 * 1024;

/// A transposed convolution's shape and attributes; fields as in ONNX's ConvTranspose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2d {
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
    /// Steps of the window over the output.
    pub strides: [usize; 2],
    /// Spacing of the window's taps.
    pub dilations: [usize; 2],
    /// Taken off the output above, left, below, right.
    pub pads: [usize; 4],
    /// Added to the output below and right.
    pub output_padding: [usize; 2],
    /// Groups; each sees its own channels only.
    pub groups: usize,
}

/// `stride·(in − 1) + output_padding + (kernel − 1)·dilation + 1 − pads`.
fn out_len(
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pads: usize,
    more: usize,
) -> Option<usize> {
    let steps = stride.checked_mul(input.checked_sub(1)?)?;
    let span = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
    steps.checked_add(span)?.checked_add(more)?.checked_sub(pads)
}

impl ConvTranspose2d {
    /// Rows and columns of the output; `None` if the padding takes more than there is.
    pub fn out_hw(&self) -> Option<(usize, usize)> {
        let [top, left, bottom, right] = self.pads;
        let along = |i: usize, input, pads| {
            out_len(
                input,
                self.kernel[i],
                self.strides[i],
                self.dilations[i],
                pads,
                self.output_padding[i],
            )
        };
        Some((
            along(0, self.in_h, top.checked_add(bottom)?)?,
            along(1, self.in_w, left.checked_add(right)?)?,
        ))
    }

    /// Output channels at a time, and the products of one channel.
    fn chunk(&self) -> Result<(usize, usize)> {
        let one = product(KERNEL, &[self.kernel[0], self.kernel[1], self.in_h, self.in_w])?;
        let channels = self.out_channels / self.groups.max(1);
        Ok(((CHUNK / one.max(1)).clamp(1, channels.max(1)), one))
    }

    /// Scratch that [`conv_transpose2d`] needs, in f32.
    pub fn scratch_len(&self, ctx: Ctx<'_>) -> usize {
        let Ok((chunk, one)) = self.chunk() else { return 0 };
        let rows = chunk * self.kernel[0] * self.kernel[1];
        let n = self.in_h * self.in_w;
        (chunk * one).saturating_add(gemm_scratch_len(
            ctx,
            rows,
            n,
            self.in_channels / self.groups.max(1),
        ))
    }
}

/// `y = act(conv_transpose(x, w) + bias)`: x [batch, in, H, W], w [in, out/groups, kh, kw], y [batch, out, oh, ow].
///
/// # Errors
/// Slices that are too short, attributes that contradict each other.
pub fn conv_transpose2d(
    ctx: Ctx<'_>,
    conv: &ConvTranspose2d,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    act: Option<Unary>,
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let ConvTranspose2d {
        batch,
        in_channels,
        out_channels,
        groups,
        kernel: [kh, kw],
        ..
    } = *conv;
    let divides = groups > 0 && in_channels.is_multiple_of(groups) && out_channels.is_multiple_of(groups);
    rule(
        KERNEL,
        divides,
        "groups must divide the input and output channels",
    )?;
    let (out_h, out_w) = conv.out_hw().ok_or(Error::Mismatch {
        kernel: KERNEL,
        rule: "padding must not take more than there is, and kernel and input must not be empty",
    })?;
    let (channels, outs) = (in_channels / groups, out_channels / groups);
    let plane = product(KERNEL, &[conv.in_h, conv.in_w])?;
    let out_plane = product(KERNEL, &[out_h, out_w])?;
    let taps = product(KERNEL, &[kh, kw])?;
    holds(
        KERNEL,
        "x",
        product(KERNEL, &[batch, in_channels, plane])?,
        x.len(),
    )?;
    holds(KERNEL, "w", product(KERNEL, &[in_channels, outs, taps])?, w.len())?;
    let output = product(KERNEL, &[batch, out_channels, out_plane])?;
    holds(KERNEL, "y", output, y.len())?;
    holds(
        KERNEL,
        "bias",
        out_channels,
        bias.map_or(out_channels, <[f32]>::len),
    )?;
    holds(KERNEL, "scratch", conv.scratch_len(ctx), scratch.len())?;
    if output == 0 {
        return Ok(());
    }
    for image in 0..batch {
        for group in 0..groups {
            let x = &x[(image * in_channels + group * channels) * plane..][..channels * plane];
            let w = &w[group * channels * outs * taps..][..channels * outs * taps];
            let bias = bias.map(|b| &b[group * outs..(group + 1) * outs]);
            let y = &mut y[(image * out_channels + group * outs) * out_plane..][..outs * out_plane];
            one_group(ctx, conv, x, w, bias, [out_h, out_w], y, scratch)?;
        }
    }
    if let Some(act) = act {
        unary_inplace(ctx, act, &mut y[..output]);
    }
    Ok(())
}

/// One image and group, in chunks of output channels: x [in/groups, H, W], y [out/groups, oh, ow].
fn one_group(
    ctx: Ctx<'_>,
    conv: &ConvTranspose2d,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    [out_h, out_w]: [usize; 2],
    y: &mut [f32],
    scratch: &mut [f32],
) -> Result<()> {
    let (channels, outs) = (conv.in_channels / conv.groups, conv.out_channels / conv.groups);
    let (plane, taps) = (conv.in_h * conv.in_w, conv.kernel[0] * conv.kernel[1]);
    let (chunk, one) = conv.chunk()?;
    let (products, scratch) = scratch.split_at_mut(chunk * one);
    for first in (0..outs).step_by(chunk) {
        let count = chunk.min(outs - first);
        // Wᵀ: one row for each (output channel, tap), one column for each input channel.
        let lhs = MatRef {
            data: &w[first * taps..],
            rows: count * taps,
            cols: channels,
            row_stride: 1,
            col_stride: outs * taps,
        };
        let rhs = Rhs::Plain(MatRef::row_major(x, channels, plane));
        gemm(
            ctx,
            Lhs::Plain(lhs),
            rhs,
            products,
            plane,
            &Epilogue::default(),
            scratch,
        )?;
        for (products, channel) in products.chunks_exact(one).zip(first..first + count) {
            let y = &mut y[channel * out_h * out_w..][..out_h * out_w];
            y.fill(bias.map_or(0.0, |b| b[channel]));
            add_windows(conv, products, [out_h, out_w], y);
        }
    }
    Ok(())
}

/// Adds one channel's products [kh, kw, H, W] to its output plane.
fn add_windows(conv: &ConvTranspose2d, products: &[f32], [out_h, out_w]: [usize; 2], y: &mut [f32]) {
    let ConvTranspose2d {
        in_h,
        in_w,
        kernel: [_, kw],
        strides: [sh, sw],
        dilations: [dh, dw],
        pads,
        ..
    } = *conv;
    for (tap, from) in products.chunks_exact(in_h * in_w).enumerate() {
        let (r, s) = (tap / kw, tap % kw);
        // The first column whose output is not cut off to the left, and the first that is cut off to the right.
        let shift = s * dw;
        let (first, last) = if sw == 0 {
            (
                0,
                if shift >= pads[1] && shift - pads[1] < out_w {
                    in_w
                } else {
                    0
                },
            )
        } else {
            (
                pads[1].saturating_sub(shift).div_ceil(sw),
                (out_w + pads[1]).saturating_sub(shift).div_ceil(sw).min(in_w),
            )
        };
        if first >= last {
            continue;
        }
        for (iy, row) in from.chunks_exact(in_w).enumerate() {
            let Some(oy) = (iy * sh + r * dh).checked_sub(pads[0]).filter(|&oy| oy < out_h) else {
                continue;
            };
            let y = &mut y[oy * out_w + first * sw + shift - pads[1]..(oy + 1) * out_w];
            for (y, v) in y.iter_mut().step_by(sw.max(1)).zip(&row[first..last]) {
                *y += v;
            }
        }
    }
}
