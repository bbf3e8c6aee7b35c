//! A prepared segment: steps, an arena, and the walk over them.

use crate::aligned::AlignedBytes;
use crate::cut::{Piece, cut};
use crate::env::Env;
use crate::layout::{Home, Layout, Operand, StepLayout};
use crate::op::{RunCx, ValueType};
use crate::profile::Profile;
use crate::select::{Selected, Work};
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use alloc::{borrow::ToOwned, format};
use core::ops::Range;
use sanderling_core::backend::{Executable, Located, MemoryUse, Progress};
use sanderling_core::error::{CoreError, NodeName};
use sanderling_core::plan::Constants;
use sanderling_core::tensor::{TensorView, TensorViewMut};
use sanderling_core::{OpError, Tensor, TensorType, ValueId};
use sanderling_kernels::{Best, Ctx, Parallel};

/// Most operands, and most regions, of one step. A node with more is refused when it is prepared.
pub const MAX_OPERANDS: usize = 1024;

/// A node that runs.
struct Step {
    node: usize,
    name: NodeName,
    input_types: String,
    work: Work,
    layout: StepLayout,
    /// Row in the profile.
    row: usize,
}

/// What every step sees of the executable.
struct Shared {
    constants: Rc<dyn Constants>,
    /// By value; tensors that follow from shapes.
    known: Vec<(ValueId, Tensor)>,
    isa: Best,
    parallel: Rc<dyn Parallel>,
    profile: Option<Rc<Profile>>,
}

/// A segment on the CPU.
pub(crate) struct CpuExecutable {
    steps: Vec<Step>,
    shared: Shared,
    inputs: Vec<(String, ValueType)>,
    outputs: Vec<(Home, ValueType, Range<usize>)>,
    arena: AlignedBytes,
    packed: u64,
    aliases: Vec<(usize, String)>,
    done: bool,
}

impl CpuExecutable {
    /// Takes the arena's memory.
    pub(crate) fn new(env: &Env<'_>, selected: Vec<Selected>, layout: Layout) -> Result<Self, CoreError> {
        let plan = env.segment.plan;
        let mut layouts = layout.steps.into_iter();
        let (mut steps, mut aliases) = (Vec::new(), Vec::new());
        for Selected { node, work } in selected {
            let view = plan.node(node);
            if matches!(work, Work::Alias) {
                aliases.push((node, work.describe()));
                continue;
            }
            let layout = layouts.next().unwrap_or_default();
            let operands = layout
                .inputs
                .len()
                .max(layout.outputs.len())
                .max(layout.regions.len());
            if operands > MAX_OPERANDS {
                let what = format!("a node with {operands} operands (at most {MAX_OPERANDS})");
                return Err(env.at_node(&view, OpError::unsupported(what)));
            }
            let name = view.display_name();
            let row = env.backend.profile.as_ref().map_or(0, |profile| {
                let first = layout.outputs.iter().flatten().next();
                profile.register(
                    &name,
                    work.describe(),
                    first.map_or(String::new(), |o| describe(&o.ty)),
                )
            });
            steps.push(Step {
                node,
                name,
                input_types: env.describe_inputs(&view),
                work,
                layout,
                row,
            });
        }
        let ty = |id: &ValueId| {
            let ty = env.ty(*id).cloned();
            ty.map(|ty| (plan.value(*id).name.to_owned(), ty))
        };
        Ok(Self {
            shared: Shared {
                constants: env.constants.clone(),
                known: known_data(env, &steps, &layout.outputs),
                isa: env.backend.isa,
                parallel: env.backend.parallel.clone(),
                profile: env.backend.profile.clone(),
            },
            inputs: env.segment.inputs.iter().filter_map(ty).collect(),
            outputs: layout.outputs,
            arena: AlignedBytes::zeroed(layout.arena),
            packed: env.packed(),
            aliases,
            steps,
            done: false,
        })
    }

    fn check_inputs(&self, inputs: &[Located<'_>]) -> Result<(), CoreError> {
        if inputs.len() != self.inputs.len() {
            let message = format!(
                "the segment takes {} inputs, {} are given",
                self.inputs.len(),
                inputs.len()
            );
            return Err(CoreError::Graph { message });
        }
        for ((name, ty), input) in self.inputs.iter().zip(inputs) {
            let refuse = |message| {
                Err(CoreError::Input {
                    name: name.clone(),
                    message,
                })
            };
            let Located::Host(view) = input else {
                return refuse("it lies on a device; read it back first".to_string());
            };
            if view.dtype() != ty.dtype || view.shape() != &*ty.shape {
                let given = TensorType::fixed(view.dtype(), view.shape());
                return refuse(format!("prepared for {}, this is {given}", describe(ty)));
            }
            if !(view.bytes().as_ptr() as usize).is_multiple_of((ty.dtype.bits() / 8).max(1)) {
                return refuse("its bytes do not lie on an element's boundary; copy them".to_string());
            }
        }
        Ok(())
    }
}

fn describe(ty: &ValueType) -> String {
    TensorType::fixed(ty.dtype, &ty.shape).to_string()
}

/// Copies what steps read of the facts, which do not outlive the segment.
fn known_data(
    env: &Env<'_>,
    steps: &[Step],
    outputs: &[(Home, ValueType, Range<usize>)],
) -> Vec<(ValueId, Tensor)> {
    let operands = steps
        .iter()
        .flat_map(|step| step.layout.inputs.iter().flatten().map(|o| o.home));
    let mut ids: Vec<ValueId> = operands
        .chain(outputs.iter().map(|o| o.0))
        .filter_map(|home| {
            if let Home::Known(id) = home {
                Some(id)
            } else {
                None
            }
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| Some((id, env.segment.facts.data(id)?.clone())))
        .collect()
}

impl Shared {
    fn known(&self, id: ValueId) -> Option<TensorView<'_>> {
        let at = self.known.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        Some(self.known[at].1.view())
    }
}

impl Step {
    fn failed(&self, source: OpError) -> CoreError {
        CoreError::at(self.name.clone(), self.input_types.clone(), source)
    }

    /// Runs in the smallest size class that holds the operands: they lie on the stack, so that nothing is allocated.
    fn run(&self, shared: &Shared, inputs: &[Located<'_>], arena: &mut [u8]) -> Result<(), CoreError> {
        let layout = &self.layout;
        let operands = layout
            .inputs
            .len()
            .max(layout.outputs.len())
            .max(layout.regions.len());
        match operands {
            0..=6 => self.run_sized::<6>(shared, inputs, arena),
            7..=32 => self.run_sized::<32>(shared, inputs, arena),
            _ => self.run_sized::<MAX_OPERANDS>(shared, inputs, arena),
        }
    }

    fn run_sized<'a, const N: usize>(
        &'a self,
        shared: &'a Shared,
        inputs: &[Located<'a>],
        arena: &'a mut [u8],
    ) -> Result<(), CoreError> {
        let layout = &self.layout;
        let outside = || self.failed(OpError::shape("its operands do not lie in the arena"));
        let mut pieces: [Piece<'a>; N] = cut(arena, &layout.regions).ok_or_else(outside)?;
        let mut given: [Option<TensorView<'a>>; N] = [None; N];
        for (slot, operand) in given.iter_mut().zip(&layout.inputs) {
            if let Some(operand) = operand {
                let view = find(operand, shared, inputs, &pieces).map_err(|e| self.failed(e))?;
                *slot = Some(view);
            }
        }
        let mut wanted: [Option<TensorViewMut<'a>>; N] = core::array::from_fn(|_| None);
        for (slot, operand) in wanted.iter_mut().zip(&layout.outputs) {
            if let Some(operand) = operand {
                let bytes = operand
                    .region
                    .and_then(|region| pieces[region].take())
                    .unwrap_or(empty());
                let view = TensorViewMut::new(operand.ty.dtype, &operand.ty.shape, bytes);
                *slot = Some(view.map_err(|e| self.failed(e))?);
            }
        }
        let scratch = layout
            .scratch
            .and_then(|region| pieces[region].take())
            .unwrap_or(empty());
        let scratch = bytemuck::try_cast_slice_mut(scratch).map_err(|_| outside())?;
        let mut cx = RunCx {
            inputs: &given[..layout.inputs.len()],
            outputs: &mut wanted[..layout.outputs.len()],
            scratch,
            ctx: Ctx::new(shared.isa, &*shared.parallel),
            in_place: layout.in_place,
        };
        self.work.run(&mut cx).map_err(|e| self.failed(e))
    }
}

/// No bytes, at an address where elements of any size may be none.
fn empty<'a>() -> &'a mut [u8] {
    bytemuck::cast_slice_mut::<u64, u8>(&mut [])
}

/// An input operand's data.
fn find<'a>(
    operand: &'a Operand,
    shared: &'a Shared,
    inputs: &[Located<'a>],
    pieces: &[Piece<'a>],
) -> Result<TensorView<'a>, OpError> {
    let bytes = match operand.home {
        Home::Input(slot) => match inputs.get(slot) {
            Some(Located::Host(view)) => Some(view.bytes()),
            _ => None,
        },
        Home::Constant(index) => shared.constants.get(index).map(|view| view.bytes()),
        Home::Known(id) => shared.known(id).map(|view| view.bytes()),
        Home::Storage(_) if operand.ty.bytes == 0 => Some(&*empty()),
        Home::Storage(_) => operand.region.and_then(|region| pieces[region].read()),
        Home::None => None,
    };
    let bytes = bytes.ok_or_else(|| OpError::shape("an operand was not computed"))?;
    TensorView::new(operand.ty.dtype, &operand.ty.shape, bytes)
}

impl Executable for CpuExecutable {
    fn submit(&mut self, inputs: &[Located<'_>]) -> Result<(), CoreError> {
        self.done = false;
        self.check_inputs(inputs)?;
        for step in &self.steps {
            let start = self.shared.profile.as_ref().map(|profile| profile.now());
            step.run(&self.shared, inputs, self.arena.as_mut())?;
            if let (Some(profile), Some(start)) = (&self.shared.profile, start) {
                profile.add(step.row, profile.now().saturating_sub(start));
            }
        }
        self.done = true;
        Ok(())
    }

    fn poll(&mut self) -> Result<Progress, CoreError> {
        if self.done {
            return Ok(Progress::Ready);
        }
        Err(CoreError::Backend {
            backend: "cpu".to_string(),
            message: "nothing was submitted, or the last run failed".to_string(),
            recoverable: false,
        })
    }

    fn output(&self, index: usize) -> Option<Located<'_>> {
        let (home, ty, range) = self.outputs.get(index).filter(|_| self.done)?;
        let bytes = match home {
            Home::Storage(_) => self.arena.as_ref().get(range.clone())?,
            Home::Constant(index) => self.shared.constants.get(*index)?.bytes(),
            Home::Known(id) => self.shared.known(*id)?.bytes(),
            Home::Input(_) | Home::None => return None,
        };
        TensorView::new(ty.dtype, &ty.shape, bytes)
            .ok()
            .map(Located::Host)
    }

    fn read_output(&mut self, index: usize) -> Result<Option<TensorView<'_>>, CoreError> {
        Ok(match self.output(index) {
            Some(Located::Host(view)) => Some(view),
            _ => None,
        })
    }

    fn memory_use(&self) -> MemoryUse {
        // Scratch lies in the arena, where its life does not cross others'.
        MemoryUse {
            arena: self.arena.as_ref().len() as u64,
            scratch: 0,
            packed: self.packed,
        }
    }

    fn kernels(&self) -> Vec<(usize, String)> {
        let steps = self.steps.iter().map(|step| (step.node, step.work.describe()));
        let mut rows: Vec<_> = steps.chain(self.aliases.iter().cloned()).collect();
        rows.sort_by_key(|row| row.0);
        rows
    }
}
