//! From an integer sum to eight bits: docs/numerics.md section 2. The arithmetic is in `sanderling-flat`, where firmware
//! without a heap has it too; its errors become an operator's here.

use crate::error::OpError;
use alloc::format;
pub use sanderling_flat::requantise::{Addition, Multiplier, Requantise, ScaleError, in_integers};

impl From<ScaleError> for OpError {
    fn from(error: ScaleError) -> Self {
        match error {
            ScaleError::NotNormal { multiplier } => Self::Data {
                message: format!(
                    "the scales give the multiplier {multiplier:e}; it must be a positive, normal binary32 number"
                ),
            },
            ScaleError::Mean { elements } => Self::shape(format!(
                "a mean of {elements} elements; it takes from 1 to 2^23 - 1"
            )),
            ScaleError::NotEightBits { dtype } => super::dtypes::no_code(dtype),
            _ => Self::unsupported("a scale of this kind"),
        }
    }
}
