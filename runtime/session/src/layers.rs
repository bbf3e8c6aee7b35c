//! Every layer of a run, by digest: how two devices that disagree find out where.
//!
//! The model is prepared once more with every value as an output, so that nothing is fused away or overwritten, and run
//! by the same backends and kernels as always. What is *exact* has a digest (docs/numerics.md, section 5): integers that
//! follow from the inputs without float arithmetic on the way. Floats have none, nor has what is computed from them
//! (the bytes behind a softmax, a power with a float exponent), as backends may differ in their last places. Each
//! operator says whether it keeps floats exact ([`sanderling_core::Operator::exact`]).

use crate::error::SessionError;
use crate::model::Model;
use crate::prepared::Prepared;
use sanderling_bundle::Sha256Digest;
use sanderling_core::plan::{ValueKind, ValueView};
use sanderling_core::{DType, OpTable, TensorType, TensorView, ValueId};

/// One value that a run computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The node's ONNX name; may be empty.
    pub node: String,
    /// `domain:OpType` of the node; ONNX's own domain is left out.
    pub operator: String,
    /// The value's ONNX name.
    pub value: String,
    /// Its type.
    pub ty: TensorType,
    /// Its digest; none for floats and what depends on them.
    pub digest: Option<Sha256Digest>,
}

/// The layers of a run that is done, of a model that was prepared with every value observed and has read them back.
pub(crate) fn collect(
    prepared: &mut Prepared,
    model: &Model,
    operators: OpTable<'_>,
    inputs: &[TensorView<'_>],
) -> Result<Vec<Layer>, SessionError> {
    let plan = model.plan()?;
    let mut layers = Vec::new();
    let mut values = vec![None; plan.value_count()];
    for (id, view) in plan.inputs().zip(inputs) {
        let floats = is_float(view.dtype());
        values[id.index()] = Some(Known { exact: true, floats });
    }
    for node in plan.nodes() {
        let known = |id: ValueId| values[id.index()].unwrap_or_else(|| Known::before(model, plan.value(id)));
        let read = || node.inputs().flatten().map(known);
        let operator = operators.find(node.domain(), node.op_type(), node.opset());
        let keeps = operator.is_some_and(|operator| operator.exact());
        let exact = read().all(|value| value.exact) && (keeps || !read().any(|value| value.floats));
        for id in node.outputs().flatten() {
            let Some(tensor) = prepared.observed(id)? else {
                continue;
            };
            let floats = is_float(tensor.dtype());
            values[id.index()] = Some(Known { exact, floats });
            let operator = match node.domain() {
                "" => node.op_type().to_string(),
                domain => format!("{domain}:{}", node.op_type()),
            };
            layers.push(Layer {
                node: node.name().to_string(),
                operator,
                value: plan.value(id).name.to_string(),
                ty: tensor.ty(),
                digest: (exact && !floats).then(|| tensor.view().digest()),
            });
        }
    }
    Ok(layers)
}

/// What is known of a value: constants, and what shapes decide, are the same everywhere.
#[derive(Clone, Copy)]
struct Known {
    /// It is the same on every backend.
    exact: bool,
    /// It is of floats.
    floats: bool,
}

impl Known {
    /// Before a run computes it, if one does.
    fn before(model: &Model, value: ValueView<'_>) -> Self {
        let dtype = match value.kind {
            ValueKind::Constant(index) => model.constants.get(index).map(|view| view.dtype()),
            _ => value.ty().map(|ty| ty.dtype),
        };
        Self {
            exact: true,
            floats: dtype.is_some_and(is_float),
        }
    }
}

fn is_float(dtype: DType) -> bool {
    !(dtype.is_integer() || dtype == DType::Bool)
}
