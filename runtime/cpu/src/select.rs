//! Which kernel runs each node, and which nodes need not run.

use crate::env::Env;
use crate::op::{Choice, CpuKernel, PrepareCx, RunCx};
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::attr::Attrs;
use sanderling_core::error::CoreError;
use sanderling_core::graph::Attribute;
use sanderling_core::op::EvalCx;
use sanderling_core::plan::NodeView;
use sanderling_core::{OpError, Operator, ValueId};

/// A node and how it runs.
pub(crate) struct Selected {
    /// Index in the plan.
    pub(crate) node: usize,
    pub(crate) work: Work,
}

pub(crate) enum Work {
    /// Nothing runs: output 0 is input 0.
    Alias,
    Kernel(Box<dyn CpuKernel>),
    Reference(Reference),
}

/// An operator without a kernel of its own.
pub(crate) struct Reference {
    op: &'static dyn Operator,
    attributes: Vec<(String, Attribute)>,
    opset: u16,
}

impl Reference {
    /// Runs a step for which `'a` is as long as the reference is borrowed.
    fn run<'a>(&'a self, cx: &mut RunCx<'a, '_>) -> Result<(), OpError> {
        // References may rely on outputs that are zero, as `infer::eval` gives them.
        cx.outputs
            .iter_mut()
            .flatten()
            .for_each(|output| output.bytes_mut().fill(0));
        self.op.eval(&mut EvalCx {
            attrs: Attrs::of_graph(&self.attributes),
            opset: self.opset,
            inputs: cx.inputs,
            outputs: cx.outputs,
        })
    }
}

impl Work {
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Alias => String::from("alias"),
            Self::Kernel(kernel) => kernel.describe(),
            Self::Reference(reference) => format!("reference {}", reference.op.name()),
        }
    }

    pub(crate) fn scratch_len(&self) -> usize {
        match self {
            Self::Kernel(kernel) => kernel.scratch_len(),
            Self::Alias | Self::Reference(_) => 0,
        }
    }

    pub(crate) fn in_place(&self, input: usize) -> bool {
        matches!(self, Self::Kernel(kernel) if kernel.in_place(input))
    }

    pub(crate) fn run<'a>(&'a self, cx: &mut RunCx<'a, '_>) -> Result<(), OpError> {
        match self {
            Self::Alias => Ok(()),
            Self::Kernel(kernel) => kernel.run(cx),
            Self::Reference(reference) => reference.run(cx),
        }
    }
}

/// Output 0 is a copy of input 0: an alias that must outlive what it is an alias of.
struct Copy;

impl CpuKernel for Copy {
    fn describe(&self) -> String {
        String::from("copy")
    }

    fn reads(&self, input: usize) -> bool {
        input == 0
    }

    fn run(&self, cx: &mut RunCx<'_, '_>) -> Result<(), OpError> {
        let from = cx.input(0)?.bytes();
        cx.bytes_mut(0)?.copy_from_slice(from);
        Ok(())
    }
}

/// Chooses for every node, then drops those whose outputs no run reads: a dequantisation that was packed away,
/// a shape computation that is folded.
pub(crate) fn select(env: &Env<'_>) -> Result<Vec<Selected>, CoreError> {
    let plan = env.segment.plan;
    let mut selected = Vec::new();
    for index in env.live_nodes() {
        let node = plan.node(index);
        let choice = choose(env, &node).map_err(|source| env.at_node(&node, source))?;
        let work = match choice {
            Choice::Kernel(kernel) => Work::Kernel(kernel),
            Choice::Alias if outlives_its_source(env, &selected, &node) => Work::Kernel(Box::new(Copy)),
            Choice::Alias => Work::Alias,
            Choice::Reference => Work::Reference(reference(env, &node)?),
        };
        selected.push(Selected { node: index, work });
    }
    fuse(env, &mut selected);
    drop_unread(env, &mut selected);
    Ok(selected)
}

fn choose(env: &Env<'_>, node: &NodeView<'_>) -> Result<Choice, OpError> {
    match env.backend.ops().find(node.domain(), node.op_type()) {
        Some(op) => op.prepare(&PrepareCx { env, node: *node }),
        None => Ok(Choice::Reference),
    }
}

fn reference(env: &Env<'_>, node: &NodeView<'_>) -> Result<Reference, CoreError> {
    let found = env
        .backend
        .references()
        .find(node.domain(), node.op_type(), node.opset());
    let op = found.ok_or_else(|| CoreError::UnknownOperators {
        nodes: alloc::vec![node.display_name()],
    })?;
    Ok(Reference {
        op,
        attributes: node.attrs().to_owned(),
        opset: node.opset(),
    })
}

/// Whether an alias is read after the run while its source, an input of the segment, is gone by then.
fn outlives_its_source(env: &Env<'_>, before: &[Selected], node: &NodeView<'_>) -> bool {
    let is_output = node
        .outputs()
        .flatten()
        .any(|id| env.segment.outputs.contains(&id));
    let mut source = node.inputs().next().flatten();
    for earlier in before.iter().rev() {
        let view = env.segment.plan.node(earlier.node);
        if matches!(earlier.work, Work::Alias)
            && source.is_some()
            && view.outputs().next().flatten() == source
        {
            source = view.inputs().next().flatten();
        }
    }
    is_output && source.is_some_and(|id| env.segment.inputs.contains(&id))
}

/// Lets kernels take over the functions that follow them, where nothing else reads what lies between.
fn fuse(env: &Env<'_>, selected: &mut [Selected]) {
    let plan = env.segment.plan;
    let mut readers = alloc::vec![0u32; plan.value_count()];
    env.segment.outputs.iter().for_each(|id| readers[id.index()] += 1);
    for step in selected.iter() {
        let node = plan.node(step.node);
        reads(step, &node).for_each(|(_, id)| readers[id.index()] += 1);
    }
    // By value: the step that computes it, through those that were taken over.
    let mut writers: Vec<Option<usize>> = alloc::vec![None; plan.value_count()];
    for index in 0..selected.len() {
        let node = plan.node(selected[index].node);
        let (input, output) = (node.inputs().next().flatten(), node.outputs().next().flatten());
        let mut writer = Some(index);
        if let (Work::Kernel(kernel), Some(input)) = (&selected[index].work, input) {
            let function = kernel.as_unary().filter(|_| readers[input.index()] == 1);
            let before = writers[input.index()];
            if let (Some(function), Some(before)) = (function, before) {
                let taken = match &mut selected[before].work {
                    Work::Kernel(kernel) => kernel.fuse(function),
                    Work::Alias | Work::Reference(_) => false,
                };
                if taken {
                    selected[index].work = Work::Alias;
                    writer = Some(before);
                }
            }
        }
        if let Some(output) = output {
            writers[output.index()] = writer;
        }
    }
}

fn drop_unread(env: &Env<'_>, selected: &mut Vec<Selected>) {
    let plan = env.segment.plan;
    let mut read = alloc::vec![false; plan.value_count()];
    env.segment.outputs.iter().for_each(|id| read[id.index()] = true);
    let mut kept: Vec<bool> = Vec::with_capacity(selected.len());
    for step in selected.iter().rev() {
        let node = plan.node(step.node);
        let keep = node.outputs().flatten().any(|id| read[id.index()]);
        kept.push(keep);
        if keep {
            reads(step, &node).for_each(|(_, id)| read[id.index()] = true);
        }
    }
    let mut kept = kept.into_iter().rev();
    selected.retain(|_| kept.next().unwrap_or(true));
}

/// Inputs that a run of the step reads, by position.
pub(crate) fn reads<'a>(
    step: &'a Selected,
    node: &NodeView<'a>,
) -> impl Iterator<Item = (usize, ValueId)> + use<'a> {
    let positions = node.inputs().enumerate();
    positions.filter_map(move |(i, id)| {
        let read = match &step.work {
            Work::Alias => i == 0,
            Work::Kernel(kernel) => kernel.reads(i),
            Work::Reference(_) => true,
        };
        id.filter(|_| read).map(|id| (i, id))
    })
}
