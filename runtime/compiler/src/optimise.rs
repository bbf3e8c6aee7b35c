//! Makes a graph smaller without changing what it computes.
//!
//! Each pass is one file and one row of [`PASSES`]. A pass changes the graph and says how many changes it made;
//! the whole table is run again until nothing changes. Passes that compute (folding) do so by the reference
//! operators, so the result is the same on any host. Integer results stay equal to the byte; float results may
//! differ in the last places where weights absorb a scale, as [`Pass::exact`] says.

mod affine;
mod chains;
mod dead;
mod duplicates;
mod edit;
mod fold;
mod no_op;
mod shape_inputs;

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
    /// Whether float results keep every bit.
    pub exact: bool,
    /// Runs it once; gives the number of changes.
    run: fn(&mut Graph, &Context<'_>) -> Result<usize, CompileError>,
}

/// Every pass, in the order in which they run.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "fold",
        what: "compute what depends on constants and shapes only",
        exact: true,
        run: fold::run,
    },
    Pass {
        name: "shape-inputs",
        what: "make computed target shapes constants",
        exact: true,
        run: shape_inputs::run,
    },
    Pass {
        name: "no-op",
        what: "drop nodes that give back their input",
        exact: true,
        run: no_op::run,
    },
    Pass {
        name: "chains",
        what: "join reshapes and transposes in a row",
        exact: true,
        run: chains::run,
    },
    Pass {
        name: "affine",
        what: "put scales and shifts into the weights before them",
        exact: false,
        run: affine::run,
    },
    Pass {
        name: "duplicates",
        what: "compute and store equal things once",
        exact: true,
        run: duplicates::run,
    },
    Pass {
        name: "dead",
        what: "drop what no output needs",
        exact: true,
        run: dead::run,
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
}

impl Context<'_> {
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
    for _ in 0..MAX_ROUNDS {
        let mut changed = 0;
        for (pass, count) in passes.iter().zip(&mut report.changes) {
            let changes = (pass.run)(graph, &cx)?;
            count.1 += changes;
            changed += changes;
        }
        if changed == 0 {
            break;
        }
    }
    graph.check()?;
    graph.compact();
    cx.infer(graph)?;
    report.nodes_after = graph.nodes.len();
    Ok(report)
}

#[cfg(test)]
mod tests;
