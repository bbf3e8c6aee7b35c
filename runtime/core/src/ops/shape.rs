//! The input's dimensions, from `start` to `end`. ONNX `Shape` 1, 13, 15 (`start`, `end`), 19, 21, 23, 24, 25.

use super::common::since;
use crate::attr::Attrs;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::Dim;
use core::ops::{Range, RangeInclusive};
use sanderling_bundle::DType;

/// ONNX `Shape`.
pub struct Shape;

fn range(attrs: Attrs<'_>, rank: usize) -> Result<Range<usize>, OpError> {
    let size = rank as i64;
    let clamp = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(0, size) as usize;
    let (start, end) = (
        clamp(attrs.int_or("start", 0)?),
        clamp(attrs.int_or("end", size)?),
    );
    Ok(start..end.max(start))
}

impl Operator for Shape {
    fn name(&self) -> &'static str {
        "Shape"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = cx.input(0)?;
        let dims = ty.shape[range(cx.attrs(), ty.rank())?].to_vec();
        cx.set_output(0, DType::I64, alloc::vec![Dim::from(dims.len())]);
        cx.set_output_dims(0, dims);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let shape = cx.input(0)?.shape();
        let dims = &shape[range(cx.attrs, shape.len())?];
        let mut out = cx.output()?;
        out.as_mut_slice::<i64>()?
            .iter_mut()
            .zip(dims)
            .for_each(|(o, &n)| *o = n as i64);
        Ok(())
    }
}
