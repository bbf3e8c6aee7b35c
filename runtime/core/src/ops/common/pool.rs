//! Pooling: a window that takes the greatest or the mean of what it sees.

use super::conv::runs;
use super::dtypes::{FLOATS, input_of, with_dtype};
use super::gather::advance;
use super::number::{Float, Number};
use super::widen::through_f32;
use super::window::{Axis, Window, spatial};
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, TensorType};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// The output's shape: [N, C, windows…].
///
/// # Errors
/// As [`Window::new`] and [`Window::axis`].
pub fn output_shape(cx: &InferCx<'_>, x: &TensorType) -> Result<Vec<Dim>, OpError> {
    let sizes = spatial(&x.shape)?;
    let mut shape = x.shape[..2].to_vec();
    shape.extend(Window::new(cx.attrs(), sizes.len(), None)?.output_dims(sizes)?);
    Ok(shape)
}

/// The output's shape where the window is all of the image: [N, C, 1…].
///
/// # Errors
/// [`OpError::Shape`] below rank 2.
pub fn global_shape(x: &TensorType) -> Result<Vec<Dim>, OpError> {
    let sizes = spatial(&x.shape)?.len();
    let mut shape = x.shape[..2].to_vec();
    shape.extend(core::iter::repeat_n(Dim::Fixed(1), sizes));
    Ok(shape)
}

/// Calls `f(output, input)` for each element that each window sees: kernel elements in row-major order, all
/// windows for each.
fn for_each_pair(axes: &[Axis], mut f: impl FnMut(usize, usize)) {
    let taps: usize = axes.iter().map(|axis| axis.kernel).product();
    let stride = axes.last().map_or(1, |axis| axis.stride);
    let mut k = alloc::vec![0usize; axes.len()];
    for _ in 0..taps {
        runs(axes, &k, |window, image, len| {
            (0..len).for_each(|i| f(window + i, image + i * stride))
        });
        advance(&mut k, |i| axes[i].kernel);
    }
}

fn planes(axes: &[Axis]) -> (usize, usize) {
    let image = axes.iter().map(|axis| axis.input).product();
    (image, axes.iter().map(|axis| axis.output).product())
}

/// The greatest of each window, the first of equals, and where it is in `x`. A window of padding alone gives the
/// least value and −1.
pub fn max<T: Number>(axes: &[Axis], x: &[T], out: &mut [T], places: &mut [i64]) {
    let (image, window) = planes(axes);
    out.fill(T::LEAST);
    places.fill(-1);
    if window == 0 {
        return;
    }
    let rows = out.chunks_exact_mut(window).zip(places.chunks_exact_mut(window));
    for (plane, (out, places)) in rows.enumerate() {
        let base = plane * image;
        for_each_pair(axes, |o, i| {
            if x[base + i] > out[o] || places[o] < 0 {
                out[o] = x[base + i];
                places[o] = (base + i) as i64;
            }
        });
    }
}

/// The mean of each window. Padding counts as zeros where `include_pad`, else not at all.
pub fn average<T: Number>(axes: &[Axis], include_pad: bool, x: &[T], out: &mut [T]) {
    let (image, window) = planes(axes);
    if window == 0 {
        return;
    }
    let counts = window_counts(axes, include_pad);
    out.fill(T::ZERO);
    for (plane, out) in out.chunks_exact_mut(window).enumerate() {
        let x = &x[plane * image..][..image];
        for_each_pair(axes, |o, i| out[o] = out[o].plus(x[i]));
        out.iter_mut()
            .zip(&counts)
            .for_each(|(o, &n)| *o = o.over(T::from_f64(n as f64)));
    }
}

/// How many elements each window counts.
fn window_counts(axes: &[Axis], include_pad: bool) -> Vec<usize> {
    let along = |axis: &Axis| -> Vec<usize> {
        let counts = |o: usize| {
            (0..axis.kernel)
                .filter(|&k| {
                    // Inside of input and pads; a partial last window reaches further than both.
                    let at = (o * axis.stride + k * axis.dilation) as i64;
                    let padded = at < axis.input as i64 + axis.pad_begin + axis.pad_end;
                    if include_pad {
                        padded
                    } else {
                        axis.source(o, k).is_some()
                    }
                })
                .count()
        };
        (0..axis.output).map(counts).collect()
    };
    axes.iter().fold(alloc::vec![1], |product, axis| {
        let along = along(axis);
        product
            .iter()
            .flat_map(|p| along.iter().map(move |n| p * n))
            .collect()
    })
}

/// What is taken of a whole channel. Wrapped in [`Global`] it is an [`Operator`].
pub trait Whole: Sync {
    /// ONNX name.
    const NAME: &'static str;
    /// Of all elements of a channel, in row-major order.
    fn of<F: Float>(x: &[F]) -> F;
}

/// A [`Whole`] as an operator.
pub struct Global<T>(pub T);

impl<T: Whole> Operator for Global<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        super::since(1)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, FLOATS)?;
        let shape = global_shape(ty)?;
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        through_f32(cx, |cx| {
            let input = cx.input(0)?;
            let plane: usize = spatial(input.shape())?.iter().product();
            let mut out = cx.output()?;
            with_dtype!(floats, input.dtype(), F => {
                let (x, out) = (input.as_slice::<F>()?, out.as_mut_slice::<F>()?);
                if plane == 0 {
                    out.fill(T::of::<F>(&[]));
                    return Ok(());
                }
                out.iter_mut().zip(x.chunks_exact(plane)).for_each(|(o, x)| *o = T::of(x));
                Ok(())
            })
        })
    }
}
