//! Every layer of a run, by digest: how two devices that disagree find out where.
//!
//! The model is prepared once more with every value as an output, so that nothing is fused away or overwritten, and run
//! by the same backends and kernels as always. What is *exact* has a digest (docs/numerics.md, section 5): integers that
//! follow from the inputs without float arithmetic on the way. Floats have none, nor has what is computed from them
//! (the bytes behind a softmax), as backends may differ in their last places.

use crate::error::SessionError;
use crate::model::Model;
use crate::prepared::Prepared;
use sanderling_bundle::Sha256Digest;
use sanderling_core::plan::NodeView;
use sanderling_core::{DType, TensorType, TensorView};

/// Operators that give equal floats for equal floats on every backend: they move, compare, or multiply once.
const EXACT_ON_FLOATS: &[&str] = &[
    "Abs",
    "Clip",
    "Concat",
    "DequantizeLinear",
    "Expand",
    "Flatten",
    "Gather",
    "Identity",
    "Max",
    "MaxPool",
    "Min",
    "Neg",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Reshape",
    "Shape",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

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

/// Runs a model that was prepared with every value observed.
pub(crate) fn run(
    prepared: &mut Prepared,
    model: &Model,
    inputs: &[TensorView<'_>],
) -> Result<Vec<Layer>, SessionError> {
    prepared.run(model, inputs)?;
    let plan = model.plan()?;
    let mut layers = Vec::new();
    let mut values = vec![Known::default(); plan.value_count()];
    for (id, view) in plan.inputs().zip(inputs) {
        values[id.index()].floats = is_float(view.dtype());
    }
    for node in plan.nodes() {
        let read = || node.inputs().flatten().map(|id| values[id.index()]);
        let exact = read().all(|value| value.exact)
            && (is_exact_on_floats(&node) || !read().any(|value| value.floats));
        for id in node.outputs().flatten() {
            let Some(tensor) = prepared.observed(id)? else {
                continue;
            };
            let floats = is_float(tensor.dtype());
            values[id.index()] = Known { exact, floats };
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
    /// It is of floats, and not a constant.
    floats: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            exact: true,
            floats: false,
        }
    }
}

fn is_exact_on_floats(node: &NodeView<'_>) -> bool {
    node.domain().is_empty() && EXACT_ON_FLOATS.contains(&node.op_type())
}

fn is_float(dtype: DType) -> bool {
    !(dtype.is_integer() || dtype == DType::Bool)
}
