//! Which backend computes which nodes.
//!
//! Backends are in order of preference. Each node goes to the first that takes it, and neighbours that go to the
//! same one form a segment. A node whose outputs are already known goes nowhere.

use crate::backend::Backend;
use crate::error::CoreError;
use crate::graph::ValueId;
use crate::infer::Facts;
use crate::plan::{PlanView, ValueKind};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::ops::Range;

/// Nodes for one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which backend, by index.
    pub backend: usize,
    /// Nodes, by index; folded ones among them are passed over.
    pub nodes: Range<usize>,
    /// Values read from outside.
    pub inputs: Vec<ValueId>,
    /// Values written here and read outside or returned.
    pub outputs: Vec<ValueId>,
}

/// Cuts a plan into parts.
///
/// # Errors
/// [`CoreError::Backend`] naming a node that no backend takes.
pub fn partition(
    plan: &PlanView<'_>,
    facts: &Facts,
    backends: &[&dyn Backend],
) -> Result<Vec<Part>, CoreError> {
    let mut parts: Vec<Part> = Vec::new();
    for (index, node) in plan.nodes().enumerate() {
        if facts.is_folded(&node) {
            continue;
        }
        let backend = backends
            .iter()
            .position(|b| b.supports(&node, facts))
            .ok_or_else(|| {
                let names: Vec<&str> = backends.iter().map(|b| b.name()).collect();
                CoreError::Backend {
                    backend: names.join(", "),
                    message: format!("{} has no kernel here", node.display_name()),
                    recoverable: false,
                }
            })?;
        match parts.last_mut() {
            Some(part) if part.backend == backend => part.nodes.end = index + 1,
            _ => parts.push(Part {
                backend,
                nodes: index..index + 1,
                inputs: Vec::new(),
                outputs: Vec::new(),
            }),
        }
    }
    find_borders(plan, facts, &mut parts);
    Ok(parts)
}

fn find_borders(plan: &PlanView<'_>, facts: &Facts, parts: &mut [Part]) {
    let mut wanted: BTreeSet<ValueId> = plan.outputs().collect();
    for part in parts.iter_mut().rev() {
        let nodes = || {
            part.nodes
                .clone()
                .map(|i| plan.node(i))
                .filter(|node| !facts.is_folded(node))
        };
        let written: BTreeSet<ValueId> = nodes()
            .flat_map(|node| node.outputs().flatten().collect::<Vec<_>>())
            .collect();
        let from_outside = |v: &ValueId| {
            let constant = matches!(plan.value(*v).kind, ValueKind::Constant(_));
            !constant && facts.data(*v).is_none() && !written.contains(v)
        };
        let inputs: BTreeSet<ValueId> = nodes()
            .flat_map(|node| node.inputs().flatten().collect::<Vec<_>>())
            .filter(from_outside)
            .collect();
        part.outputs = written.intersection(&wanted).copied().collect();
        part.inputs = inputs.iter().copied().collect();
        wanted.extend(inputs);
    }
}

/// A line for people: which backend computes how many nodes.
#[must_use]
pub fn describe(parts: &[Part], backends: &[&dyn Backend]) -> alloc::string::String {
    let words: Vec<_> = parts
        .iter()
        .map(|part| {
            let name = backends.get(part.backend).map_or("?", |b| b.name());
            format!("{name}: nodes {}..{}", part.nodes.start, part.nodes.end)
        })
        .collect();
    if words.is_empty() {
        "nothing to compute".to_string()
    } else {
        words.join(", ")
    }
}
