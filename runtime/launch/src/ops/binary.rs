//! Sums and products of two eight-bit tensors, with broadcasting.

use super::{LaunchOp, MAX_RANK, Signed, dtype, results};
use crate::kernel::Binary;
use crate::layout::Layout;
use crate::lower::{Lowering, Place};
use crate::node::Seen;
use alloc::vec::Vec;
use sanderling_core::ops::common::qlinear::{Operand, operand, result};
use sanderling_core::ops::common::requantise::{Addition, Multiplier};
use sanderling_core::{OpError, ValueId};

const A: Operand = operand(0);
const B: Operand = operand(3);
const Y: Operand = result(6);

/// onnxruntime's `QLinearAdd`.
pub(super) struct QLinearAdd;
/// onnxruntime's `QLinearMul`.
pub(super) struct QLinearMul;

/// What tells the two apart.
struct Arithmetic {
    is_product: bool,
    factors: [i32; 2],
    multiplier: Multiplier,
}

impl LaunchOp for QLinearAdd {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        supports(seen)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        lower(lowering, |a, b, y| {
            let addition = Addition::new(a, b, y)?;
            Ok(Arithmetic {
                is_product: false,
                factors: [addition.a, addition.b],
                multiplier: addition.multiplier,
            })
        })
    }
}

impl LaunchOp for QLinearMul {
    fn supports(&self, seen: &Seen<'_>) -> bool {
        supports(seen)
    }

    fn lower(&self, lowering: &mut Lowering<'_>) -> Result<(), OpError> {
        lower(lowering, |a, b, y| {
            Ok(Arithmetic {
                is_product: true,
                factors: [1, 1],
                multiplier: Multiplier::of_product(a, b, y)?,
            })
        })
    }
}

fn supports(seen: &Seen<'_>) -> bool {
    [seen.bytes(0), seen.bytes(3), seen.output_bytes()]
        .iter()
        .all(|shape| shape.as_ref().is_some_and(|shape| shape.len() <= MAX_RANK))
        && [A, B, Y]
            .into_iter()
            .all(|operand| seen.has_single_scale(operand))
}

/// An operand as the kernel walks it.
struct Walked {
    place: Place,
    strides: [u32; 4],
    splat: bool,
}

fn lower(
    lowering: &mut Lowering<'_>,
    arithmetic: impl Fn(f32, f32, f32) -> Result<Arithmetic, OpError>,
) -> Result<(), OpError> {
    let (a, b, y) = (lowering.input(0)?, lowering.input(3)?, lowering.output()?);
    let (scale_a, zero_a) = lowering.quantisation(A)?.single()?;
    let (scale_b, zero_b) = lowering.quantisation(B)?.single()?;
    let (scale_y, zero_y) = lowering.quantisation(Y)?.single()?;
    let Arithmetic {
        is_product,
        factors,
        multiplier,
    } = arithmetic(scale_a, scale_b, scale_y)?;
    let (signed_a, signed_b) = (
        Signed::new(dtype(lowering, a)?, zero_a),
        Signed::new(dtype(lowering, b)?, zero_b),
    );
    let [y_zero, y_least, y_most] = results(dtype(lowering, y)?, zero_y)?;
    let layout = output_layout(lowering, &[a, b], &lowering.shape(y)?);
    let (walked_a, walked_b) = (walk(lowering, a, &layout)?, walk(lowering, b, &layout)?);
    let outer: Vec<usize> = layout.outer().collect();
    let mut dims = [1u32; 4];
    for (dim, &axis) in dims[4 - outer.len()..].iter_mut().zip(&outer) {
        *dim = layout.shape()[axis] as u32;
    }
    let ([a0, a1, a2, a3], [b0, b1, b2, b3]) = (walked_a.strides, walked_b.strides);
    let words = layout.words();
    let params = Binary {
        a: 0,
        b: 0,
        y: 0,
        words: words as u32,
        packed: layout.packed() as u32,
        dim1: dims[1],
        dim2: dims[2],
        dim3: dims[3],
        a0,
        a1,
        a2,
        a3,
        b0,
        b1,
        b2,
        b3,
        a_splat: u32::from(walked_a.splat),
        b_splat: u32::from(walked_b.splat),
        a_flip: signed_a.flip,
        b_flip: signed_b.flip,
        a_zero: signed_a.zero as u32,
        b_zero: signed_b.zero as u32,
        is_product: u32::from(is_product),
        a_factor: factors[0] as u32,
        b_factor: factors[1] as u32,
        multiplier: multiplier.get().to_bits(),
        y_zero,
        y_least,
        y_most,
    };
    let result = lowering.result(y, layout);
    lowering.launch(words, &[walked_a.place, walked_b.place, result], &params);
    Ok(())
}

/// As an operand of the same shape lies already, else the usual.
fn output_layout(lowering: &Lowering<'_>, operands: &[ValueId], shape: &[usize]) -> Layout {
    let mut layouts = operands.iter().filter_map(|&id| lowering.layout(id));
    let same = layouts.find(|layout| layout.shape() == shape);
    same.cloned().unwrap_or_else(|| Layout::usual(shape))
}

/// An operand under the output's axes: strides of 0 where it has one element for many.
fn walk(lowering: &mut Lowering<'_>, value: ValueId, output: &Layout) -> Result<Walked, OpError> {
    let own = lowering.shape(value)?;
    let rank = output.shape().len();
    let mut shape = alloc::vec![1; rank.saturating_sub(own.len())];
    shape.extend_from_slice(&own);
    let layout = Layout::new(&shape, output.axis());
    let outer: Vec<usize> = layout.outer().collect();
    if outer.len() > 4 {
        return Err(OpError::unsupported("more than five axes"));
    }
    let mut strides = [0u32; 4];
    for (stride, &axis) in strides[4 - outer.len()..].iter_mut().zip(&outer) {
        if shape[axis] > 1 {
            *stride = layout.stride(axis) as u32;
        }
    }
    let axis = output.axis();
    Ok(Walked {
        place: lowering.operand(value, &layout)?,
        strides,
        splat: shape[axis] == 1 && output.shape()[axis] > 1,
    })
}
