//! What is known of every value before a run: types, and data where only shapes decide it.
//!
//! One walk in order of the nodes calls each operator's shape rule with what is known so far. Where all inputs
//! of an operator have known data and its outputs are small, the reference computes them on the spot: so a chain
//! such as Shape → Gather → Concat disappears into the Reshape that reads it. Where a dimension has a name
//! instead of a number, small integer tensors carry names through the same chain.

use crate::attr::Attrs;
use crate::error::{CoreError, NodeName, OpError};
use crate::graph::{Graph, ValueId};
use crate::op::{EvalCx, InferCx, InputFact, OpTable, Operator, OutputFact};
use crate::plan::{Constants, NodeView, PlanView, ValueKind};
use crate::shape::{Dim, TensorType};
use crate::tensor::{Tensor, TensorView};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use sanderling_bundle::DType;

/// Most elements of an output that is computed while shapes are worked out.
pub const FOLD_LIMIT: usize = 4096;

/// What is known of one value.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fact {
    /// Type; none while its rank or dtype is unknown.
    pub ty: Option<TensorType>,
    /// Data that follows from shapes and constants (constants themselves are not copied here).
    pub data: Option<Tensor>,
    /// Elements of a small integer tensor that holds dimensions, where not all are numbers.
    pub dims: Option<Vec<Dim>>,
}

/// Applies one operator to what is known of its inputs.
///
/// `fold_limit` is the largest output, in elements, that is computed here; 0 computes none.
///
/// # Errors
/// What the operator's rule or reference says.
pub fn apply(
    op: &dyn Operator,
    attrs: Attrs<'_>,
    opset: u16,
    inputs: &[Option<InputFact<'_>>],
    output_count: usize,
    fold_limit: usize,
) -> Result<Vec<Fact>, OpError> {
    let mut outputs = alloc::vec![OutputFact::default(); output_count];
    op.infer(&mut InferCx::new(attrs, opset, inputs, &mut outputs))?;
    let mut facts: Vec<Fact> = outputs.into_iter().map(from_output).collect::<Result<_, _>>()?;
    let all_known = inputs.iter().flatten().all(|fact| fact.data.is_some());
    let sizes = facts
        .iter()
        .map(|fact| fact.ty.as_ref().and_then(TensorType::concrete));
    let small = sizes.map(|shape| shape.and_then(|shape| crate::shape::element_count(&shape)));
    let foldable = small.into_iter().all(|n| n.is_some_and(|n| n <= fold_limit));
    let already = facts.iter().all(|fact| fact.data.is_some());
    if all_known && foldable && !already && op.deterministic() {
        let views: Vec<Option<TensorView<'_>>> = inputs
            .iter()
            .map(|fact| fact.as_ref().and_then(|f| f.data))
            .collect();
        let types: Vec<TensorType> = facts.iter().filter_map(|fact| fact.ty.clone()).collect();
        for (fact, tensor) in facts.iter_mut().zip(eval(op, attrs, opset, &views, &types)?) {
            fact.data = Some(tensor);
            fact.dims = None;
        }
    }
    Ok(facts)
}

/// Runs an operator's reference into fresh tensors of these types, which must be concrete.
///
/// # Errors
/// What the reference says; [`OpError::Shape`] for a type that is not concrete.
pub fn eval(
    op: &dyn Operator,
    attrs: Attrs<'_>,
    opset: u16,
    inputs: &[Option<TensorView<'_>>],
    outputs: &[TensorType],
) -> Result<Vec<Tensor>, OpError> {
    let mut tensors = outputs
        .iter()
        .map(|ty| match ty.concrete() {
            Some(shape) => Tensor::zeros(ty.dtype, &shape),
            None => Err(OpError::shape(format!("the output {ty} has no concrete shape"))),
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut views: Vec<_> = tensors.iter_mut().map(|tensor| Some(tensor.view_mut())).collect();
    op.eval(&mut EvalCx {
        attrs,
        opset,
        inputs,
        outputs: &mut views,
    })?;
    Ok(tensors)
}

/// Dimensions that are all numbers are data.
fn from_output(output: OutputFact) -> Result<Fact, OpError> {
    let OutputFact { ty, dims } = output;
    let numbers: Option<Vec<i64>> = dims
        .as_ref()
        .and_then(|dims| dims.iter().map(Dim::fixed).collect());
    let shape = ty.as_ref().and_then(TensorType::concrete);
    match (numbers, shape, ty.as_ref().map(|ty| ty.dtype)) {
        (Some(numbers), Some(shape), Some(DType::I64)) => {
            let data = Some(Tensor::from_slice(&shape, &numbers)?);
            Ok(Fact { ty, data, dims: None })
        }
        _ => Ok(Fact { ty, data: None, dims }),
    }
}

/// The shapes of a node's inputs, in words.
fn describe<'a>(inputs: impl Iterator<Item = Option<&'a TensorType>>) -> String {
    let words: Vec<String> = inputs
        .map(|ty| ty.map_or("-".to_string(), ToString::to_string))
        .collect();
    words.join(", ")
}

fn node_error(node: NodeName, inputs: &[Option<InputFact<'_>>], source: OpError) -> CoreError {
    CoreError::at(
        node,
        describe(inputs.iter().map(|fact| fact.as_ref().map(|f| f.ty))),
        source,
    )
}

/// Finds each node's operator.
///
/// # Errors
/// [`CoreError::UnknownOperators`] naming every node whose operator the table lacks.
pub fn resolve<'t>(plan: &PlanView<'_>, table: OpTable<'t>) -> Result<Vec<&'t dyn Operator>, CoreError> {
    let find = |node: &NodeView<'_>| table.find(node.domain(), node.op_type(), node.opset());
    let unknown: Vec<NodeName> = plan
        .nodes()
        .filter(|node| find(node).is_none())
        .map(|node| node.display_name())
        .collect();
    if unknown.is_empty() {
        Ok(plan.nodes().filter_map(|node| find(&node)).collect())
    } else {
        Err(CoreError::UnknownOperators { nodes: unknown })
    }
}

/// What is known of a plan's values for one set of input types.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts(Vec<Fact>);

impl Facts {
    /// Type of a value.
    #[must_use]
    pub fn ty(&self, value: ValueId) -> Option<&TensorType> {
        self.0.get(value.index())?.ty.as_ref()
    }

    /// Data of a value that follows from shapes; for constants of the plan see [`known`].
    #[must_use]
    pub fn data(&self, value: ValueId) -> Option<&Tensor> {
        self.0.get(value.index())?.data.as_ref()
    }

    /// Whether a node has nothing left to compute: the data of all its outputs is known.
    #[must_use]
    pub fn is_folded(&self, node: &NodeView<'_>) -> bool {
        node.outputs().flatten().all(|v| self.data(v).is_some())
    }
}

/// The data of a value, where it is a constant of the plan or follows from shapes.
#[must_use]
pub fn known<'a>(
    plan: &PlanView<'_>,
    constants: &'a dyn Constants,
    facts: &'a Facts,
    value: ValueId,
) -> Option<TensorView<'a>> {
    match plan.value(value).kind {
        ValueKind::Constant(index) => constants.get(index),
        _ => facts.data(value).map(Tensor::view),
    }
}

/// Works out every value's type for these input types, which may be symbolic.
///
/// # Errors
/// [`CoreError::Input`] where inputs do not fit the plan's, [`CoreError::UnknownOperators`], and
/// [`CoreError::Node`] where an operator refuses its inputs.
pub fn specialise(
    plan: &PlanView<'_>,
    constants: &dyn Constants,
    table: OpTable<'_>,
    inputs: &[TensorType],
) -> Result<Facts, CoreError> {
    let operators = resolve(plan, table)?;
    let mut facts = Facts(alloc::vec![Fact::default(); plan.value_count()]);
    check_inputs(plan, inputs)?;
    for (id, ty) in plan.inputs().zip(inputs) {
        facts.0[id.index()].ty = Some(ty.clone());
    }
    for index in 0..plan.value_count() {
        if let ValueKind::Constant(constant) = plan.value(ValueId(index as u32)).kind {
            let view = constants.get(constant).ok_or(CoreError::Plan {
                what: "constant",
                offset: index,
            })?;
            facts.0[index].ty = Some(TensorType::fixed(view.dtype(), view.shape()));
        }
    }
    for (node, op) in plan.nodes().zip(operators) {
        let inputs: Option<Vec<Option<InputFact<'_>>>> = node
            .inputs()
            .map(|input| plan_input(plan, constants, &facts, input))
            .collect();
        let Some(inputs) = inputs else { continue };
        let found = apply(
            op,
            node.attrs(),
            node.opset(),
            &inputs,
            node.outputs().len(),
            FOLD_LIMIT,
        )
        .map_err(|source| node_error(node.display_name(), &inputs, source))?;
        for (id, fact) in node.outputs().zip(found) {
            if let Some(id) = id {
                facts.0[id.index()] = fact;
            }
        }
    }
    Ok(facts)
}

/// The fact of an input: `Some(None)` where it is left out, `None` where its type is not known.
fn plan_input<'a>(
    plan: &PlanView<'_>,
    constants: &'a dyn Constants,
    facts: &'a Facts,
    input: Option<ValueId>,
) -> Option<Option<InputFact<'a>>> {
    let Some(id) = input else { return Some(None) };
    let fact = &facts.0[id.index()];
    let data = known(plan, constants, facts, id);
    Some(Some(InputFact {
        ty: fact.ty.as_ref()?,
        data,
        dims: fact.dims.as_deref(),
    }))
}

fn check_inputs(plan: &PlanView<'_>, inputs: &[TensorType]) -> Result<(), CoreError> {
    let (wanted, given) = (plan.inputs().count(), inputs.len());
    if wanted != given {
        let message = format!("the model takes {wanted} inputs, {given} are given");
        return Err(CoreError::Graph { message });
    }
    for (id, ty) in plan.inputs().zip(inputs) {
        let value = plan.value(id);
        let Some(declared) = value.ty() else { continue };
        let dims_fit = declared.shape.iter().zip(&ty.shape).all(|pair| match pair {
            (Dim::Fixed(want), Dim::Fixed(got)) => want == got,
            _ => true,
        });
        if declared.dtype != ty.dtype || declared.rank() != ty.rank() || !dims_fit {
            let message = format!("the model takes {declared}, this is {ty}");
            return Err(CoreError::Input {
                name: value.name.to_string(),
                message,
            });
        }
    }
    Ok(())
}

/// Works out the types of a graph's values in place; the compiler's form of [`specialise`].
///
/// Nodes must be in order ([`Graph::check`]). Returns what is known beside the types: data and named
/// dimensions, by index of the value. Nodes of operators that the table lacks are passed over.
///
/// # Errors
/// [`CoreError::Node`] where an operator refuses its inputs.
pub fn infer_graph(graph: &mut Graph, table: OpTable<'_>, fold_limit: usize) -> Result<Vec<Fact>, CoreError> {
    let mut facts: Vec<Fact> = graph.values.iter().map(|_| Fact::default()).collect();
    for (value, fact) in graph.values.iter().zip(&mut facts) {
        let given = value.constant.as_ref().map(Tensor::ty);
        fact.ty = given;
    }
    for &id in &graph.inputs {
        facts[id.index()].ty = graph.value(id).ty.clone();
    }
    for node in &graph.nodes {
        let Some(op) = table.find(&node.domain, &node.op_type, node.opset) else {
            continue;
        };
        let inputs: Option<Vec<Option<InputFact<'_>>>> = node
            .inputs
            .iter()
            .map(|input| {
                let Some(id) = input else { return Some(None) };
                let fact = &facts[id.index()];
                let data = graph.constant(*id).or(fact.data.as_ref()).map(Tensor::view);
                Some(Some(InputFact {
                    ty: fact.ty.as_ref()?,
                    data,
                    dims: fact.dims.as_deref(),
                }))
            })
            .collect();
        let Some(inputs) = inputs else { continue };
        let attrs = Attrs::of_graph(&node.attributes);
        let found = apply(op, attrs, node.opset, &inputs, node.outputs.len(), fold_limit)
            .map_err(|source| node_error(node.display_name(), &inputs, source))?;
        for (id, fact) in node.outputs.iter().zip(found) {
            if let Some(id) = id {
                facts[id.index()] = fact;
            }
        }
    }
    for (value, fact) in graph.values.iter_mut().zip(&facts) {
        if let Some(ty) = &fact.ty {
            value.ty = Some(ty.clone());
        }
    }
    Ok(facts)
}
