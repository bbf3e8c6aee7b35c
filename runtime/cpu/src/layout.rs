//! Where every value lies.
//!
//! A *storage* is a run of bytes in the arena. Several values may live in one: a value and its aliases, and an
//! element-wise result that took over its input. A step's scratch is a storage that lives for that step. Lives
//! go to [`sanderling_core::memory::plan`], which places storages so that those alive together are disjoint.

use crate::backend::ALIGNMENT;
use crate::env::Env;
use crate::op::ValueType;
use crate::select::{Selected, Work, reads};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;
use sanderling_core::ValueId;
use sanderling_core::error::CoreError;
use sanderling_core::memory::{self, Lifetime};
use sanderling_core::plan::ValueKind;

/// Where a value is while the segment runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Home {
    /// Nowhere: no run reads it.
    None,
    /// The caller's memory, by input of the segment.
    Input(usize),
    /// A constant of the plan.
    Constant(u32),
    /// Data that follows from shapes, by value.
    Known(ValueId),
    /// The arena, by storage.
    Storage(usize),
}

/// Where a step's operand is.
#[derive(Debug, Clone)]
pub(crate) struct Operand {
    pub(crate) home: Home,
    pub(crate) ty: ValueType,
    /// Index in [`StepLayout::regions`], where the home is a storage that has bytes.
    pub(crate) region: Option<usize>,
}

/// A run of the arena's bytes that a step uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Region {
    pub(crate) range: Range<usize>,
    pub(crate) write: bool,
}

/// What a step uses.
#[derive(Debug, Default)]
pub(crate) struct StepLayout {
    /// Disjoint, by rising offset.
    pub(crate) regions: Box<[Region]>,
    pub(crate) inputs: Box<[Option<Operand>]>,
    pub(crate) outputs: Box<[Option<Operand>]>,
    /// Region of the scratch.
    pub(crate) scratch: Option<usize>,
    /// Input whose bytes output 0 took over.
    pub(crate) in_place: Option<usize>,
}

/// The whole segment's layout.
pub(crate) struct Layout {
    /// One for each selected node that is not an alias, in order.
    pub(crate) steps: Vec<StepLayout>,
    /// The segment's outputs.
    pub(crate) outputs: Vec<(Home, ValueType, Range<usize>)>,
    /// Size of the arena, bytes.
    pub(crate) arena: usize,
}

struct Planner<'a> {
    env: &'a Env<'a>,
    homes: Vec<Home>,
    storages: Vec<Lifetime>,
    /// By value: its first source through aliases.
    roots: Vec<ValueId>,
    /// By root: last step that reads it; `u32::MAX` for what is read after the run.
    last_read: Vec<u32>,
}

/// Lays a segment out.
///
/// # Errors
/// [`CoreError::TooLarge`] where arena and packed weights exceed the segment's limit.
pub(crate) fn lay_out(env: &Env<'_>, selected: &[Selected]) -> Result<Layout, CoreError> {
    let mut planner = Planner::new(env, selected);
    let mut scratches = Vec::new();
    let mut in_place = Vec::new();
    let mut step = 0u32;
    for chosen in selected {
        if matches!(chosen.work, Work::Alias) {
            planner.alias(chosen);
        } else {
            in_place.push(planner.step(chosen, step));
            scratches.push(planner.scratch(chosen, step));
            step += 1;
        }
    }
    planner.extend_outputs(step.saturating_sub(1));
    let limit = env.segment.memory_limit.saturating_sub(env.packed());
    let placed = memory::plan(&planner.storages, ALIGNMENT as u64, limit)?;
    let ranges = planner.ranges(&placed.offsets, limit)?;
    let runs = selected
        .iter()
        .filter(|chosen| !matches!(chosen.work, Work::Alias));
    let steps = runs
        .zip(scratches.iter().zip(in_place))
        .map(|(chosen, (&scratch, in_place))| planner.step_layout(chosen, &ranges, scratch, in_place))
        .collect();
    let outputs = env
        .segment
        .outputs
        .iter()
        .map(|&id| planner.output(id, &ranges))
        .collect::<Result<_, _>>()?;
    // The offsets were all converted, and the arena ends where the last storage does.
    let arena = ranges.iter().map(|range| range.end).max().unwrap_or(0);
    Ok(Layout {
        steps,
        outputs,
        arena,
    })
}

impl<'a> Planner<'a> {
    fn new(env: &'a Env<'a>, selected: &[Selected]) -> Self {
        let plan = env.segment.plan;
        let count = plan.value_count();
        let home = |index: usize| {
            let id = ValueId(index as u32);
            match plan.value(id).kind {
                ValueKind::Constant(constant) => Home::Constant(constant),
                _ if env.segment.facts.data(id).is_some() => Home::Known(id),
                _ => match env.segment.inputs.iter().position(|&input| input == id) {
                    Some(slot) => Home::Input(slot),
                    None => Home::None,
                },
            }
        };
        let mut planner = Self {
            env,
            homes: (0..count).map(home).collect(),
            storages: Vec::new(),
            roots: (0..count).map(|index| ValueId(index as u32)).collect(),
            last_read: alloc::vec![0; count],
        };
        planner.find_last_reads(selected);
        planner
    }

    fn find_last_reads(&mut self, selected: &[Selected]) {
        let plan = self.env.segment.plan;
        let mut step = 0u32;
        for chosen in selected {
            let node = plan.node(chosen.node);
            for (_, id) in reads(chosen, &node) {
                let root = self.roots[id.index()];
                self.last_read[root.index()] = self.last_read[root.index()].max(step);
                if matches!(chosen.work, Work::Alias) {
                    node.outputs()
                        .take(1)
                        .flatten()
                        .for_each(|out| self.roots[out.index()] = root);
                }
            }
            step += u32::from(!matches!(chosen.work, Work::Alias));
        }
        for &id in self.env.segment.outputs {
            let root = self.roots[id.index()];
            self.last_read[root.index()] = u32::MAX;
        }
    }

    fn alias(&mut self, chosen: &Selected) {
        let node = self.env.segment.plan.node(chosen.node);
        let ends = (node.inputs().next().flatten(), node.outputs().next().flatten());
        if let (Some(from), Some(to)) = ends {
            self.homes[to.index()] = self.homes[from.index()];
        }
    }

    /// Gives a step's outputs a home; says which input was taken over.
    fn step(&mut self, chosen: &Selected, step: u32) -> Option<usize> {
        let node = self.env.segment.plan.node(chosen.node);
        let taken = self.take_over(chosen, step);
        for (position, id) in node.outputs().enumerate() {
            let Some((id, ty)) = id.and_then(|id| Some((id, self.env.ty(id)?))) else {
                continue;
            };
            let last = self.last_read[id.index()].max(step);
            self.homes[id.index()] = match taken {
                Some((_, storage)) if position == 0 => {
                    let life = &mut self.storages[storage];
                    life.last = life.last.max(last);
                    Home::Storage(storage)
                }
                _ => {
                    self.storages.push(Lifetime {
                        bytes: ty.bytes as u64,
                        first: step,
                        last,
                    });
                    Home::Storage(self.storages.len() - 1)
                }
            };
        }
        taken.map(|(input, _)| input)
    }

    /// The input whose storage output 0 may have: the kernel allows it, the sizes are equal, and nobody, this step
    /// through another input included, reads it any more.
    fn take_over(&self, chosen: &Selected, step: u32) -> Option<(usize, usize)> {
        let node = self.env.segment.plan.node(chosen.node);
        let out = self.env.ty(node.outputs().next().flatten()?)?;
        let read: Vec<(usize, ValueId)> = reads(chosen, &node).collect();
        read.iter().find_map(|&(input, id)| {
            let Home::Storage(storage) = self.homes[id.index()] else {
                return None;
            };
            let same = |other: &&(usize, ValueId)| self.homes[other.1.index()] == Home::Storage(storage);
            let alone = read.iter().filter(same).count() == 1;
            let dies =
                self.last_read[self.roots[id.index()].index()] == step && self.storages[storage].last == step;
            let fits = out.bytes > 0 && self.env.ty(id).is_some_and(|ty| ty.bytes == out.bytes);
            (alone && dies && fits && chosen.work.in_place(input)).then_some((input, storage))
        })
    }

    fn scratch(&mut self, chosen: &Selected, step: u32) -> Option<usize> {
        let bytes = (chosen.work.scratch_len() as u64).saturating_mul(size_of::<f32>() as u64);
        if bytes == 0 {
            return None;
        }
        self.storages.push(Lifetime {
            bytes,
            first: step,
            last: step,
        });
        Some(self.storages.len() - 1)
    }

    /// What is read after the run lives until its last step.
    fn extend_outputs(&mut self, last_step: u32) {
        for life in &mut self.storages {
            life.last = life.last.min(last_step).max(life.first);
        }
    }

    fn ranges(&self, offsets: &[u64], limit: u64) -> Result<Vec<Range<usize>>, CoreError> {
        let range = |(life, &offset): (&Lifetime, &u64)| {
            let (start, end) = (
                usize::try_from(offset).ok()?,
                usize::try_from(offset + life.bytes).ok()?,
            );
            Some(start..end)
        };
        let ranges: Option<Vec<_>> = self.storages.iter().zip(offsets).map(range).collect();
        ranges.ok_or_else(|| CoreError::TooLarge {
            what: alloc::string::String::from("the arena of intermediates"),
            bytes: u64::MAX,
            limit: limit.min(usize::MAX as u64),
        })
    }

    fn step_layout(
        &self,
        chosen: &Selected,
        ranges: &[Range<usize>],
        scratch: Option<usize>,
        in_place: Option<usize>,
    ) -> StepLayout {
        let node = self.env.segment.plan.node(chosen.node);
        let mut read = alloc::vec![false; node.inputs().len()];
        reads(chosen, &node).for_each(|(i, _)| read[i] = true);
        if let Some(taken) = in_place {
            read[taken] = false;
        }
        let operand = |id: Option<ValueId>| {
            let id = id?;
            Some(Operand {
                home: self.homes[id.index()],
                ty: self.env.ty(id)?.clone(),
                region: None,
            })
        };
        let mut inputs: Box<[_]> = node
            .inputs()
            .zip(&read)
            .map(|(id, &read)| operand(id.filter(|_| read)))
            .collect();
        let mut outputs: Box<[_]> = node.outputs().map(operand).collect();
        let homes = |operands: &[Option<Operand>]| -> Vec<usize> {
            let storage = |operand: &Operand| match operand.home {
                Home::Storage(storage) => Some(storage),
                _ => None,
            };
            operands.iter().flatten().filter_map(storage).collect()
        };
        let mut used: Vec<(usize, bool)> = homes(&inputs)
            .into_iter()
            .map(|storage| (storage, false))
            .collect();
        used.extend(
            homes(&outputs)
                .into_iter()
                .chain(scratch)
                .map(|storage| (storage, true)),
        );
        used.retain(|&(storage, _)| !ranges[storage].is_empty());
        used.sort_by_key(|&(storage, write)| (ranges[storage].start, storage, write));
        used.dedup();
        let region_of = |storage: usize| used.iter().position(|&(other, _)| other == storage);
        for operand in inputs.iter_mut().chain(outputs.iter_mut()).flatten() {
            if let Home::Storage(storage) = operand.home {
                operand.region = region_of(storage);
            }
        }
        let regions = used.iter().map(|&(storage, write)| Region {
            range: ranges[storage].clone(),
            write,
        });
        StepLayout {
            regions: regions.collect(),
            inputs,
            outputs,
            scratch: scratch.and_then(region_of),
            in_place,
        }
    }

    fn output(
        &self,
        id: ValueId,
        ranges: &[Range<usize>],
    ) -> Result<(Home, ValueType, Range<usize>), CoreError> {
        let missing = || CoreError::Graph {
            message: alloc::format!(
                "output '{}' is not computed here",
                self.env.segment.plan.value(id).name
            ),
        };
        let ty = self.env.ty(id).ok_or_else(missing)?.clone();
        let home = self.homes[id.index()];
        let range = match home {
            Home::Storage(storage) => ranges[storage].start..ranges[storage].start + ty.bytes,
            Home::None | Home::Input(_) => return Err(missing()),
            Home::Constant(_) | Home::Known(_) => 0..0,
        };
        Ok((home, ty, range))
    }
}
