//! Sliding windows: kernels, strides, dilations and pads of convolutions and pooling.
//!
//! Layout is ONNX's: [N, C, spatial…], pads as [begin of each axis…, end of each axis…]. A window that a
//! specification derives from the input's size (`auto_pad`) is resolved here, so that backends see pads only.

use crate::attr::Attrs;
use crate::error::OpError;
use crate::shape::Dim;
use alloc::format;
use alloc::vec::Vec;

/// How pads come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoPad {
    /// As the attribute `pads` says.
    NotSet,
    /// As many as make the output ⌈input ÷ stride⌉; an odd one goes to the end.
    SameUpper,
    /// As many as make the output ⌈input ÷ stride⌉; an odd one goes to the beginning.
    SameLower,
    /// None.
    Valid,
}

/// The attributes of a window, before the input's size is known. One entry per spatial axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Extent, in elements of the kernel.
    pub kernel: Vec<usize>,
    /// Steps of the window.
    pub strides: Vec<usize>,
    /// Distance of the kernel's elements in the input.
    pub dilations: Vec<usize>,
    /// Explicit pads before; negative pads crop.
    pub pads_begin: Vec<i64>,
    /// Explicit pads behind.
    pub pads_end: Vec<i64>,
    /// How pads come about.
    pub auto_pad: AutoPad,
    /// Whether a last, partial window counts.
    pub ceil_mode: bool,
}

/// One spatial axis of a window over an input of known size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// Elements of the input.
    pub input: usize,
    /// Elements of the output.
    pub output: usize,
    /// Elements of the kernel.
    pub kernel: usize,
    /// Step.
    pub stride: usize,
    /// Distance of the kernel's elements.
    pub dilation: usize,
    /// Padding before the input.
    pub pad_begin: i64,
    /// Padding behind it.
    pub pad_end: i64,
}

impl Axis {
    /// The input's index under element `k` of the kernel at output `o`; none in the padding.
    #[must_use]
    pub fn source(&self, o: usize, k: usize) -> Option<usize> {
        let at = o as i64 * self.stride as i64 + k as i64 * self.dilation as i64 - self.pad_begin;
        usize::try_from(at).ok().filter(|&at| at < self.input)
    }

    /// The outputs for which element `k` of the kernel lies on the input.
    #[must_use]
    pub fn outputs_on_input(&self, k: usize) -> core::ops::Range<usize> {
        let stride = self.stride as i64;
        let shift = k as i64 * self.dilation as i64 - self.pad_begin;
        // The least o with o·stride + shift ≥ 0, and the least with o·stride + shift ≥ input.
        let reach = |bound: i64| {
            (bound - shift)
                .max(0)
                .div_ceil_signed(stride)
                .min(self.output as i64) as usize
        };
        let first = reach(0);
        first..reach(self.input as i64).max(first)
    }
}

trait DivCeil {
    fn div_ceil_signed(self, by: i64) -> i64;
}

impl DivCeil for i64 {
    /// Of numbers that are not negative.
    fn div_ceil_signed(self, by: i64) -> i64 {
        (self + by - 1) / by
    }
}

/// Largest kernel, stride, dilation and pad: keeps the arithmetic inside i64.
const LIMIT: i64 = 1 << 31;

fn sizes(attrs: Attrs<'_>, name: &str, rank: usize, default: i64) -> Result<Vec<usize>, OpError> {
    let list = match attrs.ints(name)? {
        Some(list) => list.to_vec(),
        None => alloc::vec![default; rank],
    };
    if list.len() != rank {
        let message = format!("has {} entries, the input has {rank} spatial axes", list.len());
        return Err(OpError::attribute(name, message));
    }
    list.iter()
        .map(|&n| match usize::try_from(n) {
            Ok(n @ 1..) if (n as i64) < LIMIT => Ok(n),
            _ => Err(OpError::attribute(
                name,
                format!("holds {n}, it must be from 1 on"),
            )),
        })
        .collect()
}

impl Window {
    /// From `auto_pad`, `strides`, `dilations`, `pads` and `ceil_mode`. The kernel's extent is that of the
    /// weights where there are any, else the attribute `kernel_shape`.
    ///
    /// # Errors
    /// [`OpError::Attribute`] where lists do not have one entry (`pads`: two) per spatial axis.
    pub fn new(attrs: Attrs<'_>, rank: usize, weights: Option<&[usize]>) -> Result<Self, OpError> {
        let kernel = match (attrs.ints("kernel_shape")?, weights) {
            (None, Some(kernel)) => kernel.to_vec(),
            (None, None) => return Err(OpError::attribute("kernel_shape", "is required")),
            (Some(_), _) => sizes(attrs, "kernel_shape", rank, 1)?,
        };
        if let Some(weights) = weights.filter(|&weights| weights != kernel) {
            let message = format!("is {kernel:?}, the weights' is {weights:?}");
            return Err(OpError::attribute("kernel_shape", message));
        }
        if kernel.contains(&0) {
            return Err(OpError::shape(format!("a kernel of {kernel:?} has no elements")));
        }
        let auto_pad = match attrs.str_or("auto_pad", "NOTSET")? {
            "NOTSET" | "" => AutoPad::NotSet,
            "SAME_UPPER" => AutoPad::SameUpper,
            "SAME_LOWER" => AutoPad::SameLower,
            "VALID" => AutoPad::Valid,
            other => return Err(OpError::attribute("auto_pad", format!("is '{other}'"))),
        };
        let mut pads = match attrs.ints("pads")? {
            Some(list) if auto_pad == AutoPad::NotSet => list.to_vec(),
            _ => alloc::vec![0; 2 * rank],
        };
        if pads.len() != 2 * rank || pads.iter().any(|pad| pad.unsigned_abs() >= LIMIT as u64) {
            let message = format!("is {pads:?}, it takes a begin and an end for each of {rank} axes");
            return Err(OpError::attribute("pads", message));
        }
        let pads_end = pads.split_off(rank);
        Ok(Self {
            kernel,
            strides: sizes(attrs, "strides", rank, 1)?,
            dilations: sizes(attrs, "dilations", rank, 1)?,
            pads_begin: pads,
            pads_end,
            auto_pad,
            ceil_mode: attrs.int_or("ceil_mode", 0)? != 0,
        })
    }

    /// Elements that the kernel reaches over along an axis.
    #[must_use]
    pub fn extent(&self, axis: usize) -> i64 {
        self.dilations[axis] as i64 * (self.kernel[axis] as i64 - 1) + 1
    }

    /// An axis over `input` elements.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the kernel does not fit into the padded input.
    pub fn axis(&self, axis: usize, input: usize) -> Result<Axis, OpError> {
        let (extent, stride) = (self.extent(axis), self.strides[axis] as i64);
        let size = input as i64;
        let (begin, end) = match self.auto_pad {
            AutoPad::NotSet => (self.pads_begin[axis], self.pads_end[axis]),
            AutoPad::Valid => (0, 0),
            same => {
                let output = (size + stride - 1) / stride;
                let total = ((output - 1) * stride + extent - size).max(0);
                let less = total / 2;
                if same == AutoPad::SameUpper {
                    (less, total - less)
                } else {
                    (total - less, less)
                }
            }
        };
        let room = size + begin + end - extent;
        if room < 0 {
            return Err(OpError::shape(format!(
                "a kernel that reaches over {extent} elements does not fit into {size} with pads {begin} and {end}"
            )));
        }
        let mut output = if self.ceil_mode {
            (room + stride - 1) / stride + 1
        } else {
            room / stride + 1
        };
        // A partial window that starts behind the input would see padding alone.
        if self.ceil_mode && (output - 1) * stride >= size + begin {
            output -= 1;
        }
        Ok(Axis {
            input,
            output: output as usize,
            kernel: self.kernel[axis],
            stride: self.strides[axis],
            dilation: self.dilations[axis],
            pad_begin: begin,
            pad_end: end,
        })
    }

    /// All axes over an input of these spatial sizes.
    ///
    /// # Errors
    /// As [`Window::axis`].
    pub fn axes(&self, input: &[usize]) -> Result<Vec<Axis>, OpError> {
        input
            .iter()
            .enumerate()
            .map(|(axis, &n)| self.axis(axis, n))
            .collect()
    }

    /// Sizes of the output for spatial sizes that may be names. A name survives a window that keeps every size.
    ///
    /// # Errors
    /// As [`Window::axis`].
    pub fn output_dims(&self, input: &[Dim]) -> Result<Vec<Dim>, OpError> {
        let keeps = |axis: usize| {
            let pads = self.pads_begin[axis] + self.pads_end[axis];
            self.strides[axis] == 1
                && match self.auto_pad {
                    AutoPad::SameUpper | AutoPad::SameLower => true,
                    AutoPad::NotSet => pads == self.extent(axis) - 1,
                    AutoPad::Valid => self.extent(axis) == 1,
                }
        };
        let one = |(axis, dim): (usize, &Dim)| match dim {
            Dim::Symbol(_) if keeps(axis) => Ok(dim.clone()),
            dim => super::dims::map(dim, |n| Ok(self.axis(axis, n)?.output)),
        };
        input.iter().enumerate().map(one).collect()
    }
}

/// The spatial dimensions of [N, C, spatial…].
///
/// # Errors
/// [`OpError::Shape`] for a rank below 2.
pub fn spatial<D>(shape: &[D]) -> Result<&[D], OpError> {
    shape
        .get(2..)
        .ok_or_else(|| OpError::shape(format!("an input of rank {} has no [N, C, …] axes", shape.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Attribute;
    use alloc::string::{String, ToString};
    use alloc::vec;

    fn window(attributes: &[(String, Attribute)]) -> Window {
        Window::new(Attrs::of_graph(attributes), 1, None).unwrap()
    }

    fn attributes(
        kernel: i64,
        stride: i64,
        pads: [i64; 2],
        extra: &[(&str, Attribute)],
    ) -> Vec<(String, Attribute)> {
        let mut all = vec![
            ("kernel_shape".to_string(), Attribute::Ints(vec![kernel])),
            ("strides".to_string(), Attribute::Ints(vec![stride])),
            ("pads".to_string(), Attribute::Ints(pads.to_vec())),
        ];
        all.extend(extra.iter().map(|(name, a)| (name.to_string(), a.clone())));
        all
    }

    #[test]
    fn pads_without_an_absolute_value_are_refused() {
        let all = attributes(1, 1, [i64::MIN, 0], &[]);
        assert!(Window::new(Attrs::of_graph(&all), 1, None).is_err());
    }

    #[test]
    fn sizes_and_pads() {
        let check = |kernel, stride, pads, extra: &[(&str, Attribute)], input, want: (usize, i64, i64)| {
            let axis = window(&attributes(kernel, stride, pads, extra))
                .axis(0, input)
                .unwrap();
            assert_eq!((axis.output, axis.pad_begin, axis.pad_end), want);
            for k in 0..axis.kernel {
                let on = axis.outputs_on_input(k);
                for o in 0..axis.output {
                    assert_eq!(
                        on.contains(&o),
                        axis.source(o, k).is_some(),
                        "{axis:?} k={k} o={o}"
                    );
                }
            }
        };
        let same = |s: &str| [("auto_pad", Attribute::String(s.as_bytes().to_vec()))];
        let ceil = [("ceil_mode", Attribute::Int(1))];
        check(3, 1, [1, 1], &[], 7, (7, 1, 1));
        check(3, 2, [0, 0], &[], 7, (3, 0, 0));
        check(3, 2, [0, 0], &ceil, 8, (4, 0, 0));
        // The fourth window would start at 8, behind the input.
        check(1, 2, [0, 1], &ceil, 4, (2, 0, 1));
        check(2, 2, [0, 0], &same("SAME_UPPER"), 5, (3, 0, 1));
        check(2, 2, [0, 0], &same("SAME_LOWER"), 5, (3, 1, 0));
        check(2, 2, [5, 5], &same("VALID"), 5, (2, 0, 0));
        check(3, 1, [-1, 0], &[], 7, (4, -1, 0));
    }

    #[test]
    fn refusals() {
        let list = attributes(9, 1, [0, 0], &[]);
        assert!(window(&list).axis(0, 3).is_err());
        assert!(Window::new(Attrs::of_graph(&list), 2, None).is_err());
        assert!(Window::new(Attrs::NONE, 2, None).is_err());
        assert!(Window::new(Attrs::of_graph(&attributes(3, 0, [0, 0], &[])), 1, None).is_err());
        assert!(Window::new(Attrs::of_graph(&attributes(3, 1, [0, 0], &[])), 1, Some(&[5])).is_err());
    }

    #[test]
    fn names_survive_what_keeps_sizes() {
        let name = Dim::Symbol("W".to_string());
        let dims = core::slice::from_ref(&name);
        assert_eq!(
            window(&attributes(3, 1, [1, 1], &[])).output_dims(dims).unwrap(),
            dims
        );
        assert_eq!(
            window(&attributes(3, 2, [1, 1], &[])).output_dims(dims).unwrap(),
            [Dim::Unknown]
        );
    }
}
