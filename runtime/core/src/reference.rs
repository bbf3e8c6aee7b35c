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
    run_within(MAX_HELD, plan, constants, table, inputs, observe)
}

/// [`run`] with a limit of its own.
fn run_within(
    limit: u64,
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
    let mut held = Held::new(plan, limit);
    for (id, view) in plan.inputs().zip(inputs) {
        held.put(id, view.to_tensor());
    }
    for (node, op) in plan.nodes().zip(operators) {
        if facts.is_folded(&node) {
            continue;
        }
        let views: Vec<Option<TensorView<'_>>> = node
            .inputs()
            .map(|id| id.and_then(|id| find(plan, constants, &facts, &held, id)))
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
        held.check_room(&types, &node.display_name())?;
        let outputs = infer::eval(op, node.attrs(), node.opset(), &views, &types).map_err(at_node)?;
        drop(known);
        for (id, tensor) in node.outputs().zip(outputs) {
            if let Some(id) = id {
                observe(id, tensor.view());
                held.put(id, tensor);
            }
        }
        held.release(node.inputs().flatten());
    }
    plan.outputs()
        .map(|id| {
            find(plan, constants, &facts, &held, id)
                .map(|view| view.to_tensor())
                .ok_or_else(|| CoreError::Graph {
                    message: format!("output '{}' was not computed", plan.value(id).name),
                })
        })
        .collect()
}

/// The values that are computed and will be read again.
struct Held {
    values: Vec<Option<Tensor>>,
    /// By value: reads that are still to come.
    readers: Vec<u32>,
    /// Of all values together.
    bytes: u64,
    limit: u64,
}

impl Held {
    fn new(plan: &PlanView<'_>, limit: u64) -> Self {
        Self {
            values: (0..plan.value_count()).map(|_| None).collect(),
            readers: count_readers(plan),
            bytes: 0,
            limit,
        }
    }

    /// Refuses outputs of a node that do not fit beside what is held.
    fn check_room(&self, outputs: &[TensorType], node: &NodeName) -> Result<(), CoreError> {
        // What cannot be counted (strings) has its own limits.
        let sizes = outputs.iter().filter_map(TensorType::byte_len);
        let bytes = sizes.fold(self.bytes, |sum, size| sum.saturating_add(size as u64));
        if bytes <= self.limit {
            return Ok(());
        }
        Err(CoreError::TooLarge {
            what: format!("the values held at {node}"),
            bytes,
            limit: self.limit,
        })
    }

    fn put(&mut self, id: ValueId, tensor: Tensor) {
        self.bytes += size(&tensor);
        if let Some(old) = self.values[id.index()].replace(tensor) {
            self.bytes -= size(&old);
        }
    }

    /// Frees values that nothing will read again.
    fn release(&mut self, read: impl Iterator<Item = ValueId>) {
        for id in read {
            let left = &mut self.readers[id.index()];
            *left = left.saturating_sub(1);
            if *left == 0
                && let Some(tensor) = self.values[id.index()].take()
            {
                self.bytes -= size(&tensor);
            }
        }
    }
}

fn size(tensor: &Tensor) -> u64 {
    tensor.bytes().len() as u64
}

fn find<'a>(
    plan: &PlanView<'_>,
    constants: &'a dyn Constants,
    facts: &'a infer::Facts,
    held: &'a Held,
    id: ValueId,
) -> Option<TensorView<'a>> {
    held.values[id.index()]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Graph, Node, Value};
    use crate::{DType, ops, plan};

    /// Each node negates one value, by its number; x is 0, and what `kept` names is the plan's output.
    fn negations(of: &[usize], kept: &[usize], limit: u64) -> Result<usize, CoreError> {
        let mut graph = Graph::default();
        let ids: Vec<ValueId> = (0..=of.len())
            .map(|n| {
                graph.add_value(Value {
                    name: format!("v{n}"),
                    ty: (n == 0).then(|| TensorType::fixed(DType::F32, &[4])),
                    constant: None,
                })
            })
            .collect();
        for (n, &input) in of.iter().enumerate() {
            graph.nodes.push(Node {
                op_type: "Neg".into(),
                opset: 13,
                inputs: alloc::vec![Some(ids[input])],
                outputs: alloc::vec![Some(ids[n + 1])],
                ..Node::default()
            });
        }
        graph.inputs.push(ids[0]);
        graph.outputs = kept.iter().map(|&n| ids[n]).collect();
        let (bytes, _) = plan::encode(&graph, &plan::Arena::default())?;
        let plan = PlanView::parse(&bytes)?;
        let x = Tensor::from_slice(&[4], &[1.0f32; 4]).unwrap();
        let constants = Vec::<Tensor>::new();
        let table = OpTable(ops::ALL);
        let outputs = run_within(limit, &plan, &constants, table, &[x.view()], &mut |_, _| {})?;
        Ok(outputs.len())
    }

    #[test]
    fn many_small_values_are_summed_and_freed_ones_are_not() {
        // Sixteen bytes each: x and all seventy are held together; in a row, two at a time are.
        let side_by_side = [0; 70];
        let (in_a_row, all): (Vec<usize>, Vec<usize>) = ((0..70).collect(), (1..=70).collect());
        assert_eq!(negations(&side_by_side, &all, 71 * 16).unwrap(), 70);
        let refused = negations(&side_by_side, &all, 71 * 16 - 1);
        let Err(CoreError::TooLarge { bytes, limit, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!((bytes, limit), (71 * 16, 71 * 16 - 1));
        assert_eq!(negations(&in_a_row, &[70], 32).unwrap(), 1);
        assert!(negations(&in_a_row, &[70], 31).is_err());
    }
}
