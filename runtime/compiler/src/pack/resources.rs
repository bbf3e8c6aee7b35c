//! What running a plan takes: arena bytes and multiply-accumulates, for one set of shapes.

use sanderling_core::infer::{self, Facts};
use sanderling_core::memory::{self, Lifetime};
use sanderling_core::plan::{Arena, Constants, NodeView, PlanView, ValueKind};
use sanderling_core::shape::element_count;
use sanderling_core::{Dim, Graph, OpTable, TensorType, ValueId};

use crate::error::CompileError;
use crate::recipe::Recipe;

/// Alignment of values in the arena that is laid out at packing: that of sections and tensors.
const ALIGNMENT: u64 = sanderling_bundle::ALIGN as u64;

/// Figures of the resource certificate.
pub(super) struct Measured {
    /// Peak bytes of inputs, intermediates and outputs; none where a shape depends on data.
    pub(super) arena_bytes: Option<u64>,
    /// Multiply-accumulates; none where a shape depends on data.
    pub(super) macs: Option<u64>,
}

/// The graph's input types with the recipe's sizes in place of symbols, 1 where it names none.
#[must_use]
pub fn concrete_inputs(graph: &Graph, recipe: &Recipe) -> Vec<TensorType> {
    let size = |dim: &Dim| match dim {
        Dim::Symbol(name) => Dim::Fixed(
            recipe
                .dims
                .get(name)
                .map_or(1, |&n| i64::try_from(n).unwrap_or(i64::MAX)),
        ),
        Dim::Fixed(n) => Dim::Fixed(*n),
        Dim::Unknown => Dim::Fixed(1),
    };
    let declared = graph.inputs.iter().filter_map(|id| graph.value(*id).ty.as_ref());
    declared
        .map(|ty| TensorType {
            dtype: ty.dtype,
            shape: ty.shape.iter().map(size).collect(),
        })
        .collect()
}

pub(super) fn measure(
    plan: &PlanView<'_>,
    constants: &dyn Constants,
    table: OpTable<'_>,
    inputs: &[TensorType],
) -> Result<Measured, CompileError> {
    let facts = infer::specialise(plan, constants, table, inputs)?;
    let arena_bytes = match lifetimes(plan, &facts) {
        Some(lives) => Some(memory::plan(&lives.1, ALIGNMENT, u64::MAX)?.len),
        None => None,
    };
    let macs = plan
        .nodes()
        .filter(|node| !facts.is_folded(node))
        .map(|node| macs(plan, constants, &facts, &node));
    Ok(Measured {
        arena_bytes,
        macs: macs.sum(),
    })
}

/// Arena offsets for these input types; none where a shape depends on data.
pub(super) fn lay_out(
    plan: &PlanView<'_>,
    constants: &dyn Constants,
    table: OpTable<'_>,
    inputs: &[TensorType],
) -> Result<Option<Arena>, CompileError> {
    let facts = infer::specialise(plan, constants, table, inputs)?;
    let Some((ids, lives)) = lifetimes(plan, &facts) else {
        return Ok(None);
    };
    let layout = memory::plan(&lives, ALIGNMENT, u64::MAX)?;
    let mut arena = Arena {
        offsets: vec![None; plan.value_count()],
        len: layout.len,
    };
    for (id, offset) in ids.iter().zip(layout.offsets) {
        arena.offsets[id.index()] = Some(offset);
    }
    Ok(Some(arena))
}

/// The values that lie in the arena, and how long they live in steps of nodes. Inputs live from the start,
/// outputs to the end. None where a value's size is not known.
fn lifetimes(plan: &PlanView<'_>, facts: &Facts) -> Option<(Vec<ValueId>, Vec<Lifetime>)> {
    let mut lives: Vec<Option<(u32, u32)>> = vec![None; plan.value_count()];
    plan.inputs().for_each(|id| lives[id.index()] = Some((0, 0)));
    let mut last_step = 0;
    for (step, node) in (0u32..)
        .zip(plan.nodes())
        .filter(|(_, node)| !facts.is_folded(node))
    {
        for id in node.inputs().flatten() {
            if let Some((_, last)) = &mut lives[id.index()] {
                *last = step;
            }
        }
        node.outputs()
            .flatten()
            .for_each(|id| lives[id.index()] = Some((step, step)));
        last_step = step;
    }
    for id in plan.outputs() {
        if let Some((_, last)) = &mut lives[id.index()] {
            *last = last_step;
        }
    }
    let placed = (0u32..)
        .zip(&lives)
        .filter_map(|(i, life)| life.map(|life| (ValueId(i), life)));
    let sized = placed.map(|(id, (first, last))| {
        let bytes = facts.ty(id)?.byte_len()? as u64;
        Some((id, Lifetime { bytes, first, last }))
    });
    sized
        .collect::<Option<Vec<_>>>()
        .map(|all| all.into_iter().unzip())
}

/// Multiply-accumulates of one node: how many products each element of the output (or, for a transposed
/// convolution, of the input) takes. Operators that are not named count as none.
fn macs(plan: &PlanView<'_>, constants: &dyn Constants, facts: &Facts, node: &NodeView<'_>) -> Option<u64> {
    let shape = |id: Option<ValueId>| -> Option<Vec<usize>> {
        let id = id?;
        match plan.value(id).kind {
            ValueKind::Constant(i) => constants.get(i).map(|t| t.shape().to_vec()),
            _ => facts.ty(id)?.concrete(),
        }
    };
    let input = |i: usize| shape(node.inputs().nth(i).flatten());
    let count = |shape: Vec<usize>| element_count(&shape).map(|n| n as u64);
    let output = || count(shape(node.outputs().next().flatten())?);
    match node.op_type() {
        "Conv" | "ConvInteger" | "FusedConv" => output()?.checked_mul(count(input(1)?.split_off(1))?),
        "QLinearConv" => output()?.checked_mul(count(input(3)?.split_off(1))?),
        "ConvTranspose" => count(input(0)?)?.checked_mul(count(input(1)?.split_off(1))?),
        "MatMul" | "MatMulInteger" | "QLinearMatMul" => output()?.checked_mul(*input(0)?.last()? as u64),
        "Gemm" | "FusedGemm" => {
            let transposed = node.attrs().int_or("transA", 0).ok()? != 0;
            output()?.checked_mul(*input(0)?.get(usize::from(!transposed))? as u64)
        }
        _ => Some(0),
    }
}
