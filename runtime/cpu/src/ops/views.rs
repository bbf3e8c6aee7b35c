//! Operators whose output is their input under another shape: nothing is computed.

use crate::op::{Choice, CpuOp, PrepareCx};
use sanderling_core::OpError;

/// Output 0 has the bytes of input 0.
pub(super) struct View {
    name: &'static str,
}

pub(super) const FLATTEN: View = View { name: "Flatten" };
pub(super) const IDENTITY: View = View { name: "Identity" };
pub(super) const RESHAPE: View = View { name: "Reshape" };
pub(super) const SQUEEZE: View = View { name: "Squeeze" };
pub(super) const UNSQUEEZE: View = View { name: "Unsqueeze" };
/// At inference: without a mask and outside of training, elements stay.
pub(super) const DROPOUT: View = View { name: "Dropout" };

impl CpuOp for View {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&self, cx: &PrepareCx<'_>) -> Result<Choice, OpError> {
        let training = self.name == DROPOUT.name
            && cx.optional(2).is_some()
            && cx.constant(2).is_none_or(|mode| mode.bytes() != [0]);
        if cx.output_count() != 1 || training {
            return Ok(Choice::Reference);
        }
        Ok(Choice::Alias)
    }
}
