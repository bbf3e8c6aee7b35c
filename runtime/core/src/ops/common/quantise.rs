//! Scales and zero points: per tensor, per axis, per block.

use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::InferCx;
use crate::shape::{TensorType, element_count, normalise_axis};
use crate::tensor::TensorView;
use alloc::format;

/// Which scale belongs to which element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// One for all.
    Tensor,
    /// One for each index of an axis: its length, and the distance of two neighbours along it.
    Axis {
        /// Elements along the axis.
        len: usize,
        /// Distance of two neighbours.
        behind: usize,
    },
    /// One for each run of `block` indices of an axis.
    Block {
        /// Elements along the axis.
        len: usize,
        /// Distance of two neighbours.
        behind: usize,
        /// Indices that share a scale.
        block: usize,
    },
}

impl Granularity {
    /// From `axis` (default 1) and `block_size`, for an input and its scale.
    ///
    /// # Errors
    /// [`OpError::Shape`] where the scale's shape does not fit.
    pub fn new(attrs: Attrs<'_>, input: &[usize], scale: &[usize]) -> Result<Self, OpError> {
        let block = attrs.int_or("block_size", 0)?;
        if scale.iter().product::<usize>() == 1 && block == 0 {
            return Ok(Self::Tensor);
        }
        let refused = || {
            OpError::shape(format!(
                "a scale of shape {scale:?} does not fit an input of shape {input:?}"
            ))
        };
        let axis = normalise_axis("axis", attrs.int_or("axis", 1)?, input.len())?;
        let (len, behind) = super::arg::along(input, axis);
        match usize::try_from(block) {
            Ok(0) if scale == [len] => Ok(Self::Axis { len, behind }),
            Ok(block) if block > 0 && scale.len() == input.len() => {
                let fits = (0..input.len())
                    .all(|i| scale[i] == if i == axis { len.div_ceil(block) } else { input[i] });
                if fits {
                    Ok(Self::Block { len, behind, block })
                } else {
                    Err(refused())
                }
            }
            _ => Err(refused()),
        }
    }

    /// Index of the scale for the `i`th element.
    #[must_use]
    pub fn index(&self, i: usize) -> usize {
        match *self {
            Self::Tensor => 0,
            Self::Axis { len, behind } => i / behind % len,
            Self::Block { len, behind, block } => {
                let (before, at) = (i / (behind * len), i / behind % len);
                (before * len.div_ceil(block) + at / block) * behind + i % behind
            }
        }
    }
}

/// Holds that the zero point (input 2), where there is one, has as many elements as the scale (input 1), as far as
/// their shapes are known.
///
/// # Errors
/// [`OpError::Shape`].
pub fn check_zero_point_type(cx: &InferCx<'_>) -> Result<(), OpError> {
    let len = |index: usize| {
        let shape = cx.optional(index).and_then(TensorType::concrete)?;
        element_count(&shape)
    };
    match (len(1), len(2)) {
        (Some(scale), Some(zero)) => same_len(scale, zero),
        _ => Ok(()),
    }
}

/// [`check_zero_point_type`] of tensors.
///
/// # Errors
/// [`OpError::Shape`].
pub fn check_zero_point(scale: &TensorView<'_>, zero: Option<&TensorView<'_>>) -> Result<(), OpError> {
    zero.map_or(Ok(()), |zero| same_len(scale.len(), zero.len()))
}

fn same_len(scale: usize, zero: usize) -> Result<(), OpError> {
    if scale == zero {
        return Ok(());
    }
    Err(OpError::shape(format!(
        "the zero point has {zero} elements, the scale {scale}"
    )))
}
