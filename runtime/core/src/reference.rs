//! Runs a whole plan by the operators' references: slow, clear, the same bytes on any host.
//!
//! The compiler computes golden vectors with it, the tests compare every backend to it.

use crate::error::{CoreError, NodeName, OpError};
use crate::graph::ValueId;
use crate::infer;
use crate::op::{InputFact, OpTable};
use crate::plan::{Constants, PlanView};
use crate::shape::TensorType;
use crate::tensor::{Tensor, TensorView};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

/// Bytes of intermediates that may be held at one time. References serve golden vectors and tests; a model that asks for
/// more is refused before the memory is taken.
const MAX_HELD: u64 = 4 << 30;

/// The outputs of a plan for these inputs.
///
/// Shapes that depend on data are worked out on the way. `observe` is called with each value as it is computed,
/// in order: layer digests and calibration hang on it.
///
/// # Errors
/// As [`infer::specialise`], what a reference says of the data, and [`CoreError::TooLarge`] past 4 GiB of values held at
/// one time.
pub fn run(
    plan: &PlanView<'_>,
    constants: &dyn Constants,
    table: OpTable<'_>,
    inputs: &[TensorView<'_>],
    observe: &mut dyn FnMut(ValueId, TensorView<'_>),
) -> Result<Vec<Tensor>, CoreError> {
    let types: Vec<TensorType> = inputs
        .iter()
        .map(|view| TensorType::fixed(view.dtype(), view.shape()))
        .collect();
    let facts = infer::specialise(plan, constants, table, &types)?;
    let operators = infer::resolve(plan, table)?;
    let mut values: Vec<Option<Tensor>> = (0..plan.value_count()).map(|_| None).collect();
    for (id, view) in plan.inputs().zip(inputs) {
        values[id.index()] = Some(view.to_tensor());
    }
    let mut readers = count_readers(plan);
    for (node, op) in plan.nodes().zip(operators) {
        if facts.is_folded(&node) {
            continue;
        }
        let views: Vec<Option<TensorView<'_>>> = node
            .inputs()
            .map(|id| id.and_then(|id| find(plan, constants, &facts, &values, id)))
            .collect();
        let shapes: Vec<Option<TensorType>> = views
            .iter()
            .map(|view| view.map(|v| TensorType::fixed(v.dtype(), v.shape())))
            .collect();
        let known: Vec<Option<InputFact<'_>>> = shapes
            .iter()
            .zip(&views)
            .map(|(ty, &data)| ty.as_ref().map(|ty| InputFact { ty, data, dims: None }))
            .collect();
        let describe = || {
            shapes
                .iter()
                .map(|ty| ty.as_ref().map_or("-".to_string(), ToString::to_string))
        };
        let at_node = |source: OpError| {
            CoreError::at(
                node.display_name(),
                describe().collect::<Vec<_>>().join(", "),
                source,
            )
        };
        // All inputs' data is known here, so every shape is; computing is left to `eval`, without a limit.
        let facts =
            infer::apply(op, node.attrs(), node.opset(), &known, node.outputs().len(), 0).map_err(at_node)?;
        let types: Option<Vec<TensorType>> = facts.into_iter().map(|fact| fact.ty).collect();
        let types =
            types.ok_or_else(|| at_node(OpError::shape("the operator does not say what its output is")))?;
        check_room(&values, &types, &node.display_name())?;
        let outputs = infer::eval(op, node.attrs(), node.opset(), &views, &types).map_err(at_node)?;
        drop(known);
        for (id, tensor) in node.outputs().zip(outputs) {
            if let Some(id) = id {
                observe(id, tensor.view());
                values[id.index()] = Some(tensor);
            }
        }
        release(&mut values, &mut readers, node.inputs().flatten());
    }
    plan.outputs()
        .map(|id| {
            find(plan, constants, &facts, &values, id)
                .map(|view| view.to_tensor())
                .ok_or_else(|| CoreError::Graph {
                    message: format!("output '{}' was not computed", plan.value(id).name),
                })
        })
        .collect()
}

/// Refuses outputs of a node that do not fit beside what is held.
fn check_room(values: &[Option<Tensor>], outputs: &[TensorType], node: &NodeName) -> Result<(), CoreError> {
    let size = |ty: &TensorType| ty.byte_len().map(|bytes| bytes as u64);
    let wanted = outputs
        .iter()
        .try_fold(0u64, |sum, ty| sum.checked_add(size(ty)?));
    // What cannot be counted (strings) has its own limits; what is small needs no look at the rest.
    let wanted = wanted.unwrap_or(0);
    if wanted <= MAX_HELD / 64 {
        return Ok(());
    }
    let held: u64 = values
        .iter()
        .flatten()
        .map(|tensor| tensor.bytes().len() as u64)
        .sum();
    let bytes = held.saturating_add(wanted);
    if bytes <= MAX_HELD {
        return Ok(());
    }
    Err(CoreError::TooLarge {
        what: format!("the values held at {node}"),
        bytes,
        limit: MAX_HELD,
    })
}

fn find<'a>(
    plan: &PlanView<'_>,
    constants: &'a dyn Constants,
    facts: &'a infer::Facts,
    values: &'a [Option<Tensor>],
    id: ValueId,
) -> Option<TensorView<'a>> {
    values[id.index()]
        .as_ref()
        .map(Tensor::view)
        .or_else(|| infer::known(plan, constants, facts, id))
}

fn count_readers(plan: &PlanView<'_>) -> Vec<u32> {
    let mut readers = alloc::vec![0u32; plan.value_count()];
    for id in plan
        .nodes()
        .flat_map(|node| node.inputs().flatten().collect::<Vec<_>>())
        .chain(plan.outputs())
    {
        readers[id.index()] += 1;
    }
    readers
}

/// Frees values that nothing will read again.
fn release(values: &mut [Option<Tensor>], readers: &mut [u32], read: impl Iterator<Item = ValueId>) {
    for id in read {
        readers[id.index()] = readers[id.index()].saturating_sub(1);
        if readers[id.index()] == 0 {
            values[id.index()] = None;
        }
    }
}
