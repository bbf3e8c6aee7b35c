//! Makes a graph smaller without changing what it computes.
//!
//! Each pass is one file and one row of [`PASSES`]. A pass changes the graph and says how many changes it made;
//! the whole table is run again until nothing changes. Passes that compute (folding) do so by the reference
//! operators, so the result is the same on any host. A pass that is not [`Pass::exact`] changes results a little: floats in
//! the last places, where weights absorb a scale; quantised integers, and all that is computed from them, mostly by one
//! step where the pass `quantised` computes on integers what was written in floats. Other integers stay equal to the byte.

mod affine;
mod broadcast;
mod chains;
mod dead;
mod duplicates;
mod edit;
mod fold;
mod fuse;
mod layer_norm;
mod look_up;
mod no_op;
mod one_hot;
mod quantised;
mod scalar_functions;
mod shape_inputs;

use std::cell::RefCell;

use sanderling_core::infer::{self, Fact};
use sanderling_core::{Graph, OpTable};

use crate::error::CompileError;

/// One rewriting of the graph.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Short name, for options and reports.
    pub name: &'static str,
    /// What it does, in one line.
    pub what: &'static str,
    /// Whether all results keep every bit, floats and integers alike.
    pub exact: bool,
    /// Whether it runs once at the end: the others do not know what it makes.
    pub last: bool,
    /// Runs it once; gives the number of changes.
    run: fn(&mut Graph, &Context<'_>) -> Result<usize, CompileError>,
}

const fn pass(
    name: &'static str,
    what: &'static str,
    exact: bool,
    run: fn(&mut Graph, &Context<'_>) -> Result<usize, CompileError>,
) -> Pass {
    Pass {
        name,
        what,
        exact,
        last: false,
        run,
    }
}

/// Every pass, in the order in which they run.
pub const PASSES: &[Pass] = &[
    pass("no-op", "drop nodes that give back their input", true, no_op::run),
    pass(
        "quantised",
        "compute on integers between DequantizeLinear and QuantizeLinear",
        false,
        quantised::run,
    ),
    pass(
        "fold",
        "compute what depends on constants and shapes only",
        true,
        fold::run,
    ),
    pass(
        "shape-inputs",
        "make computed target shapes constants",
        true,
        shape_inputs::run,
    ),
    pass(
        "chains",
        "join reshapes and transposes in a row",
        true,
        chains::run,
    ),
    pass(
        "broadcast",
        "drop expansions that the next operator does itself",
        true,
        broadcast::run,
    ),
    pass(
        "affine",
        "put scales and shifts into the weights before them",
        false,
        affine::run,
    ),
    pass(
        "one-hot",
        "look rows up instead of multiplying by one-hot rows",
        true,
        one_hot::run,
    ),
    pass(
        "scalar-functions",
        "recognise GELU, hard-swish and others written out",
        false,
        scalar_functions::run,
    ),
    pass(
        "look-up",
        "compute on a table what would be computed of each row",
        true,
        look_up::run,
    ),
    pass(
        "layer-norm",
        "recognise layer normalisation written out",
        false,
        layer_norm::run,
    ),
    pass(
        "duplicates",
        "compute and store equal things once",
        true,
        duplicates::run,
    ),
    pass("dead", "drop what no output needs", true, dead::run),
    Pass {
        last: true,
        ..pass(
            "fuse",
            "give convolutions and products their addend and activation",
            false,
            fuse::run,
        )
    },
];

/// Most rounds over the table. A round removes nodes or ends the loop, real models take three.
const MAX_ROUNDS: usize = 16;

/// Options of [`optimise`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptimiseOptions {
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Largest tensor, in elements, that folding computes.
    pub fold_elements: usize,
}

impl Default for OptimiseOptions {
    /// All passes; folding up to 16 Mi elements.
    fn default() -> Self {
        Self {
            skip: Vec::new(),
            fold_elements: 1 << 24,
        }
    }
}

/// What a pass may look at beside the graph.
struct Context<'a> {
    table: OpTable<'a>,
    fold_elements: usize,
    /// What the user should know.
    notes: RefCell<Vec<String>>,
}

impl Context<'_> {
    /// Tells the user, once.
    fn note(&self, note: String) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }

    /// Types of all values, written into the graph, and what else is known of them.
    fn infer(&self, graph: &mut Graph) -> Result<Vec<Fact>, CompileError> {
        Ok(infer::infer_graph(graph, self.table, self.fold_elements)?)
    }
}

/// What [`optimise`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptimiseReport {
    /// Nodes before.
    pub nodes_before: usize,
    /// Nodes after.
    pub nodes_after: usize,
    /// Changes by pass, in order of the table.
    pub changes: Vec<(&'static str, usize)>,
    /// What the model's owner should know: biases that were clamped.
    pub notes: Vec<String>,
}

/// Runs the passes until nothing changes, then infers all types once more.
///
/// # Errors
/// [`CompileError::Core`] where an operator refuses its inputs, naming the node; [`CompileError::Manifest`] for
/// an unknown name in [`OptimiseOptions::skip`].
pub fn optimise(
    graph: &mut Graph,
    table: OpTable<'_>,
    options: &OptimiseOptions,
) -> Result<OptimiseReport, CompileError> {
    if let Some(name) = options
        .skip
        .iter()
        .find(|name| PASSES.iter().all(|pass| pass.name != **name))
    {
        let known: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
        let why = format!("there is no pass of this name; passes are {}", known.join(", "));
        return Err(CompileError::Manifest {
            at: format!("skipped pass '{name}'"),
            why,
        });
    }
    let cx = Context {
        table,
        fold_elements: options.fold_elements,
        notes: RefCell::default(),
    };
    let mut report = OptimiseReport {
        nodes_before: graph.nodes.len(),
        ..OptimiseReport::default()
    };
    let passes: Vec<&Pass> = PASSES
        .iter()
        .filter(|pass| options.skip.iter().all(|name| name != pass.name))
        .collect();
    report.changes = passes.iter().map(|pass| (pass.name, 0)).collect();
    for round in 0..MAX_ROUNDS {
        let last = round + 1 == MAX_ROUNDS;
        if run_table(graph, &cx, &passes, false, &mut report)? == 0 || last {
            run_table(graph, &cx, &passes, true, &mut report)?;
            break;
        }
    }
    graph.check()?;
    graph.compact();
    cx.infer(graph)?;
    report.nodes_after = graph.nodes.len();
    report.notes = cx.notes.into_inner();
    Ok(report)
}

/// Runs the passes that run at the end, or those that do not; gives the number of changes.
fn run_table(
    graph: &mut Graph,
    cx: &Context<'_>,
    passes: &[&Pass],
    last: bool,
    report: &mut OptimiseReport,
) -> Result<usize, CompileError> {
    let mut changed = 0;
    for (pass, count) in passes
        .iter()
        .zip(&mut report.changes)
        .filter(|(pass, _)| pass.last == last)
    {
        let changes = (pass.run)(graph, cx)?;
        count.1 += changes;
        changed += changes;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests;
