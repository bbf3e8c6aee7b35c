//! Elements of one input where a condition holds, of another elsewhere, with broadcasting. ONNX `Where` 9, 16.

use super::common::broadcast::Rows;
use super::common::dtypes::{BOOLS, WHOLE_BYTES, input_of, same_dtype};
use super::common::gather::element_size;
use super::common::since;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, broadcast};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Where`.
pub struct Where;

impl Operator for Where {
    fn name(&self) -> &'static str {
        "Where"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(9)
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let (condition, x) = (input_of(cx, 0, BOOLS)?, input_of(cx, 1, WHOLE_BYTES)?);
        same_dtype(cx, 2, x.dtype)?;
        let shape = broadcast(&condition.shape, &broadcast(&x.shape, &cx.input(2)?.shape)?)?;
        if let Some(dims) = chosen(cx).filter(|_| shape.len() == 1) {
            cx.set_output_dims(0, dims);
        }
        cx.set_output(0, x.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let (condition, x, y) = (cx.input(0)?, cx.input(1)?, cx.input(2)?);
        let size = element_size(&x)?;
        let mut out = cx.output()?;
        let rows = Rows::new(out.shape(), [condition.shape(), x.shape(), y.shape()])?;
        let (c, x, y) = (condition.as_slice::<u8>()?, x.bytes(), y.bytes());
        let out = out.bytes_mut();
        if out.is_empty() {
            return Ok(());
        }
        let (len, step) = (rows.len, rows.step);
        rows.for_each(|row, base| {
            for (i, out) in out[row * len * size..][..len * size]
                .chunks_exact_mut(size)
                .enumerate()
            {
                let at = |input: usize| base[input] + i * step[input];
                let (from, place) = if c[at(0)] != 0 { (x, at(1)) } else { (y, at(2)) };
                out.copy_from_slice(&from[place * size..][..size]);
            }
        });
        Ok(())
    }
}

/// Of shape-holding lists of equal length, with a condition that is known.
fn chosen(cx: &InferCx<'_>) -> Option<Vec<Dim>> {
    let (condition, x, y) = (cx.ints(0)?, cx.dims(1)?, cx.dims(2)?);
    let len = condition.len();
    let fits = |list: &[Dim]| list.len() == len || list.len() == 1;
    (len > 0 && fits(&x) && fits(&y)).then(|| {
        let at = |list: &[Dim], i: usize| list[i.min(list.len() - 1)].clone();
        (0..len)
            .map(|i| if condition[i] != 0 { at(&x, i) } else { at(&y, i) })
            .collect()
    })
}
