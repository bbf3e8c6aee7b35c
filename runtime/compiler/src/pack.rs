//! From a model and its recipe to a bundle.
//!
//! Two steps, so that a caller can look at (or change) the graph between them: [`compile`] optimises and
//! quantises, [`assemble`] plans, computes golden vectors by the references and writes. [`pack`] is both. The
//! bytes depend on the model, the recipe and this crate's version only: not on the host, the time or the number
//! of threads.

mod golden;
mod manifest;
mod resources;

use sanderling_bundle::{BundleBuilder, BundleView, Certificate, Manifest, STACK_BYTES};
use sanderling_core::plan::{self, Arena, PlanView};
use sanderling_core::{Graph, OpTable, Tensor, TensorType, ValueId};

use crate::error::CompileError;
use crate::onnx::Model;
use crate::optimise::{OptimiseOptions, OptimiseReport, optimise};
use crate::quantise::{QuantiseReport, quantise};
use crate::recipe::Recipe;

pub use manifest::check_word;
pub use resources::concrete_inputs;

/// Definition of integer arithmetic that bundles of this build refer to (docs/numerics.md).
pub const NUMERICS_VERSION: u32 = sanderling_core::NUMERICS;
/// The plan that every backend takes.
pub const TARGET_ANY: &str = "any";

/// What packing is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Making the graph smaller.
    Optimise,
    /// Quantising weights.
    Quantise,
    /// Laying out memory.
    Plan,
    /// Computing golden vectors; the unit is a node of the plan.
    Golden,
    /// Writing the bundle.
    Write,
}

/// A sign of life: `done` of `total` units of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// The stage.
    pub stage: Stage,
    /// Units done.
    pub done: u64,
    /// Units in all; 0 where they cannot be told beforehand.
    pub total: u64,
}

/// A graph that is ready to be planned.
#[derive(Debug, Clone, PartialEq)]
pub struct Compiled {
    /// The graph, optimised and quantised.
    pub graph: Graph,
    /// SHA-256 of the model file.
    pub source_sha256: [u8; 32],
    /// What the optimiser did.
    pub optimised: OptimiseReport,
    /// What the quantiser did, if it was asked to.
    pub quantised: Option<QuantiseReport>,
}

/// A bundle, and what is worth telling about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Packed {
    /// The bundle.
    pub bytes: Vec<u8>,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its digest.
    pub sha256: [u8; 32],
    /// What the optimiser did.
    pub optimised: OptimiseReport,
    /// What the quantiser did, if it was asked to.
    pub quantised: Option<QuantiseReport>,
}

/// Packs a model: [`compile`], then [`assemble`].
///
/// # Errors
/// As both.
pub fn pack(
    model: Model,
    recipe: &Recipe,
    table: OpTable<'_>,
    options: &OptimiseOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Packed, CompileError> {
    let compiled = compile(model, recipe, table, options, progress)?;
    assemble(compiled, recipe, table, progress)
}

/// Optimises a model's graph, and quantises its weights if the recipe says so.
///
/// # Errors
/// [`CompileError::Manifest`] where the recipe does not fit the model; [`CompileError::Core`] where an operator
/// refuses its inputs.
pub fn compile(
    model: Model,
    recipe: &Recipe,
    table: OpTable<'_>,
    options: &OptimiseOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Compiled, CompileError> {
    let Model {
        mut graph, sha256, ..
    } = model;
    manifest::check_names(&graph, recipe)?;
    if recipe.static_shapes {
        for (id, ty) in graph
            .inputs
            .clone()
            .into_iter()
            .zip(concrete_inputs(&graph, recipe))
        {
            graph.values[id.index()].ty = Some(ty);
        }
        sanderling_core::infer::infer_graph(&mut graph, table, 0)?;
    }
    progress(Progress {
        stage: Stage::Optimise,
        done: 0,
        total: 1,
    });
    let optimised = optimise(&mut graph, table, options)?;
    progress(Progress {
        stage: Stage::Optimise,
        done: 1,
        total: 1,
    });
    let quantised = match &recipe.quantise {
        Some(options) => {
            progress(Progress {
                stage: Stage::Quantise,
                done: 0,
                total: 1,
            });
            let report = quantise(&mut graph, options)?;
            sanderling_core::infer::infer_graph(&mut graph, table, 0)?;
            progress(Progress {
                stage: Stage::Quantise,
                done: 1,
                total: 1,
            });
            Some(report)
        }
        None => None,
    };
    Ok(Compiled {
        graph,
        source_sha256: sha256,
        optimised,
        quantised,
    })
}

/// Plans a graph, computes its golden vectors and writes the bundle.
///
/// # Errors
/// [`CompileError::Manifest`] where the recipe does not fit the graph, [`CompileError::Core`] where a reference
/// refuses the data of a golden vector, [`CompileError::Bundle`] where the parts do not make a bundle.
pub fn assemble(
    compiled: Compiled,
    recipe: &Recipe,
    table: OpTable<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Packed, CompileError> {
    let Compiled {
        mut graph,
        source_sha256,
        optimised,
        quantised,
    } = compiled;
    graph.check()?;
    graph.compact();
    progress(Progress {
        stage: Stage::Plan,
        done: 0,
        total: 1,
    });
    let (plan, constants) = encode_with_arena(&graph, table)?;
    let view = PlanView::parse(&plan)?;
    let tensors = constant_tensors(&graph, &constants);
    let inputs = concrete_inputs(&graph, recipe);
    let measured = resources::measure(&view, &tensors, table, &inputs)
        .map_err(|error| manifest::blame_dims(&graph, recipe, error))?;
    progress(Progress {
        stage: Stage::Plan,
        done: 1,
        total: 1,
    });

    let vectors = golden::compute(&view, &tensors, table, &inputs, recipe, progress)?;
    let quantisation = quantised.as_ref().map(|report| report.quantisation.clone());
    let mut manifest = manifest::build(&graph, recipe, &vectors)?;
    manifest.lineage.source_sha256 = Some(source_sha256);
    manifest.lineage.quantisation = quantisation;
    manifest.resources.arena_bytes = measured.arena_bytes;
    manifest.resources.macs = measured.macs;
    let arena_bytes = u32::try_from(view.arena_len()).ok().filter(|&len| len > 0);
    manifest.resources.stack_bytes = arena_bytes.map(|_| u64::from(STACK_BYTES));

    progress(Progress {
        stage: Stage::Write,
        done: 0,
        total: 1,
    });
    let bytes = write(
        &graph,
        &constants,
        &tensors,
        (plan, arena_bytes),
        &vectors,
        recipe,
        &mut manifest,
    )?;
    progress(Progress {
        stage: Stage::Write,
        done: 1,
        total: 1,
    });
    Ok(Packed {
        sha256: sanderling_bundle::sha256(&bytes),
        bytes,
        manifest,
        optimised,
        quantised,
    })
}

/// Encodes the plan; with arena offsets where every shape is known without a caller's.
fn encode_with_arena(graph: &Graph, table: OpTable<'_>) -> Result<(Vec<u8>, Vec<ValueId>), CompileError> {
    let (plan, constants) = plan::encode(graph, &Arena::default())?;
    let inputs: Option<Vec<TensorType>> = graph
        .inputs
        .iter()
        .map(|id| graph.value(*id).ty.clone().filter(|ty| ty.concrete().is_some()))
        .collect();
    let Some(inputs) = inputs else {
        return Ok((plan, constants));
    };
    let tensors = constant_tensors(graph, &constants);
    let view = PlanView::parse(&plan)?;
    match resources::lay_out(&view, &tensors, table, &inputs)? {
        Some(arena) => Ok(plan::encode(graph, &arena)?),
        None => Ok((plan, constants)),
    }
}

/// The constants in the order in which a plan counts them.
fn constant_tensors(graph: &Graph, constants: &[ValueId]) -> Vec<Tensor> {
    constants
        .iter()
        .filter_map(|id| graph.constant(*id).cloned())
        .collect()
}

fn write(
    graph: &Graph,
    constants: &[ValueId],
    tensors: &[Tensor],
    (plan, arena_bytes): (Vec<u8>, Option<u32>),
    vectors: &[golden::Computed],
    recipe: &Recipe,
    manifest: &mut Manifest,
) -> Result<Vec<u8>, CompileError> {
    let mut builder = BundleBuilder::new(Manifest::default());
    builder.numerics(NUMERICS_VERSION);
    for (id, tensor) in constants.iter().zip(tensors) {
        let dims: Vec<u64> = tensor.shape().iter().map(|&d| d as u64).collect();
        builder.tensor(&graph.value(*id).name, tensor.dtype(), &dims, tensor.bytes())?;
    }
    builder.plan(TARGET_ANY, plan)?;
    builder.golden(&vectors.iter().map(golden::Computed::vector).collect::<Vec<_>>())?;
    if let Some(card) = &recipe.model_card {
        builder.model_card(card.clone());
    }
    if let Some(notice) = &recipe.notice {
        builder.notice(notice.clone());
    }
    manifest.resources.constant_bytes = builder.constant_bytes();
    manifest.resources.flash_bytes = builder.flash_bytes()?;
    if let Some(arena_bytes) = arena_bytes {
        builder.certificate(Certificate {
            arena_bytes,
            scratch_bytes: 0,
            stack_bytes: STACK_BYTES,
            macs: manifest.resources.macs.unwrap_or(0),
            flash_bytes: manifest.resources.flash_bytes,
        });
    }
    builder.manifest(manifest.clone());
    let bytes = builder.finish()?;
    // What cannot be read back must not leave this machine.
    let view = BundleView::parse(&bytes)?;
    view.verify_hashes()?;
    view.manifest()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
