//! A part of the input: begin, end and step along some axes. ONNX `Slice` 1 (lists as attributes), 10 (as
//! inputs, `steps`), 11 (negative axes), 13.

use super::common::axes::{Given, evaluated, given};
use super::common::dtypes::{WHOLE_BYTES, input_of};
use super::common::gather::{gather, straight};
use super::common::since;
use super::common::slicing::Spec;
use crate::error::OpError;
use crate::op::{EvalCx, InferCx, Operator};
use crate::shape::{Dim, TensorType, strides};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// ONNX `Slice`.
pub struct Slice;

impl Operator for Slice {
    fn name(&self) -> &'static str {
        "Slice"
    }

    fn opsets(&self) -> RangeInclusive<u16> {
        since(1)
    }

    fn exact(&self) -> bool {
        true
    }

    fn infer(&self, cx: &mut InferCx<'_>) -> Result<(), OpError> {
        let ty = input_of(cx, 0, WHOLE_BYTES)?;
        let lists = ["starts", "ends", "axes", "steps"];
        let mut found: [Option<Vec<i64>>; 4] = [const { None }; 4];
        let mut later = [false; 4];
        for (i, name) in lists.iter().enumerate() {
            match given(cx, i + 1, name)? {
                Given::Known(list) => found[i] = Some(list),
                Given::Later => later[i] = true,
                Given::Absent if i < 2 => return Err(OpError::MissingInput { index: i + 1 }),
                Given::Absent => {}
            }
        }
        let [starts, ends, axes, steps] = found;
        if later.contains(&true) {
            let shape = partly_known(ty, axes, later[2])?;
            cx.set_output(0, ty.dtype, shape);
            return Ok(());
        }
        let spec = Spec::new(
            starts.unwrap_or_default(),
            ends.unwrap_or_default(),
            axes,
            steps,
            ty.rank(),
        )?;
        let mut shape = ty.shape.clone();
        for (i, &axis) in spec.axes.iter().enumerate() {
            shape[axis] = sliced(&shape[axis], &spec, i);
        }
        if let (Some(dims), None, [0], 1) = (cx.dims(0), cx.data(0), spec.axes.as_slice(), ty.rank()) {
            let cut = spec.cut(0, dims.len());
            let at = |i: usize| dims[(cut.start + i as i64 * cut.step) as usize].clone();
            cx.set_output_dims(0, (0..cut.len).map(at).collect());
        }
        cx.set_output(0, ty.dtype, shape);
        Ok(())
    }

    fn eval(&self, cx: &mut EvalCx<'_, '_>) -> Result<(), OpError> {
        let input = cx.input(0)?;
        let mut out = cx.output()?;
        if out.shape().contains(&0) {
            return Ok(());
        }
        let list = |index, name| evaluated(cx, index, name);
        let missing = |index| move || OpError::MissingInput { index };
        let spec = Spec::new(
            list(1, "starts")?.ok_or_else(missing(1))?,
            list(2, "ends")?.ok_or_else(missing(2))?,
            list(3, "axes")?,
            list(4, "steps")?,
            input.shape().len(),
        )?;
        let (shape, strides) = (input.shape(), strides(input.shape()));
        let mut maps: Vec<_> = shape
            .iter()
            .zip(&strides)
            .map(|(&n, &s)| straight(n, s))
            .collect();
        for (i, &axis) in spec.axes.iter().enumerate() {
            let cut = spec.cut(i, maps[axis].len());
            let from = |k: usize| maps[axis][(cut.start + k as i64 * cut.step) as usize];
            maps[axis] = (0..cut.len).map(from).collect();
        }
        gather(input, &mut out, &maps, &[])
    }
}

/// What a slice whose lists only a run knows leaves: the axes that it surely does not touch.
fn partly_known(ty: &TensorType, axes: Option<Vec<i64>>, axes_later: bool) -> Result<Vec<Dim>, OpError> {
    let touched = match axes {
        Some(axes) => super::common::axes::normalise(&axes, ty.rank())?,
        None => (0..ty.rank()).collect(),
    };
    let one = |(i, dim): (usize, &Dim)| match axes_later || touched.contains(&i) {
        true => Dim::Unknown,
        false => dim.clone(),
    };
    Ok(ty.shape.iter().enumerate().map(one).collect())
}

/// A dimension after the `i`th cut. A name survives a cut that surely takes everything.
fn sliced(dim: &Dim, spec: &Spec, i: usize) -> Dim {
    match dim.fixed().and_then(|n| usize::try_from(n).ok()) {
        Some(size) => Dim::from(spec.cut(i, size).len),
        None if (spec.starts[i], spec.steps[i]) == (0, 1) && spec.ends[i] >= i64::from(i32::MAX) => {
            dim.clone()
        }
        None => Dim::Unknown,
    }
}
