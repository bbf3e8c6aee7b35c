//! The session: a loaded model, a few prepared shapes, checked inputs.

use crate::bytes::ModelBytes;
use crate::error::SessionError;
use crate::golden::{self, SelfTest};
use crate::model::{MAX_PORTS, Model, PortInfo};
use crate::options::SessionOptions;
use crate::prepared::Prepared;
use crate::validate::{Counters, InputFlags, Policy, check_type, check_values};
use running::UnderWay;
use sanderling_bundle::{BundleView, Manifest, Sha256Digest};
use sanderling_core::backend::{Backend, MemoryUse};
use sanderling_core::{DType, Graph, OpTable, Tensor, TensorView};
use sanderling_cpu::{CpuBackend, CpuOptions};
use std::rc::Rc;

mod running;
mod steps;

pub use running::Fallback;
pub use steps::{LayersRun, SelfTestRun};

/// A loaded model.
pub struct Session {
    model: Model,
    /// By preference; the CPU's is last.
    backends: Vec<Rc<dyn Backend>>,
    operators: OpTable<'static>,
    memory_limit: u64,
    shapes_kept: usize,
    /// The one used last comes first.
    prepared: Vec<Prepared>,
    policy: Policy,
    counters: Counters,
    fallbacks: Vec<Fallback>,
    /// A run that was started and has not been asked about to its end.
    under_way: Option<UnderWay>,
}

/// A node and the kernel that runs it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct KernelRow {
    /// The node's ONNX name; may be empty.
    pub node: String,
    /// Backend and kernel.
    pub kernel: String,
}

impl Session {
    /// Loads a bundle. What it needs of the runtime and of memory is checked before anything is taken.
    ///
    /// # Errors
    /// [`SessionError::Bundle`] for damaged bytes; [`SessionError::NeedsRuntime`], [`SessionError::MissingOperators`],
    /// [`SessionError::NoPlan`] and [`SessionError::TooLarge`] for what this runtime cannot serve.
    pub fn from_bundle(bytes: ModelBytes, options: &SessionOptions) -> Result<Self, SessionError> {
        Ok(Self::new(Model::from_bundle(bytes, options)?, options))
    }

    /// Takes a graph as the importer gives it, without packing it first.
    ///
    /// # Errors
    /// [`SessionError::Core`] for a graph that hangs together wrongly or holds unknown operators.
    pub fn from_graph(graph: Graph, options: &SessionOptions) -> Result<Self, SessionError> {
        let session = Self::new(Model::from_graph(graph)?, options);
        sanderling_core::infer::resolve(&session.model.plan()?, session.operators)?;
        Ok(session)
    }

    fn new(model: Model, options: &SessionOptions) -> Self {
        let detected = CpuOptions::detect(options.threads);
        let cpu = CpuOptions {
            isa: options.instructions.unwrap_or(detected.isa),
            profile: options.profile.clone(),
            ..detected
        };
        let mut backends = options.backends.clone();
        backends.push(Rc::new(CpuBackend::new(options.kernels, options.operators, cpu)));
        Self {
            model,
            backends,
            operators: options.operators,
            memory_limit: options.memory_limit,
            shapes_kept: options.shapes_kept.max(1),
            prepared: Vec::new(),
            policy: Policy {
                non_finite: options.non_finite,
                out_of_range: options.out_of_range,
            },
            counters: Counters::default(),
            fallbacks: Vec::new(),
            under_way: None,
        }
    }

    /// What goes in, in order.
    #[must_use]
    pub fn inputs(&self) -> &[PortInfo] {
        &self.model.inputs
    }

    /// What comes out, in order.
    #[must_use]
    pub fn outputs(&self) -> &[PortInfo] {
        &self.model.outputs
    }

    /// The bundle's manifest; none for a graph.
    #[must_use]
    pub fn manifest(&self) -> Option<&Manifest> {
        self.model.bundle().map(|(_, manifest)| manifest)
    }

    /// SHA-256 of the bundle; none for a graph. Reads all its bytes.
    #[must_use]
    pub fn digest(&self) -> Option<Sha256Digest> {
        self.model.digest()
    }

    /// What was counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Backends that failed since the session was made, and what they said: others have taken their nodes.
    #[must_use]
    pub fn fallbacks(&self) -> &[Fallback] {
        &self.fallbacks
    }

    /// Kernels of the shape used last.
    #[must_use]
    pub fn kernels(&self) -> Vec<KernelRow> {
        let rows = self.prepared.first().map_or(&[][..], Prepared::kernels);
        rows.iter()
            .map(|(node, kernel)| KernelRow {
                node: node.clone(),
                kernel: kernel.clone(),
            })
            .collect()
    }

    /// Bytes that all prepared shapes hold; packed weights that they share are counted for each.
    #[must_use]
    pub fn memory_use(&self) -> MemoryUse {
        self.prepared.iter().fold(MemoryUse::default(), |sum, prepared| {
            let memory = prepared.memory_use();
            MemoryUse {
                arena: sum.arena + memory.arena,
                scratch: sum.scratch + memory.scratch,
                packed: sum.packed + memory.packed,
            }
        })
    }

    /// Prepares a shape and runs it once on zeros, so that the first real run is as fast as the next.
    ///
    /// # Errors
    /// As [`Session::run`]; declared ranges do not apply.
    pub fn warm_up(&mut self, shapes: &[(&str, &[usize])]) -> Result<(), SessionError> {
        let dtype = |name: &str| {
            let port = self.model.inputs.iter().find(|port| port.name == name);
            port.and_then(|port| port.ty.as_ref())
                .map_or(DType::F32, |ty| ty.dtype)
        };
        let zeros = |&(name, shape): &(&str, &[usize])| Tensor::zeros(dtype(name), shape);
        let tensors = shapes.iter().map(zeros).collect::<Result<Vec<_>, _>>()?;
        let named: Vec<_> = shapes
            .iter()
            .zip(&tensors)
            .map(|(&(name, _), tensor)| (name, tensor.view()))
            .collect();
        let mut views = [None; MAX_PORTS];
        let count = self.order(&named, &mut views)?;
        self.run_ordered(&collect(&views, count))
    }

    /// Runs the model. Views may lie anywhere; their bytes are read before this returns.
    ///
    /// # Errors
    /// [`SessionError::InputName`], [`SessionError::InputType`] and [`SessionError::InputValue`] for inputs that do
    /// not fit; [`SessionError::Core`] where the shape cannot be prepared or the run fails.
    pub fn run(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Outputs<'_>, SessionError> {
        if inputs.iter().any(|(_, view)| !is_aligned(view)) {
            return self.run_copied(inputs);
        }
        let mut views = [None; MAX_PORTS];
        let mut flags = InputFlags::default();
        let count = match self.order(inputs, &mut views) {
            Ok(count) => count,
            Err(error) => {
                self.counters.wrong_type += 1;
                return Err(error);
            }
        };
        for (port, view) in self.model.inputs.iter().zip(views.iter().flatten()) {
            check_values(port, view, self.policy, &mut flags, &mut self.counters)?;
        }
        match self.run_ordered(&collect(&views, count)) {
            Ok(()) => self.counters.runs += 1,
            Err(error) => {
                self.counters.failed += 1;
                return Err(error);
            }
        }
        Ok(Outputs {
            model: &self.model,
            prepared: self.prepared.first(),
            flags,
        })
    }

    /// Copies inputs that do not lie on an element's boundary.
    fn run_copied(&mut self, inputs: &[(&str, TensorView<'_>)]) -> Result<Outputs<'_>, SessionError> {
        let copies: Vec<Tensor> = inputs.iter().map(|(_, view)| view.to_tensor()).collect();
        let named: Vec<_> = inputs
            .iter()
            .zip(&copies)
            .map(|((name, _), copy)| (*name, copy.view()))
            .collect();
        self.run(&named)
    }

    /// Puts inputs into the model's order and holds them to their types; says how many there are.
    fn order<'v>(
        &self,
        inputs: &[(&str, TensorView<'v>)],
        views: &mut [Option<TensorView<'v>>; MAX_PORTS],
    ) -> Result<usize, SessionError> {
        let ports = &self.model.inputs;
        let wrong = |name: &str, problem| SessionError::InputName {
            name: name.to_string(),
            problem,
            known: ports.iter().map(|port| port.name.clone()).collect(),
        };
        for (name, view) in inputs {
            let Some(index) = ports.iter().position(|port| port.name == *name) else {
                return Err(wrong(name, "does not exist"));
            };
            check_type(&ports[index], view)?;
            if views[index].replace(*view).is_some() {
                return Err(wrong(name, "is given twice"));
            }
        }
        match ports.iter().zip(views.iter()).find(|(_, view)| view.is_none()) {
            Some((port, _)) => Err(wrong(&port.name, "is missing")),
            None => Ok(ports.len()),
        }
    }

    /// Runs the bundle's golden vectors. A vector that fails is a result, not an error.
    ///
    /// # Errors
    /// [`SessionError::Bundle`] where the vectors cannot be read.
    pub fn self_test(&mut self) -> Result<SelfTest, SessionError> {
        let Some(bytes) = self.model.bundle().map(|(bytes, _)| bytes.clone()) else {
            return Ok(SelfTest::default());
        };
        let vectors = BundleView::parse(&bytes)?.golden()?;
        Ok(SelfTest {
            vectors: vectors.iter().map(|vector| golden::run(self, vector)).collect(),
        })
    }
}

/// Inputs in the model's order, on the stack.
struct Ordered<'v> {
    views: [TensorView<'v>; MAX_PORTS],
    count: usize,
}

impl<'v> Ordered<'v> {
    fn as_slice(&self) -> &[TensorView<'v>] {
        &self.views[..self.count]
    }
}

fn collect<'v>(views: &[Option<TensorView<'v>>; MAX_PORTS], count: usize) -> Ordered<'v> {
    let filler = views.iter().flatten().next().copied();
    // A model without inputs has a count of 0: what fills the array is not looked at.
    let filler = filler.or_else(|| TensorView::new(DType::U8, &[0], &[]).ok());
    let filler = filler.expect("an empty tensor is a tensor");
    Ordered {
        views: std::array::from_fn(|i| views[i].unwrap_or(filler)),
        count,
    }
}

fn is_aligned(view: &TensorView<'_>) -> bool {
    (view.bytes().as_ptr() as usize).is_multiple_of((view.dtype().bits() / 8).max(1))
}

/// Outputs of a run, where they lie; the session runs again once they are dropped.
pub struct Outputs<'a> {
    model: &'a Model,
    prepared: Option<&'a Prepared>,
    flags: InputFlags,
}

impl<'a> Outputs<'a> {
    /// An output by name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<TensorView<'a>> {
        self.at(self.model.outputs.iter().position(|port| port.name == name)?)
    }

    /// An output by position.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<TensorView<'a>> {
        self.prepared?.output(self.model, index)
    }

    /// All outputs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, TensorView<'a>)> + '_ {
        let ports = self.model.outputs.iter().enumerate();
        ports.filter_map(|(index, port)| Some((port.name.as_str(), self.at(index)?)))
    }

    /// What was wrong with the inputs, where that was to be flagged.
    #[must_use]
    pub fn flags(&self) -> InputFlags {
        self.flags
    }
}
