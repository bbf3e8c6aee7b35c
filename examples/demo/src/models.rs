//! The four versions of the story's model. Two of them are damaged, by code that nothing else links.

use anyhow::{Context, bail};
use sanderling_bundle::{BundleBuilder, BundleView};
use sanderling_compiler::{
    OptimiseOptions, Packed, Recipe, assemble, compile, onnx, quantise::QuantiseOptions,
};
use sanderling_core::{Graph, OpTable, Tensor, ops};
use sanderling_wire::Digest;
use std::path::{Path, PathBuf};

/// Share of answers by which int8 weights may differ from float ones, parts per million: 2 %.
const ALLOWED_DISAGREEMENT_PPM: u32 = 20_000;
/// What the scales of the damaged layer are multiplied by.
const WRONG_SCALE: f32 = 8.0;

/// A packed version.
#[derive(Debug, Clone)]
pub struct Version {
    /// `v1` to `v4`.
    pub name: &'static str,
    /// Its bundle.
    pub path: PathBuf,
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// Bytes of the bundle.
    pub length: u64,
}

impl Version {
    /// As the API names it.
    #[must_use]
    pub fn label(&self) -> String {
        format!("magika@{}", self.name)
    }
}

/// The files that the model is packed from; part of this program, so that the demo runs anywhere.
const FILES: &[(&str, &[u8])] = &[
    ("model.onnx", include_bytes!("../../magika/model.onnx")),
    ("sanderling.toml", include_bytes!("../../magika/sanderling.toml")),
    ("labels.txt", include_bytes!("../../magika/labels.txt")),
    ("text-labels.txt", include_bytes!("../../magika/text-labels.txt")),
    ("README.md", include_bytes!("../../magika/README.md")),
    ("LICENSE", include_bytes!("../../magika/LICENSE")),
    ("NOTICE", include_bytes!("../../magika/NOTICE")),
];

/// Packs all four into `folder`; `progress` hears of each as it is done.
///
/// # Errors
/// What packing says, and the file system.
pub fn pack_all(folder: &Path, mut progress: impl FnMut(&Version)) -> anyhow::Result<[Version; 4]> {
    let source = folder.join("magika");
    std::fs::create_dir_all(&source)?;
    for (name, bytes) in FILES {
        std::fs::write(source.join(name), bytes).with_context(|| format!("cannot write {name}"))?;
    }
    let mut keep = |name: &'static str, bytes: &[u8]| {
        let path = folder.join(format!("magika-{name}.sdl"));
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        let version = Version {
            name,
            path,
            digest: Digest::of(bytes),
            length: bytes.len() as u64,
        };
        progress(&version);
        anyhow::Ok(version)
    };
    let v1 = pack(&source, "v1", None, |_| Ok(()))?;
    let kept1 = keep("v1", &v1.bytes)?;
    let v2 = pack(&source, "v2", Some(&v1), |_| Ok(()))?;
    let kept2 = keep("v2", &v2.bytes)?;
    let v3 = pack(&source, "v3", Some(&v2), |graph| {
        damage_scales(graph, WRONG_SCALE)
    })?;
    let kept3 = keep("v3", &v3.bytes)?;
    // Version 4 promises what version 2 computes, and computes what version 3 does.
    let v4 = pack(&source, "v4", Some(&v2), |graph| {
        damage_scales(graph, WRONG_SCALE)
    })?;
    let kept4 = keep("v4", &with_golden_of(&v4.bytes, &v2.bytes)?)?;
    Ok([kept1, kept2, kept3, kept4])
}

/// Packs one version: float without a parent, int8 weights with one.
fn pack(
    source: &Path,
    name: &str,
    parent: Option<&Packed>,
    change: impl FnOnce(&mut Graph) -> anyhow::Result<()>,
) -> anyhow::Result<Packed> {
    let (mut recipe, model) = Recipe::load(&source.join("sanderling.toml"))?;
    recipe.version = name.to_string();
    if let Some(parent) = parent {
        recipe.quantise = Some(QuantiseOptions::default());
        recipe.parent = Some(parent.sha256);
        recipe.allowed_disagreement_ppm = ALLOWED_DISAGREEMENT_PPM;
    }
    let table = OpTable(ops::ALL);
    let model = onnx::read_file(&model, table, &onnx::Limits::default())?;
    let mut compiled = compile(model, &recipe, table, &OptimiseOptions::default(), &mut |_| ())?;
    change(&mut compiled.graph)?;
    Ok(assemble(compiled, &recipe, table, &mut |_| ())?)
}

/// Multiplies the scales of the largest quantised weight: each of its numbers is then wrong by one factor a channel.
/// Nothing in the bundle shows it, since golden vectors are computed from the damaged graph.
///
/// # Errors
/// Where the graph has no quantised weight.
pub fn damage_scales(graph: &mut Graph, factor: f32) -> anyhow::Result<()> {
    let dequantise = graph.nodes.iter().filter(|node| node.is("DequantizeLinear"));
    let scales =
        dequantise.filter_map(|node| Some((node.inputs.first().copied()??, node.inputs.get(1).copied()??)));
    let weight_bytes = |id| graph.constant(id).map_or(0, |tensor| tensor.bytes().len());
    let Some((_, scale)) = scales.max_by_key(|(weight, _)| weight_bytes(*weight)) else {
        bail!("the model has no quantised weight to damage");
    };
    let old = graph
        .constant(scale)
        .context("the scale of a quantised weight is a constant")?;
    // Every other channel: were all wrong by the same factor, a normalisation behind would hide it.
    let values: Vec<f32> = old
        .view()
        .as_slice::<f32>()?
        .iter()
        .enumerate()
        .map(|(i, s)| if i % 2 == 0 { s * factor } else { *s })
        .collect();
    let new = Tensor::from_slice(old.shape(), &values)?;
    graph.values[scale.index()].constant = Some(new);
    Ok(())
}

/// A bundle with the golden vectors of another one.
///
/// # Errors
/// Where either is no bundle, or the parts do not make one.
pub fn with_golden_of(bundle: &[u8], other: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (view, other) = (BundleView::parse(bundle)?, BundleView::parse(other)?);
    let mut builder = BundleBuilder::new(view.manifest()?);
    builder.numerics(view.header().numerics);
    for tensor in view.tensors().iter() {
        builder.tensor(tensor.name, tensor.dtype, &tensor.dims.to_vec(), tensor.data)?;
    }
    for (target, plan) in view.plans() {
        builder.plan(target, plan.to_vec())?;
    }
    builder.golden(&other.golden()?)?;
    if let Some(card) = view.model_card()? {
        builder.model_card(card);
    }
    if let Some(notice) = view.notice()? {
        builder.notice(notice);
    }
    Ok(builder.finish()?)
}
