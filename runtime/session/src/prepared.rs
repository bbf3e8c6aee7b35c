//! A plan made ready for one set of input shapes.

use crate::error::SessionError;
use crate::model::{MAX_PORTS, Model};
use sanderling_core::backend::{Backend, Executable, Located, MemoryUse, Progress, Segment};
use sanderling_core::infer::{self, Facts};
use sanderling_core::partition::{Part, partition};
use sanderling_core::plan::{PlanView, ValueKind};
use sanderling_core::{CoreError, DType, OpTable, Tensor, TensorType, TensorView, ValueId};
use std::rc::Rc;

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
enum Origin {
    /// Input of the model.
    Input(usize),
    /// Output of a part.
    Part { part: usize, output: usize },
    /// A constant of the plan.
    Constant(u32),
}

/// An output of the model.
enum OutputFrom {
    /// Output of a part; read back where it lies on a device.
    Part {
        part: usize,
        output: usize,
        host: Option<Tensor>,
    },
    /// A constant of the plan.
    Constant(u32),
    /// Known from shapes, or copied from an input.
    Held(Tensor),
}

/// Executables for one set of shapes.
pub(crate) struct Prepared {
    shapes: Vec<Box<[usize]>>,
    parts: Vec<Ready>,
    outputs: Vec<OutputFrom>,
    /// Outputs that are inputs: copied at each run.
    copied: Vec<(usize, usize)>,
    kernels: Vec<(String, String)>,
    /// Where each value is that was to be observed.
    observed: Vec<(ValueId, usize, usize)>,
    /// The part that runs, and whether it was submitted.
    at: (usize, bool),
}

/// How long a thread sleeps between two looks at a device.
pub(crate) const PAUSE: std::time::Duration = std::time::Duration::from_micros(50);

struct Ready {
    inputs: Vec<Origin>,
    executable: Box<dyn Executable>,
}

/// Who prepares, and with how much memory.
pub(crate) struct Preparer<'a> {
    pub(crate) backends: &'a [Rc<dyn Backend>],
    pub(crate) operators: OpTable<'static>,
    pub(crate) memory_limit: u64,
    /// Keep every value that is computed, to be looked at after a run.
    pub(crate) observe: bool,
}

impl Preparer<'_> {
    /// Prepares a model for inputs of these types.
    pub(crate) fn prepare(
        &self,
        model: &Model,
        types: &[(DType, &[usize])],
    ) -> Result<Prepared, SessionError> {
        let plan = model.plan()?;
        let wanted: Vec<TensorType> = types
            .iter()
            .map(|(dtype, shape)| TensorType::fixed(*dtype, shape))
            .collect();
        let facts = infer::specialise(&plan, &*model.constants, self.operators, &wanted)?;
        let backends: Vec<&dyn Backend> = self.backends.iter().map(|backend| &**backend).collect();
        let mut parts = partition(&plan, &facts, &backends)?;
        if self.observe {
            parts.iter_mut().for_each(|part| observe(&plan, &facts, part));
        }
        let mut ready: Vec<Ready> = Vec::with_capacity(parts.len());
        let mut kernels = Vec::new();
        let mut left = self.memory_limit;
        for (index, part) in parts.iter().enumerate() {
            let segment = Segment {
                plan,
                nodes: part.nodes.clone(),
                facts: &facts,
                inputs: &part.inputs,
                outputs: &part.outputs,
                constants: model.constants.clone(),
                memory_limit: left,
            };
            let backend = backends[part.backend];
            let executable = backend.prepare(&segment)?;
            left = left.saturating_sub(total(executable.memory_use()));
            let row = |(node, kernel): (usize, String)| {
                (
                    plan.node(node).name().to_string(),
                    format!("{}: {kernel}", backend.name()),
                )
            };
            kernels.extend(executable.kernels().into_iter().map(row));
            let from = |id: &ValueId| source(&plan, &parts[..index], *id);
            let inputs = part.inputs.iter().map(from).collect::<Result<_, _>>()?;
            ready.push(Ready { inputs, executable });
        }
        let shapes = types.iter().map(|(_, shape)| Box::from(*shape)).collect();
        let mut prepared = Prepared {
            shapes,
            parts: ready,
            outputs: Vec::new(),
            copied: Vec::new(),
            kernels,
            observed: observed(&parts, self.observe),
            at: (0, false),
        };
        for id in plan.outputs() {
            prepared.add_output(&plan, &parts, &facts, types, id)?;
        }
        Ok(prepared)
    }
}

/// Makes every value that a part computes one of its outputs.
fn observe(plan: &PlanView<'_>, facts: &Facts, part: &mut Part) {
    let nodes = part.nodes.clone().map(|index| plan.node(index));
    let mut all: Vec<ValueId> = nodes
        .filter(|node| !facts.is_folded(node))
        .flat_map(|node| node.outputs().flatten().collect::<Vec<_>>())
        .filter(|id| facts.data(*id).is_none())
        .collect();
    all.retain(|id| !part.outputs.contains(id));
    part.outputs.extend(all);
}

fn observed(parts: &[Part], wanted: bool) -> Vec<(ValueId, usize, usize)> {
    let places = parts.iter().enumerate().flat_map(|(part, p)| {
        let outputs = p.outputs.iter().enumerate();
        outputs.map(move |(output, &id)| (id, part, output))
    });
    places.filter(|_| wanted).collect()
}

pub(crate) fn total(memory: MemoryUse) -> u64 {
    memory
        .arena
        .saturating_add(memory.scratch)
        .saturating_add(memory.packed)
}

fn source(plan: &PlanView<'_>, before: &[Part], id: ValueId) -> Result<Origin, SessionError> {
    if let ValueKind::Constant(index) = plan.value(id).kind {
        return Ok(Origin::Constant(index));
    }
    if let Some(index) = plan.inputs().position(|input| input == id) {
        return Ok(Origin::Input(index));
    }
    let found = before.iter().enumerate().find_map(|(part, p)| {
        let output = p.outputs.iter().position(|&output| output == id)?;
        Some(Origin::Part { part, output })
    });
    found.ok_or_else(|| {
        let message = format!("value '{}' is read before it is computed", plan.value(id).name);
        SessionError::Core(CoreError::Graph { message })
    })
}

impl Prepared {
    fn add_output(
        &mut self,
        plan: &PlanView<'_>,
        parts: &[Part],
        facts: &Facts,
        types: &[(DType, &[usize])],
        id: ValueId,
    ) -> Result<(), SessionError> {
        let output = match facts.data(id) {
            Some(data) => OutputFrom::Held(data.clone()),
            None => match source(plan, parts, id)? {
                Origin::Part { part, output } => OutputFrom::Part {
                    part,
                    output,
                    host: None,
                },
                Origin::Constant(index) => OutputFrom::Constant(index),
                Origin::Input(index) => {
                    self.copied.push((self.outputs.len(), index));
                    OutputFrom::Held(Tensor::zeros(types[index].0, types[index].1)?)
                }
            },
        };
        self.outputs.push(output);
        Ok(())
    }

    pub(crate) fn is_for(&self, inputs: &[TensorView<'_>]) -> bool {
        self.shapes
            .iter()
            .map(|shape| &**shape)
            .eq(inputs.iter().map(TensorView::shape))
    }

    pub(crate) fn memory_use(&self) -> MemoryUse {
        self.parts.iter().fold(MemoryUse::default(), |sum, part| {
            let memory = part.executable.memory_use();
            MemoryUse {
                arena: sum.arena + memory.arena,
                scratch: sum.scratch + memory.scratch,
                packed: sum.packed + memory.packed,
            }
        })
    }

    /// Node and kernel, in order.
    pub(crate) fn kernels(&self) -> &[(String, String)] {
        &self.kernels
    }

    /// Runs all parts and waits. On the CPU nothing is allocated.
    pub(crate) fn run(&mut self, model: &Model, inputs: &[TensorView<'_>]) -> Result<(), SessionError> {
        self.begin();
        while self.advance(model, inputs)? == Progress::Pending {
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }

    /// From the first part again.
    pub(crate) fn begin(&mut self) {
        self.at = (0, false);
    }

    /// Goes on until a device is waited for, or all is done. The inputs are those of all calls since `begin`.
    pub(crate) fn advance(
        &mut self,
        model: &Model,
        inputs: &[TensorView<'_>],
    ) -> Result<Progress, SessionError> {
        while self.at.0 < self.parts.len() {
            if !self.at.1 {
                self.submit(self.at.0, model, inputs)?;
                self.at.1 = true;
            }
            if self.parts[self.at.0].executable.poll()? == Progress::Pending {
                return Ok(Progress::Pending);
            }
            self.at = (self.at.0 + 1, false);
        }
        for &(output, input) in &self.copied {
            if let OutputFrom::Held(tensor) = &mut self.outputs[output] {
                tensor
                    .view_mut()
                    .bytes_mut()
                    .copy_from_slice(inputs[input].bytes());
            }
        }
        self.read_back()
    }

    fn submit(&mut self, index: usize, model: &Model, inputs: &[TensorView<'_>]) -> Result<(), SessionError> {
        let (before, rest) = self.parts.split_at_mut(index);
        let Some(part) = rest.first_mut() else {
            return Ok(());
        };
        let nothing = TensorView::new(DType::U8, &[0], &[])?;
        let mut operands = [Located::Host(nothing); MAX_PORTS];
        // Parts in the middle of a plan may have more inputs than a model; they are rare and may allocate.
        let mut many = Vec::new();
        let operands = match operands.get_mut(..part.inputs.len()) {
            Some(operands) => operands,
            None => {
                many.resize(part.inputs.len(), Located::Host(nothing));
                &mut many[..]
            }
        };
        for (slot, from) in operands.iter_mut().zip(&part.inputs) {
            *slot = locate(*from, before, model, inputs)?;
        }
        Ok(part.executable.submit(operands)?)
    }

    /// Copies outputs that lie on a device.
    fn read_back(&mut self) -> Result<Progress, SessionError> {
        for from in &mut self.outputs {
            let OutputFrom::Part { part, output, host } = from else {
                continue;
            };
            let executable = &mut self.parts[*part].executable;
            if matches!(executable.output(*output), Some(Located::Host(_))) {
                continue;
            }
            match executable.read_output(*output)? {
                Some(view) => *host = Some(view.to_tensor()),
                None => return Ok(Progress::Pending),
            }
        }
        Ok(Progress::Ready)
    }

    /// Whether every value that was to be observed is in the host's memory, or pending.
    pub(crate) fn read_observed(&mut self) -> Result<Progress, SessionError> {
        for &(_, part, output) in &self.observed {
            if self.parts[part].executable.read_output(output)?.is_none() {
                return Ok(Progress::Pending);
            }
        }
        Ok(Progress::Ready)
    }

    /// A value of the last run, where it was to be observed and has been read.
    pub(crate) fn observed(&mut self, id: ValueId) -> Result<Option<Tensor>, SessionError> {
        let found = self.observed.iter().find(|(value, ..)| *value == id);
        let Some(&(_, part, output)) = found else {
            return Ok(None);
        };
        let read = self.parts[part].executable.read_output(output)?;
        Ok(read.map(|view| view.to_tensor()))
    }

    /// An output of the last run.
    pub(crate) fn output<'a>(&'a self, model: &'a Model, index: usize) -> Option<TensorView<'a>> {
        match self.outputs.get(index)? {
            OutputFrom::Held(tensor) => Some(tensor.view()),
            OutputFrom::Constant(index) => model.constants.get(*index),
            OutputFrom::Part { part, output, host } => match self.parts[*part].executable.output(*output)? {
                Located::Host(view) => Some(view),
                Located::Device(_) => host.as_ref().map(Tensor::view),
            },
        }
    }
}

fn locate<'a>(
    from: Origin,
    before: &'a [Ready],
    model: &'a Model,
    inputs: &[TensorView<'a>],
) -> Result<Located<'a>, SessionError> {
    let found = match from {
        Origin::Input(index) => inputs.get(index).copied().map(Located::Host),
        Origin::Constant(index) => model.constants.get(index).map(Located::Host),
        Origin::Part { part, output } => before.get(part).and_then(|ready| ready.executable.output(output)),
    };
    found.ok_or_else(|| {
        let message = "a part's input was not computed".to_string();
        SessionError::Core(CoreError::Graph { message })
    })
}
