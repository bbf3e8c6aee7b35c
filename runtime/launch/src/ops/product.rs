//! Products of a computed matrix with known weights: rows are pixels of a 1 × 1 convolution.

use super::weights::{Packing, Sizes, Weights};
use super::{LaunchOp, MAX_RANK, Signed, dtype, results};
use crate::kernel::Conv;
use crate::layout::{LANES, Layout};
use crate::lower::Lowering;
use crate::node::Seen;
use alloc::vec::Vec;
use sanderling_core::OpError;
use sanderling_core::ops::common::qlinear::{Operand, operand, result};

const A: Operand = operand(0);
const B: Operand = operand(3);

/// ONNX `QLinearMatMul`.
pub(super) struct QLinearMatMul;
/// onnxruntime's `QGemm`.
pub(super) struct QGemm;

/// Where `QGemm` has its int32 addend.
const C: usize = 6;

impl LaunchOp for QLinearMatMul {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        supports(seen, result(6))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        lower(lowering, result(6), false, None)
    }
}

impl LaunchOp for QGemm {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        let straight = seen.attrs().int_or("transA", 0) == Ok(0);
        let fits = |shape: &[usize], n: usize| {
            let count: usize = shape.iter().product();
            count == 1 || (count == n && shape.last() == Some(&n))
        };
        let addend = match (seen.input(C), seen.output_bytes()) {
            (None, _) => true,
            (Some(c), Some(y)) => {
                let n = y.last().copied().unwrap_or(1);
                seen.is_known(C) && seen.ty(c).is_some_and(|(_, shape)| fits(&shape, n))
            }
            _ => false,
        };
        straight && addend && supports(seen, result(7))
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        let transposed = lowering.node().attrs().int_or("transB", 0)? != 0;
        let addend = match lowering.known(C) {
            Some(c) => Some(c.as_slice::<i32>()?.to_vec()),
            None => None,
        };
        lower(lowering, result(7), transposed, addend)
    }
}

fn supports(seen: &Seen<'_>, y: Operand) -> bool {
    let shapes = (seen.bytes(0), seen.bytes(3), seen.output_bytes());
    let (Some(a), Some(b), Some(_)) = shapes else {
        return false;
    };
    (2..=MAX_RANK).contains(&a.len())
        && b.len() == 2
        && seen.is_known(3)
        && seen.has_single_scale(A)
        && seen.has_scale(B)
        && seen.has_single_scale(y)
}

fn lower(
    lowering: &mut Lowering<'_>,
    result: Operand,
    transposed: bool,
    addend: Option<Vec<i32>>,
) -> Result<(), OpError> {
    let (a, y) = (lowering.input(0)?, lowering.output()?);
    let weights = lowering.known(3).ok_or(OpError::NotConstant { index: 3 })?;
    let &[rows, columns] = weights.shape() else {
        return Err(OpError::shape("weights that are not a matrix"));
    };
    let (k, n) = if transposed {
        (columns, rows)
    } else {
        (rows, columns)
    };
    let (scale_a, zero_a) = lowering.quantisation(A)?.single()?;
    let (scale_y, zero_y) = lowering.quantisation(result)?.single()?;
    let signed = Signed::new(dtype(lowering, a)?, zero_a);
    let packing = Packing {
        sizes: Sizes {
            outputs: n,
            inputs: k,
            groups: 1,
            kernel: 1,
        },
        weights,
        scales: lowering.quantisation(B)?.fit(n)?,
        x: (scale_a, signed.zero),
        y: scale_y,
        bias: addend.map(|c| match c[..] {
            [one] => alloc::vec![one; n],
            _ => c,
        }),
    };
    let weights = packing.pack(|o, i, _| if transposed { o * k + i } else { i * n + o })?;
    let results = results(dtype(lowering, y)?, zero_y)?;
    launch(lowering, weights, signed, results)
}

/// A 1 × 1 convolution of one row whose pixels are the matrix's rows.
fn launch(
    lowering: &mut Lowering<'_>,
    weights: Weights,
    signed: Signed,
    [y_zero, y_least, y_most]: [u32; 3],
) -> Result<(), OpError> {
    let Weights {
        words,
        starts,
        zeros,
        multipliers,
    } = weights;
    let (a, y) = (lowering.input(0)?, lowering.output()?);
    let (a_layout, y_layout) = (
        Layout::rows(&lowering.shape(a)?),
        Layout::rows(&lowering.shape(y)?),
    );
    let pixels = a_layout.words() / a_layout.packed().max(1);
    let params = Conv {
        x: 0,
        y: 0,
        weights: lowering.constant(words),
        starts: lowering.constant(starts),
        multipliers: lowering.constant(multipliers),
        zeros: if zeros.is_empty() {
            u32::MAX
        } else {
            lowering.constant(zeros)
        },
        batch: 1,
        in_h: 1,
        in_w: pixels as u32,
        in_c: a_layout.packed() as u32,
        out_h: 1,
        out_w: pixels as u32,
        out_c: y_layout.packed() as u32,
        group_in: a_layout.packed() as u32,
        group_out: y_layout.packed() as u32,
        kernel_h: 1,
        kernel_w: 1,
        stride_h: 1,
        stride_w: 1,
        pad_h: 0,
        pad_w: 0,
        dilation_h: 1,
        dilation_w: 1,
        flip: signed.flip,
        pad_word: u32::from_le_bytes([signed.zero as u8; LANES]),
        y_zero,
        y_least,
        y_most,
    };
    let threads = pixels.div_ceil(4) * y_layout.packed();
    let places = [lowering.operand(a, &a_layout)?, lowering.result(y, y_layout)];
    lowering.launch(threads, &places, &params);
    Ok(())
}
