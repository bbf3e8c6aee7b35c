//! A loaded model: checked plan, constants where they lie, names and types of what goes in and out.

use crate::bytes::ModelBytes;
use crate::error::SessionError;
use crate::options::SessionOptions;
use crate::{RUNTIME_VERSION, qualified};
use sanderling_bundle::{BundleView, DType, Manifest, Sha256Digest, ValueSpec};
use sanderling_core::plan::{self, Constants, PlanView};
use sanderling_core::{Dim, Graph, NUMERICS, OpTable, Tensor, TensorType, TensorView, ValueId};
use std::ops::Range;
use std::rc::Rc;

/// Most inputs, and most outputs, of a model that a session takes.
pub const MAX_PORTS: usize = 64;

/// An input or output.
#[derive(Debug, Clone, PartialEq)]
pub struct PortInfo {
    /// ONNX name.
    pub name: String,
    /// Type, dimensions that only a run knows by name; none where the plan does not say.
    pub ty: Option<TensorType>,
    /// Smallest and largest legal element, where the bundle declares them.
    pub range: Option<(f64, f64)>,
}

impl PortInfo {
    /// The shape of a tensor with this many elements: one dimension that the model leaves open follows from their number.
    ///
    /// # Errors
    /// [`SessionError::Pipeline`] where the number does not fit, or leaves more than one shape.
    pub fn shape_of(&self, elements: usize) -> Result<Vec<usize>, SessionError> {
        let name = &self.name;
        let refuse = |message: String| SessionError::Pipeline { message };
        let Some(ty) = &self.ty else {
            return Err(refuse(format!(
                "the model does not say what its input '{name}' is: give a tensor with its shape"
            )));
        };
        let misfit = || {
            refuse(format!(
                "{elements} elements are not a tensor {ty}, as input '{name}' is"
            ))
        };
        let open = ty.shape.iter().filter(|dim| dim.fixed().is_none()).count();
        if open > 1 {
            return Err(refuse(format!(
                "input '{name}' is {ty}: more than one dimension is open, give a tensor with its shape"
            )));
        }
        let fixed = ty.shape.iter().filter_map(Dim::fixed);
        let known = fixed
            .map(usize::try_from)
            .try_fold(1usize, |n, dim| n.checked_mul(dim.ok()?))
            .ok_or_else(misfit)?;
        let fits = match open {
            0 => known == elements,
            _ => known != 0 && elements.is_multiple_of(known),
        };
        if !fits {
            return Err(misfit());
        }
        let dim = |dim: &Dim| match dim.fixed() {
            Some(n) => usize::try_from(n).unwrap_or(usize::MAX),
            None => elements / known,
        };
        Ok(ty.shape.iter().map(dim).collect())
    }
}

/// Where a model comes from.
enum Source {
    Bundle {
        bytes: ModelBytes,
        plan: Range<usize>,
        manifest: Box<Manifest>,
    },
    Graph {
        plan: Vec<u8>,
    },
}

pub(crate) struct Model {
    source: Source,
    pub(crate) constants: Rc<dyn Constants>,
    pub(crate) inputs: Vec<PortInfo>,
    pub(crate) outputs: Vec<PortInfo>,
}

impl Model {
    /// Checks a bundle against this runtime and the caller's limits, then keeps it.
    pub(crate) fn from_bundle(bytes: ModelBytes, options: &SessionOptions) -> Result<Self, SessionError> {
        let view = BundleView::parse_with(&bytes, &options.limits)?;
        if options.verify_hashes {
            view.verify_hashes()?;
        }
        let numerics = view.header().numerics;
        if numerics > NUMERICS {
            return Err(SessionError::NeedsNumerics {
                needs: numerics,
                have: NUMERICS,
            });
        }
        let manifest = Box::new(view.manifest()?);
        check_needs(&manifest, options)?;
        let plan = ["cpu", "any"].iter().find_map(|target| view.plan(target));
        let targets = || view.plans().map(|(target, _)| target.to_string()).collect();
        let plan = plan.ok_or_else(|| SessionError::NoPlan { targets: targets() })?;
        let plan = range_in(&bytes, plan);
        let constants = Rc::new(BundleConstants::new(&bytes, &view));
        let parsed = PlanView::parse(&bytes[plan.clone()])?;
        let inputs = ports(&parsed, parsed.inputs(), &manifest.inputs)?;
        let outputs = ports(&parsed, parsed.outputs(), &manifest.outputs)?;
        Ok(Self {
            inputs,
            outputs,
            constants,
            source: Source::Bundle {
                bytes,
                plan,
                manifest,
            },
        })
    }

    /// Encodes a graph's plan and takes its constants.
    pub(crate) fn from_graph(mut graph: Graph) -> Result<Self, SessionError> {
        graph.check()?;
        let (bytes, ids) = plan::encode(&graph, &plan::Arena::default())?;
        let take = |id: ValueId| graph.values[id.index()].constant.take();
        let constants: Vec<Tensor> = ids.into_iter().filter_map(take).collect();
        let parsed = PlanView::parse(&bytes)?;
        let inputs = ports(&parsed, parsed.inputs(), &[])?;
        let outputs = ports(&parsed, parsed.outputs(), &[])?;
        Ok(Self {
            inputs,
            outputs,
            constants: Rc::new(constants),
            source: Source::Graph { plan: bytes },
        })
    }

    /// The plan; its bytes were checked at load and do not change.
    pub(crate) fn plan(&self) -> Result<PlanView<'_>, SessionError> {
        let bytes = match &self.source {
            Source::Bundle { bytes, plan, .. } => &bytes[plan.clone()],
            Source::Graph { plan } => plan,
        };
        Ok(PlanView::parse(bytes)?)
    }

    pub(crate) fn bundle(&self) -> Option<(&ModelBytes, &Manifest)> {
        match &self.source {
            Source::Bundle { bytes, manifest, .. } => Some((bytes, manifest)),
            Source::Graph { .. } => None,
        }
    }

    pub(crate) fn digest(&self) -> Option<Sha256Digest> {
        self.bundle().map(|(bytes, _)| sanderling_bundle::sha256(bytes))
    }
}

/// Runtime version, operators and memory, before anything is taken.
fn check_needs(manifest: &Manifest, options: &SessionOptions) -> Result<(), SessionError> {
    if manifest.min_runtime > RUNTIME_VERSION {
        return Err(SessionError::NeedsRuntime {
            needs: manifest.min_runtime,
            have: RUNTIME_VERSION,
        });
    }
    let operators = missing_operators(options.operators, &manifest.operators);
    if !operators.is_empty() {
        return Err(SessionError::MissingOperators { operators });
    }
    let resources = &manifest.resources;
    let bytes = resources
        .constant_bytes
        .saturating_add(resources.arena_bytes.unwrap_or(0));
    if bytes > options.memory_limit {
        let what = "weights and intermediates";
        return Err(SessionError::TooLarge {
            what,
            bytes,
            limit: options.memory_limit,
        });
    }
    Ok(())
}

fn missing_operators(table: OpTable<'_>, needed: &[String]) -> Vec<String> {
    let has = |name: &str| table.0.iter().any(|op| qualified(op.domain(), op.name()) == name);
    needed.iter().filter(|name| !has(name)).cloned().collect()
}

fn ports(
    plan: &PlanView<'_>,
    ids: impl Iterator<Item = ValueId>,
    specs: &[ValueSpec],
) -> Result<Vec<PortInfo>, SessionError> {
    let port = |id: ValueId| {
        let value = plan.value(id);
        let spec = specs.iter().find(|spec| spec.name == value.name);
        PortInfo {
            name: value.name.to_string(),
            ty: value.ty(),
            range: spec.and_then(|spec| spec.range),
        }
    };
    let ports: Vec<PortInfo> = ids.take(MAX_PORTS + 1).map(port).collect();
    if ports.len() > MAX_PORTS {
        let message =
            format!("the model has more than {MAX_PORTS} inputs or outputs, a session takes {MAX_PORTS}");
        return Err(SessionError::Description { message });
    }
    Ok(ports)
}

/// Where a part lies in the whole; both are of one allocation.
fn range_in(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

/// The tensors of a bundle, where they lie.
struct BundleConstants {
    bytes: ModelBytes,
    tensors: Vec<(DType, Box<[usize]>, Range<usize>)>,
}

impl BundleConstants {
    fn new(bytes: &ModelBytes, view: &BundleView<'_>) -> Self {
        let tensors = view.tensors().iter().map(|tensor| {
            // The reader has checked that the data is as long as the shape says: dimensions fit the address space.
            let shape = tensor
                .dims
                .iter()
                .map(|dim| usize::try_from(dim).unwrap_or(usize::MAX))
                .collect();
            let range = if tensor.data.is_empty() {
                0..0
            } else {
                range_in(bytes, tensor.data)
            };
            (tensor.dtype, shape, range)
        });
        Self {
            bytes: bytes.clone(),
            tensors: tensors.collect(),
        }
    }
}

impl Constants for BundleConstants {
    fn get(&self, index: u32) -> Option<TensorView<'_>> {
        let (dtype, shape, range) = self.tensors.get(index as usize)?;
        TensorView::new(*dtype, shape, self.bytes.get(range.clone())?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(dims: Vec<Dim>, elements: usize) -> Result<Vec<usize>, String> {
        let port = PortInfo {
            name: "x".into(),
            ty: Some(TensorType {
                dtype: DType::F32,
                shape: dims,
            }),
            range: None,
        };
        port.shape_of(elements).map_err(|error| error.to_string())
    }

    #[test]
    fn one_open_dimension_follows_from_the_number_of_elements() {
        let (two, three) = (Dim::Fixed(2), Dim::Fixed(3));
        assert_eq!(shape(vec![two.clone(), three.clone()], 6), Ok(vec![2, 3]));
        assert_eq!(shape(vec![Dim::Unknown, three.clone()], 12), Ok(vec![4, 3]));
        assert_eq!(shape(vec![], 1), Ok(vec![]));
        for (dims, elements) in [
            (vec![two.clone(), three.clone()], 5),
            (vec![Dim::Unknown, three.clone()], 13),
            (vec![Dim::Unknown, Dim::Fixed(0)], 12),
            (vec![Dim::Fixed(i64::MAX), Dim::Fixed(i64::MAX)], 1),
            (vec![Dim::Unknown, Dim::Fixed(-1)], 1),
        ] {
            let problem = shape(dims, elements).unwrap_err();
            assert!(
                problem.contains(&format!("{elements} elements are not")),
                "{problem}"
            );
        }
        let problem = shape(vec![Dim::Unknown, Dim::Unknown], 6).unwrap_err();
        assert!(problem.contains("more than one dimension is open"), "{problem}");
    }
}
