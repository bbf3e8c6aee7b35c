//! Sliding windows over up to three spatial axes, as ONNX's attributes describe them.

use crate::error::Fault;
use crate::node::Node;
use crate::tensor::Shape;
use core::ops::Range;

/// Largest kernel, stride, dilation and pad: keeps the arithmetic inside 32 bits.
const LIMIT: u64 = 1 << 14;

/// One spatial axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) input: i32,
    pub(super) output: i32,
    pub(super) kernel: i32,
    pub(super) stride: i32,
    pub(super) dilation: i32,
    pub(super) pad: i32,
}

impl Axis {
    /// An axis that is not there.
    const NONE: Self = Self {
        input: 1,
        output: 1,
        kernel: 1,
        stride: 1,
        dilation: 1,
        pad: 0,
    };

    /// The input's index under element `k` of the kernel at output `o`; none in the padding.
    pub(super) fn source(&self, o: i32, k: i32) -> Option<usize> {
        let at = o * self.stride + k * self.dilation - self.pad;
        usize::try_from(at).ok().filter(|_| at < self.input)
    }

    /// The outputs within `among` for which element `k` of the kernel lies on the input, and the input's index at the first.
    pub(super) fn on_input(&self, k: i32, among: Range<i32>) -> (Range<i32>, usize) {
        let shift = k * self.dilation - self.pad;
        // The least o with o·stride + shift ≥ bound.
        let reach = |bound: i32| (bound - shift + self.stride - 1).max(0) / self.stride;
        let first = reach(0).max(among.start);
        let end = reach(self.input).min(among.end).max(first);
        (first..end, (first * self.stride + shift).max(0) as usize)
    }

    /// Whether each output sees the input's element of the same index alone.
    pub(super) fn is_plain(&self) -> bool {
        self.kernel == 1 && self.stride == 1 && self.pad == 0 && self.input == self.output
    }
}

/// The axes behind batch and channels, as the last of three. `kernel` holds the weights' dimensions, where there are weights.
///
/// # Errors
/// [`Fault`] for attributes out of range, and where the output is not as they say.
pub(super) fn axes(node: &Node<'_>, x: &Shape, kernel: Option<&Shape>) -> Result<[Axis; 3], Fault> {
    let y = node.shape();
    let spatial = x.rank().checked_sub(2).filter(|n| (1..=3).contains(n));
    let spatial = spatial.ok_or(Fault::Unsupported("a window over none or more than three axes"))?;
    if y.rank() != x.rank() || kernel.is_some_and(|w| w.rank() != x.rank()) {
        return Err(Fault::Shape("input, kernel and output have not the same rank"));
    }
    if node.int_or("ceil_mode", 0)? != 0 {
        return Err(Fault::Unsupported("ceil_mode"));
    }
    let auto_pad = node.bytes_or("auto_pad", b"NOTSET")?;
    let list = |name: &'static str, i: usize, entries: usize, default: i64| -> Result<i64, Fault> {
        let Some(list) = node.ints(name)? else {
            return Ok(default);
        };
        let value = list
            .get(i)
            .filter(|value| list.len() == entries && value.unsigned_abs() < LIMIT);
        value.ok_or(Fault::Attribute(name))
    };
    let mut axes = [Axis::NONE; 3];
    for i in 0..spatial {
        let of_weights = kernel.map_or(0, |w| w.dim(i + 2) as i64);
        let size = list("kernel_shape", i, spatial, of_weights)?;
        let (stride, dilation) = (list("strides", i, spatial, 1)?, list("dilations", i, spatial, 1)?);
        let input = x.dim(i + 2) as i64;
        if size < 1 || stride < 1 || dilation < 1 || input >= 1 << 20 {
            return Err(Fault::Attribute("kernel_shape, strides or dilations"));
        }
        if kernel.is_some() && size != of_weights {
            return Err(Fault::Attribute("kernel_shape"));
        }
        let extent = dilation * (size - 1) + 1;
        let total = ((input - 1) / stride * stride + extent - input).max(0);
        let (begin, end) = match auto_pad {
            b"NOTSET" | b"" => (
                list("pads", i, 2 * spatial, 0)?,
                list("pads", i + spatial, 2 * spatial, 0)?,
            ),
            b"VALID" => (0, 0),
            b"SAME_UPPER" => (total / 2, total - total / 2),
            b"SAME_LOWER" => (total - total / 2, total / 2),
            _ => return Err(Fault::Attribute("auto_pad")),
        };
        let room = input + begin + end - extent;
        let output = y.dim(i + 2) as i64;
        if extent >= 1 << 20 || room < 0 || room / stride + 1 != output {
            return Err(Fault::Shape(
                "the output is not what the window makes of the input",
            ));
        }
        // All below 2²¹.
        axes[3 - spatial + i] = Axis {
            input: input as i32,
            output: output as i32,
            kernel: size as i32,
            stride: stride as i32,
            dilation: dilation as i32,
            pad: begin as i32,
        };
    }
    Ok(axes)
}
