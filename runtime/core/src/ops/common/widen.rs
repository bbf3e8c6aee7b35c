//! Half precision by way of binary32.
//!
//! binary16 and bfloat16 inputs are widened (exact), the operator computes in binary32, and the result is
//! rounded once, to nearest even. For a single +, −, ×, ÷ or √ of binary16 that is the correctly rounded
//! result, since 24 ≥ 2·11 + 2 (Figueroa, "When is double rounding innocuous?", 1995).

use super::dtypes::is_half;
use crate::error::OpError;
use crate::op::EvalCx;
use crate::tensor::{Tensor, TensorView, TensorViewMut};
use alloc::vec::Vec;
use half::{bf16, f16};
use sanderling_bundle::DType;

/// Calls `eval` with every binary16 and bfloat16 input widened and such outputs rounded after it.
///
/// # Errors
/// What `eval` says.
pub fn through_f32(
    cx: &mut EvalCx<'_, '_>,
    eval: impl FnOnce(&mut EvalCx<'_, '_>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let half_inputs = cx.inputs.iter().flatten().any(|view| is_half(view.dtype()));
    let half_outputs = cx.outputs.iter().flatten().any(|view| is_half(view.dtype()));
    if !half_inputs && !half_outputs {
        return eval(cx);
    }
    let widened: Vec<Option<Tensor>> = cx
        .inputs
        .iter()
        .map(|view| view.filter(|v| is_half(v.dtype())).map(widen).transpose())
        .collect::<Result<_, _>>()?;
    let inputs: Vec<Option<TensorView<'_>>> = cx
        .inputs
        .iter()
        .zip(&widened)
        .map(|(given, wide)| wide.as_ref().map(Tensor::view).or(*given))
        .collect();
    let mut wide_outputs: Vec<Option<Tensor>> = cx
        .outputs
        .iter()
        .map(|out| match out {
            Some(out) if is_half(out.dtype()) => Tensor::zeros(DType::F32, out.shape()).map(Some),
            _ => Ok(None),
        })
        .collect::<Result<_, _>>()?;
    let mut narrow: Vec<Option<TensorViewMut<'_>>> = Vec::new();
    let mut outputs: Vec<Option<TensorViewMut<'_>>> = Vec::new();
    for (out, wide) in cx.outputs.iter_mut().zip(&mut wide_outputs) {
        match wide {
            Some(wide) => {
                narrow.push(out.take());
                outputs.push(Some(wide.view_mut()));
            }
            None => {
                narrow.push(None);
                outputs.push(out.take());
            }
        }
    }
    eval(&mut EvalCx {
        attrs: cx.attrs,
        opset: cx.opset,
        inputs: &inputs,
        outputs: &mut outputs,
    })?;
    drop(outputs);
    for (out, wide) in narrow.into_iter().zip(&wide_outputs) {
        if let (Some(mut out), Some(wide)) = (out, wide) {
            round_into(wide.view(), &mut out)?;
        }
    }
    Ok(())
}

/// A binary16 or bfloat16 tensor as binary32.
///
/// # Errors
/// [`OpError::Data`] for another dtype.
pub fn widen(view: TensorView<'_>) -> Result<Tensor, OpError> {
    let values: Vec<f32> = match view.dtype() {
        DType::F16 => view.as_slice::<f16>()?.iter().map(|x| x.to_f32()).collect(),
        _ => view.as_slice::<bf16>()?.iter().map(|x| x.to_f32()).collect(),
    };
    Tensor::from_slice(view.shape(), &values)
}

fn round_into(wide: TensorView<'_>, out: &mut TensorViewMut<'_>) -> Result<(), OpError> {
    let wide = wide.as_slice::<f32>()?;
    match out.dtype() {
        DType::F16 => {
            let out = out.as_mut_slice::<f16>()?;
            out.iter_mut().zip(wide).for_each(|(o, &x)| *o = f16::from_f32(x));
        }
        _ => {
            let out = out.as_mut_slice::<bf16>()?;
            out.iter_mut()
                .zip(wide)
                .for_each(|(o, &x)| *o = bf16::from_f32(x));
        }
    }
    Ok(())
}
