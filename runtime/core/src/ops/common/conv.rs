//! Convolution and its transpose, over any number of spatial axes, with groups.
//!
//! The loops stand as output channel, input channel, kernel element, rows of the output: for each output the
//! products are added in row-major order of (input channel, kernel), starting from the bias. One pass of the
//! innermost loop is a row times one weight, so that memory is read in order.
//!
//! The transpose is the same walk with the image's and the window's side exchanged.

use super::gather::advance;
use super::number::Number;
use super::window::{Axis, Window, spatial};
use crate::attr::Attrs;
use crate::error::OpError;
use crate::shape::{Dim, TensorType};
use alloc::format;
use alloc::vec::Vec;

/// A convolution's sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Geometry {
    /// N.
    pub batch: usize,
    /// Groups; channels of different groups do not meet.
    pub groups: usize,
    /// Input channels of one group.
    pub group_inputs: usize,
    /// Output channels of one group.
    pub group_outputs: usize,
    /// Spatial axes. Of a transposed convolution: those of the convolution it transposes, whose input is here
    /// the output.
    pub axes: Vec<Axis>,
}

impl Geometry {
    /// Of a convolution of `x` [N, C, spatial…] with weights `w` [M, C ÷ group, kernel…].
    ///
    /// # Errors
    /// [`OpError::Shape`], [`OpError::Attribute`] where shapes, groups or the window do not fit.
    pub fn new(attrs: Attrs<'_>, x: &[usize], w: &[usize]) -> Result<Self, OpError> {
        let groups = groups(attrs)?;
        let (sizes, kernel) = (spatial(x)?, spatial(w)?);
        if x.len() != w.len() || w[1] * groups != x[1] || !w[0].is_multiple_of(groups) {
            return Err(OpError::shape(format!(
                "an input of shape {x:?} does not fit weights of shape {w:?} (groups: {groups})"
            )));
        }
        Ok(Self {
            batch: x[0],
            groups,
            group_inputs: w[1],
            group_outputs: w[0] / groups,
            axes: Window::new(attrs, sizes.len(), Some(kernel))?.axes(sizes)?,
        })
    }

    /// Of a transposed convolution of `x` [N, C, spatial…] with weights `w` [C, M ÷ group, kernel…].
    ///
    /// # Errors
    /// As [`Geometry::new`].
    pub fn transposed(attrs: Attrs<'_>, x: &[usize], w: &[usize]) -> Result<Self, OpError> {
        let groups = groups(attrs)?;
        let (sizes, kernel) = (spatial(x)?, spatial(w)?);
        if x.len() != w.len() || w[0] != x[1] || !w[0].is_multiple_of(groups) {
            return Err(OpError::shape(format!(
                "an input of shape {x:?} does not fit transposed weights of shape {w:?} (groups: {groups})"
            )));
        }
        Ok(Self {
            batch: x[0],
            groups,
            group_inputs: w[0] / groups,
            group_outputs: w[1],
            axes: transposed_axes(attrs, sizes, kernel)?,
        })
    }

    /// Kernel elements of one pair of channels.
    #[must_use]
    pub fn kernel_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.kernel).product()
    }

    /// Elements of one channel on the image's side (a convolution's input).
    #[must_use]
    pub fn image_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.input).product()
    }

    /// Elements of one channel on the window's side (a convolution's output).
    #[must_use]
    pub fn window_len(&self) -> usize {
        self.axes.iter().map(|axis| axis.output).product()
    }

    /// Multiplications of one run.
    #[must_use]
    pub fn macs(&self) -> u64 {
        let per_output = (self.group_inputs * self.kernel_len()) as u64;
        per_output * (self.batch * self.groups * self.group_outputs * self.window_len()) as u64
    }

    /// Axes for the walk: a kernel of one element that moves by one sees the image as one long row; an axis of
    /// one element would make rows of one element.
    fn walked_axes(&self) -> Vec<Axis> {
        let plain = |a: &Axis| a.kernel == 1 && a.stride == 1 && a.pad_begin == 0 && a.input == a.output;
        if !self.axes.iter().all(plain) {
            let long = self.axes.iter().filter(|a| !plain(a) || a.input > 1);
            return long.cloned().collect();
        }
        let len = self.image_len();
        alloc::vec![Axis {
            input: len,
            output: len,
            kernel: 1,
            stride: 1,
            dilation: 1,
            pad_begin: 0,
            pad_end: 0
        }]
    }
}

/// The attribute `group`.
///
/// # Errors
/// [`OpError::Attribute`] below 1.
pub fn groups(attrs: Attrs<'_>) -> Result<usize, OpError> {
    let group = attrs.int_or("group", 1)?;
    usize::try_from(group)
        .ok()
        .filter(|&n| n > 0)
        .ok_or_else(|| OpError::attribute("group", format!("is {group}, it must be from 1 on")))
}

fn transposed_axes(attrs: Attrs<'_>, sizes: &[usize], kernel: &[usize]) -> Result<Vec<Axis>, OpError> {
    use super::window::AutoPad;
    let rank = sizes.len();
    let window = Window::new(attrs, rank, Some(kernel))?;
    let list = |name: &str| match attrs.ints(name)? {
        Some(list) if list.len() == rank && list.iter().all(|n| (0..1 << 31).contains(&n)) => {
            Ok(Some(list.to_vec()))
        }
        Some(list) => {
            let message = format!("is {:?}, it takes {rank} sizes", list.to_vec());
            Err(OpError::attribute(name, message))
        }
        None => Ok(None),
    };
    let extra = list("output_padding")?.unwrap_or_else(|| alloc::vec![0; rank]);
    let wanted = list("output_shape")?;
    (0..rank)
        .map(|i| {
            let (size, stride) = (sizes[i] as i64, window.strides[i] as i64);
            let extent = window.extent(i);
            let full = stride * (size - 1) + extra[i] + extent;
            let split = |output: i64| {
                let total = (full - output).max(0);
                let (less, more) = (total / 2, total - total / 2);
                let upper = window.auto_pad == AutoPad::SameUpper;
                if upper {
                    (less, more, output)
                } else {
                    (more, less, output)
                }
            };
            let (begin, end, output) = match (&wanted, window.auto_pad) {
                (Some(wanted), _) => split(wanted[i]),
                (None, AutoPad::SameUpper | AutoPad::SameLower) => split(size * stride),
                _ => {
                    let (begin, end) = (window.pads_begin[i], window.pads_end[i]);
                    (begin, end, full - begin - end)
                }
            };
            let output = usize::try_from(output)
                .map_err(|_| OpError::shape(format!("pads {begin} and {end} leave nothing of axis {i}")))?;
            Ok(Axis {
                input: output,
                output: sizes[i],
                kernel: window.kernel[i],
                stride: window.strides[i],
                dilation: window.dilations[i],
                pad_begin: begin,
                pad_end: end,
            })
        })
        .collect()
}

/// The output's shape, from types that may hold names.
///
/// # Errors
/// As [`Geometry::new`].
pub fn output_shape(attrs: Attrs<'_>, x: &TensorType, w: &TensorType) -> Result<Vec<Dim>, OpError> {
    let sizes = spatial(&x.shape)?;
    if let (Some(x), Some(w)) = (x.concrete(), w.concrete()) {
        let geometry = Geometry::new(attrs, &x, &w)?;
        let mut shape = alloc::vec![Dim::from(x[0]), Dim::from(w[0])];
        shape.extend(geometry.axes.iter().map(|axis| Dim::from(axis.output)));
        return Ok(shape);
    }
    let kernel = TensorType {
        dtype: w.dtype,
        shape: spatial(&w.shape)?.to_vec(),
    };
    let channels = super::dims::mul(&w.shape[1], &Dim::from(groups(attrs)?));
    super::dims::unify(&x.shape[1], &channels, "input channels and those of the weights")?;
    let mut shape = alloc::vec![x.shape[0].clone(), w.shape[0].clone()];
    match kernel.concrete() {
        Some(kernel) => shape.extend(Window::new(attrs, sizes.len(), Some(&kernel))?.output_dims(sizes)?),
        None => shape.extend(sizes.iter().map(|_| Dim::Unknown)),
    }
    Ok(shape)
}

/// As [`output_shape`], transposed.
///
/// # Errors
/// As [`Geometry::transposed`].
pub fn transposed_shape(attrs: Attrs<'_>, x: &TensorType, w: &TensorType) -> Result<Vec<Dim>, OpError> {
    let sizes = spatial(&x.shape)?;
    spatial(&w.shape)?;
    let channels = super::dims::mul(&w.shape[1], &Dim::from(groups(attrs)?));
    let mut shape = alloc::vec![x.shape[0].clone(), channels];
    let one_size = |i: usize| -> Result<Dim, OpError> {
        let (Some(size), Some(kernel)) = (x.shape[i + 2].fixed(), w.concrete()) else {
            return Ok(Dim::Unknown);
        };
        // Each axis is computed by itself; unknown neighbours are taken to be of size 1 meanwhile.
        let mut all = alloc::vec![1; sizes.len()];
        all[i] = usize::try_from(size).map_err(|_| OpError::shape("a size is negative"))?;
        Ok(Dim::from(
            transposed_axes(attrs, &all, spatial(&kernel)?)?[i].input,
        ))
    };
    match (x.concrete(), w.concrete()) {
        (Some(x), Some(w)) => {
            let geometry = Geometry::transposed(attrs, &x, &w)?;
            shape.extend(geometry.axes.iter().map(|axis| Dim::from(axis.input)));
        }
        _ => {
            for i in 0..sizes.len() {
                shape.push(one_size(i)?);
            }
        }
    }
    Ok(shape)
}

/// Calls `f(window, image, len)` for each run in which kernel element `k` meets the image: `len` elements from
/// `window` on lie under the image's `image`, `image + stride`, … (stride of the last axis).
pub fn runs(axes: &[Axis], k: &[usize], mut f: impl FnMut(usize, usize, usize)) {
    let Some((last, outer)) = axes.split_last() else {
        return f(0, 0, 1);
    };
    let on_last = last.outputs_on_input(k[outer.len()]);
    let ranges: Vec<_> = outer
        .iter()
        .zip(k)
        .map(|(axis, &k)| axis.outputs_on_input(k))
        .collect();
    if on_last.is_empty() || ranges.iter().any(|range| range.is_empty()) {
        return;
    }
    let Some(start) = last.source(on_last.start, k[outer.len()]) else {
        return;
    };
    let mut index = alloc::vec![0usize; outer.len()];
    let rows: usize = ranges.iter().map(|range| range.len()).product();
    for _ in 0..rows {
        let (mut window, mut image) = (0, 0);
        for (i, axis) in outer.iter().enumerate() {
            let o = ranges[i].start + index[i];
            window = window * axis.output + o;
            image = image * axis.input + axis.source(o, k[i]).unwrap_or(0);
        }
        let (window, image) = (window * last.output, image * last.input);
        f(window + on_last.start, image + start, on_last.len());
        advance(&mut index, |i| ranges[i].len());
    }
}

/// Convolves `x` with `w` into `out`.
pub fn convolve<T: Number>(geometry: &Geometry, x: &[T], w: &[T], bias: Option<&[T]>, out: &mut [T]) {
    let g = geometry;
    let axes = g.walked_axes();
    let (image, window, kernel) = (g.image_len(), g.window_len(), g.kernel_len());
    if window == 0 {
        return;
    }
    for (plane, out) in out.chunks_exact_mut(window).enumerate() {
        let channel = plane % (g.groups * g.group_outputs);
        let batch = plane / (g.groups * g.group_outputs);
        let first = (batch * g.groups + channel / g.group_outputs) * g.group_inputs;
        out.fill(bias.map_or(T::ZERO, |bias| bias[channel]));
        for c in 0..g.group_inputs {
            let x = &x[(first + c) * image..][..image];
            let w = &w[(channel * g.group_inputs + c) * kernel..][..kernel];
            for_each_tap(&axes, w, |k, weight| {
                runs(&axes, k, |at, from, len| {
                    add_row(&mut out[at..][..len], &x[from..], stride_of(&axes), weight);
                });
            });
        }
    }
}

/// Convolves `x` with `w`, transposed, into `out`.
pub fn convolve_transposed<T: Number>(
    geometry: &Geometry,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) {
    let g = geometry;
    let axes = g.walked_axes();
    let (image, window, kernel) = (g.image_len(), g.window_len(), g.kernel_len());
    if image == 0 {
        return;
    }
    for (plane, out) in out.chunks_exact_mut(image).enumerate() {
        let channel = plane % (g.groups * g.group_outputs);
        let batch = plane / (g.groups * g.group_outputs);
        let group = channel / g.group_outputs;
        out.fill(bias.map_or(T::ZERO, |bias| bias[channel]));
        for c in 0..g.group_inputs {
            let input = group * g.group_inputs + c;
            let x = &x[(batch * g.groups * g.group_inputs + input) * window..][..window];
            let w = &w[(input * g.group_outputs + channel % g.group_outputs) * kernel..][..kernel];
            for_each_tap(&axes, w, |k, weight| {
                runs(&axes, k, |from, at, len| {
                    let targets = out[at..].iter_mut().step_by(stride_of(&axes));
                    targets
                        .zip(&x[from..][..len])
                        .for_each(|(o, &x)| *o = o.plus(x.times(weight)));
                });
            });
        }
    }
}

fn stride_of(axes: &[Axis]) -> usize {
    axes.last().map_or(1, |axis| axis.stride)
}

/// Calls `f` with each index of the kernel and its weight, in row-major order.
fn for_each_tap<T: Number>(axes: &[Axis], w: &[T], mut f: impl FnMut(&[usize], T)) {
    let mut k = alloc::vec![0usize; axes.len()];
    for &weight in w {
        f(&k, weight);
        advance(&mut k, |i| axes[i].kernel);
    }
}

fn add_row<T: Number>(out: &mut [T], x: &[T], stride: usize, weight: T) {
    if stride == 1 {
        out.iter_mut()
            .zip(x)
            .for_each(|(o, &x)| *o = o.plus(x.times(weight)));
    } else {
        out.iter_mut()
            .zip(x.iter().step_by(stride))
            .for_each(|(o, &x)| *o = o.plus(x.times(weight)));
    }
}
