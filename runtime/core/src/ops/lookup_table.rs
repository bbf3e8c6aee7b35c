//! A function of one byte, as a table. `ai.sanderling` `LookupTable` 1: `Y[i] = T[X[i] as an unsigned byte]`.
//!
//! ONNX has no operator for it (`Gather` wants wide indices). The compiler computes the table: a sigmoid, a change of
//! scale, any chain of elementwise operators between two quantisations. Arithmetic: docs/numerics.md.

use super::common::SANDERLING;
use super::common::dtypes::input_of;
use super::common::qlinear::EIGHT_BITS;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use core::ops::RangeInclusive;

/// Our `LookupTable`.
pub struct LookupTable;

impl Operator for LookupTable {
    fn domain(&self) -> &'static str {
        SANDERLING
    }

    fn name(&self) -> &'static str {
        "LookupTable"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        1..=1
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (x, table) = (input_of(cx, 0, EIGHT_BITS)?, input_of(cx, 1, EIGHT_BITS)?);
        if let Some(shape) = table.concrete().filter(|shape| shape != &[256]) {
            return Err(OpError::shape(alloc::format!(
                "the table is of shape {shape:?}; it has 256 elements"
            )));
        }
        cx.set_output(0, table.dtype, x.shape.clone());
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (x, table) = (cx.input(0)?, cx.input(1)?);
        let mut out = cx.output()?;
        let bytes = out.bytes_mut().iter_mut().zip(x.bytes());
        bytes.for_each(|(out, &byte)| *out = table.bytes()[usize::from(byte)]);
        Ok(())
    }
}
