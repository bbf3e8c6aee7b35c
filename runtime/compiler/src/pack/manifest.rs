//! Recipe and graph to manifest, checked against each other.

use std::collections::{BTreeMap, BTreeSet};

use sanderling_bundle::{
    self as bundle, BundleError, DType, GoldenNote, ImageLayout, Lineage, Manifest, PostProcessing, PostStep,
    PreProcessing, PreStep, Resources, RuntimeVersion, ValueSpec,
};
use sanderling_core::{Dim, Graph, TensorType, ValueId};

use super::golden::Computed;
use crate::error::CompileError;
use crate::recipe::{InputRecipe, Recipe};

/// Most bytes of a name or a version.
const MAX_WORD_LEN: usize = 100;
/// The oldest runtime that reads what this build writes: plan layout 1.
const MIN_RUNTIME: RuntimeVersion = RuntimeVersion {
    major: 0,
    minor: 1,
    patch: 0,
};

fn misfit(at: impl Into<String>, why: impl Into<String>) -> CompileError {
    CompileError::Manifest {
        at: at.into(),
        why: why.into(),
    }
}

/// Says that a shape error comes from sizes that the recipe does not give, if there are any.
pub(super) fn blame_dims(graph: &Graph, recipe: &Recipe, error: CompileError) -> CompileError {
    let shapes = graph
        .inputs
        .iter()
        .filter_map(|id| graph.value(*id).ty.as_ref())
        .flat_map(|ty| &ty.shape);
    let open = shapes.filter_map(|dim| match dim {
        Dim::Symbol(name) if !recipe.dims.contains_key(name) => Some(format!("'{name}'")),
        _ => None,
    });
    let open: BTreeSet<String> = open.collect();
    if open.is_empty() {
        return error;
    }
    let names = open.into_iter().collect::<Vec<_>>().join(", ");
    misfit(
        "dims",
        format!("give sizes that the model takes for {names}; with 1 for each: {error}"),
    )
}

/// Checks a model's name or version.
///
/// # Errors
/// What is allowed.
pub fn check_word(word: &str) -> Result<(), &'static str> {
    let plain = word.trim() == word && !word.chars().any(char::is_control);
    if plain && (1..=MAX_WORD_LEN).contains(&word.len()) {
        Ok(())
    } else {
        Err("give 1 to 100 bytes in one line, without space around them")
    }
}

/// Checks what the recipe says by itself, whatever the model: numbers that compare, names in one line.
fn check_values(recipe: &Recipe) -> Result<(), CompileError> {
    for (at, word) in [("name", &recipe.name), ("version", &recipe.version)] {
        check_word(word).map_err(|why| {
            let shown: String = word.chars().take(40).collect();
            misfit(at, format!("it is {shown:?}; {why}"))
        })?;
    }
    let golden = [
        ("golden.rel", recipe.golden.rel),
        ("golden.abs", recipe.golden.abs),
    ];
    if let Some((at, value)) = golden
        .iter()
        .find(|(_, value)| !(value.is_finite() && *value >= 0.0))
    {
        return Err(misfit(
            *at,
            format!("it is {value}; give a number that is not negative"),
        ));
    }
    // The same rules as for whoever reads the bundle, before the long work.
    let range = |(name, input): (&String, &InputRecipe)| ValueSpec {
        name: name.clone(),
        dtype: DType::F32,
        dims: Vec::new(),
        range: input.range,
        layout: None,
        semantic: None,
    };
    let pre = recipe.inputs.iter().filter_map(|(name, input)| {
        Some(PreProcessing {
            input: name.clone(),
            step: input.pre.clone()?,
        })
    });
    let post = recipe.outputs.iter().filter_map(|(name, output)| {
        Some(PostProcessing {
            output: name.clone(),
            step: PostStep::Classification(output.classification.clone()?),
        })
    });
    let said = Manifest {
        inputs: recipe.inputs.iter().map(range).collect(),
        pre: pre.collect(),
        post: post.collect(),
        cascade: recipe.cascade.clone(),
        lineage: Lineage {
            metrics: recipe.metrics.clone(),
            ..Lineage::default()
        },
        ..Manifest::default()
    };
    said.check().map_err(|error| match error {
        BundleError::Manifest { at, why } => misfit(at, why),
        other => other.into(),
    })
}

/// Checks that every name the recipe mentions is the model's.
pub(super) fn check_names(graph: &Graph, recipe: &Recipe) -> Result<(), CompileError> {
    check_values(recipe)?;
    let names = |ids: &[ValueId]| {
        ids.iter()
            .map(|id| graph.value(*id).name.clone())
            .collect::<BTreeSet<_>>()
    };
    let mut symbols = BTreeSet::new();
    for id in &graph.inputs {
        let value = graph.value(*id);
        let ty = value.ty.as_ref().ok_or_else(|| CompileError::Unsupported {
            what: format!("input '{}', whose type the model does not declare", value.name),
            advice: "export the model with typed inputs",
        })?;
        symbols.extend(ty.shape.iter().filter_map(|dim| match dim {
            Dim::Symbol(name) => Some(name.clone()),
            _ => None,
        }));
    }
    let known = |key: &str, known: BTreeSet<String>, mut used: Box<dyn Iterator<Item = &String> + '_>| {
        let unknown = used.find(|name| !known.contains(*name));
        unknown.map_or(Ok(()), |name| {
            let known = known.into_iter().collect::<Vec<_>>().join("', '");
            Err(misfit(
                format!("{key}.{name}"),
                format!("the model has no such name, it has '{known}'"),
            ))
        })
    };
    known("inputs", names(&graph.inputs), Box::new(recipe.inputs.keys()))?;
    known("outputs", names(&graph.outputs), Box::new(recipe.outputs.keys()))?;
    known("dims", symbols, Box::new(recipe.dims.keys()))?;
    if recipe.dims.values().any(|&n| n == 0 || n > u64::from(u32::MAX)) {
        return Err(misfit("dims", "a size is at least 1 and at most 4 294 967 295"));
    }
    if recipe.allowed_disagreement_ppm > 1_000_000 {
        return Err(misfit(
            "allowed_disagreement_ppm",
            "it is a share in parts per million, at most 1 000 000",
        ));
    }
    Ok(())
}

/// The manifest, without what only planning and writing tell.
pub(super) fn build(graph: &Graph, recipe: &Recipe, vectors: &[Computed]) -> Result<Manifest, CompileError> {
    let (inputs, pre) = inputs(graph, recipe)?;
    let (outputs, post) = outputs(graph, recipe)?;
    let operators: BTreeSet<String> = graph
        .nodes
        .iter()
        .map(|node| {
            let domain = if node.domain.is_empty() {
                "ai.onnx"
            } else {
                &node.domain
            };
            format!("{domain}:{}", node.op_type)
        })
        .collect();
    let note = |v: &Computed| GoldenNote {
        name: v.name.clone(),
        description: v.description.clone(),
    };
    let symbols = inputs
        .iter()
        .flat_map(|input: &ValueSpec| &input.dims)
        .filter_map(|dim| match dim {
            bundle::Dim::Symbol(name) => Some((name.clone(), recipe.dims.get(name).copied().unwrap_or(1))),
            bundle::Dim::Fixed(_) => None,
        });
    let for_dims: BTreeMap<String, u64> = symbols.collect();
    Ok(Manifest {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        description: recipe.description.clone(),
        inputs,
        outputs,
        pre,
        post,
        lineage: Lineage {
            data_version: recipe.data_version.clone(),
            source_commit: recipe.source_commit.clone(),
            owner: recipe.owner.clone(),
            parent: recipe.parent,
            metrics: recipe.metrics.clone(),
            ..Lineage::default()
        },
        licence: recipe.licence.clone(),
        min_runtime: MIN_RUNTIME,
        operators: operators.into_iter().collect(),
        golden: vectors.iter().map(note).collect(),
        resources: Resources {
            for_dims: for_dims.into_iter().collect(),
            ..Resources::default()
        },
        cascade: recipe.cascade.clone(),
        allowed_disagreement_ppm: recipe.allowed_disagreement_ppm,
        release_counter: recipe.release_counter,
    })
}

fn inputs(graph: &Graph, recipe: &Recipe) -> Result<(Vec<ValueSpec>, Vec<PreProcessing>), CompileError> {
    let (mut specs, mut steps) = (Vec::new(), Vec::new());
    for id in &graph.inputs {
        let mut spec = spec(graph, *id)?;
        let said = recipe.inputs.get(&spec.name).cloned().unwrap_or_default();
        spec.range = said.range;
        spec.layout = said.layout;
        spec.semantic = said.semantic;
        if let Some(step) = said.pre {
            check_pre(&spec, &step).map_err(|why| misfit(format!("inputs.{}.pre", spec.name), why))?;
            steps.push(PreProcessing {
                input: spec.name.clone(),
                step,
            });
        }
        specs.push(spec);
    }
    Ok((specs, steps))
}

fn outputs(graph: &Graph, recipe: &Recipe) -> Result<(Vec<ValueSpec>, Vec<PostProcessing>), CompileError> {
    let (mut specs, mut steps) = (Vec::new(), Vec::new());
    for id in &graph.outputs {
        let mut spec = spec(graph, *id)?;
        let said = recipe.outputs.get(&spec.name).cloned().unwrap_or_default();
        spec.layout = said.layout;
        spec.semantic = said.semantic;
        if let Some(classification) = said.classification {
            let labels = classification.labels.len() as u64;
            match spec.dims.last() {
                Some(bundle::Dim::Fixed(classes)) if *classes != labels => {
                    let why = format!("there are {labels} labels, the output has {classes} classes");
                    return Err(misfit(
                        format!("outputs.{}.classification.labels", spec.name),
                        why,
                    ));
                }
                _ => steps.push(PostProcessing {
                    output: spec.name.clone(),
                    step: PostStep::Classification(classification),
                }),
            }
        }
        specs.push(spec);
    }
    Ok((specs, steps))
}

/// Name, type and shape of an input or output.
fn spec(graph: &Graph, id: ValueId) -> Result<ValueSpec, CompileError> {
    let value = graph.value(id);
    let Some(TensorType { dtype, shape }) = value.ty.clone() else {
        return Err(CompileError::Unsupported {
            what: format!(
                "'{}', whose type neither the model nor its operators tell",
                value.name
            ),
            advice: "export the model with typed inputs and outputs",
        });
    };
    let dim = |(axis, dim): (usize, Dim)| match dim {
        // Fixed dimensions are never negative.
        Dim::Fixed(n) => bundle::Dim::Fixed(n.unsigned_abs()),
        Dim::Symbol(name) => bundle::Dim::Symbol(name),
        Dim::Unknown => bundle::Dim::Symbol(format!("{}.{axis}", value.name)),
    };
    let dims = shape.into_iter().enumerate().map(dim).collect();
    Ok(ValueSpec {
        name: value.name.clone(),
        dtype,
        dims,
        range: None,
        layout: None,
        semantic: None,
    })
}

/// Checks that a step makes what the input takes.
fn check_pre(spec: &ValueSpec, step: &PreStep) -> Result<(), String> {
    let takes = |made: &[u64]| {
        let fits = spec.dims.len() == made.len()
            && spec.dims.iter().zip(made).all(|(dim, made)| match dim {
                bundle::Dim::Fixed(n) => n == made,
                bundle::Dim::Symbol(_) => true,
            });
        fits.then_some(())
            .ok_or_else(|| format!("it makes {made:?}, the input takes {:?}", spec.dims))
    };
    match step {
        PreStep::BytesHeadTail(step) => {
            if step.block < step.head.max(step.tail) {
                return Err("block is smaller than head or tail".into());
            }
            if (0..=255).contains(&step.padding_token) {
                return Err("padding_token is a byte's value; it must be outside 0 to 255".into());
            }
            takes(&[1, u64::from(step.head) + u64::from(step.tail)])
        }
        PreStep::ImageU8(step) => {
            let (height, width) = (u64::from(step.height), u64::from(step.width));
            match step.layout {
                ImageLayout::Nchw => takes(&[1, 3, height, width]),
                ImageLayout::Nhwc => takes(&[1, height, width, 3]),
            }
        }
        _ => Ok(()),
    }
}
