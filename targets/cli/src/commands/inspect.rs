//! `sanderling inspect`.

use crate::commands::files;
use crate::out::{Out, bytes, count};
use anyhow::Context;
use clap::Args;
use sanderling_bundle::{BundleView, Lineage, Manifest};
use sanderling_compiler::onnx;
use sanderling_core::infer::specialise;
use sanderling_core::{Dim, Graph, OpTable, PlanView, Tensor, TensorType, ops};
use sanderling_launch::{LaunchTable, Seen};
use sanderling_wire::Digest;
use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Show what a bundle or an ONNX model holds.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  sanderling inspect magika-2.sdl\n  sanderling inspect model.onnx --nodes\n  sanderling inspect magika-2.sdl --json | jq .manifest.lineage"
)]
pub(crate) struct Inspect {
    /// A bundle (.sdl) or an ONNX model.
    model: PathBuf,
    /// List every node.
    #[arg(long)]
    nodes: bool,
    /// List every constant with its hash.
    #[arg(long)]
    tensors: bool,
}

#[derive(Serialize)]
struct Shown {
    file: PathBuf,
    kind: &'static str,
    length: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "with_hex")]
    manifest: Option<Manifest>,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    operators: BTreeMap<String, usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    golden_vectors: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    devices: Option<Devices>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sections: Vec<SectionRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nodes: Vec<NodeRow>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tensors: Vec<TensorRow>,
}

/// Who computes the nodes where there is a GPU.
#[derive(Serialize)]
struct Devices {
    /// Nodes that the GPU backends take.
    gpu: usize,
    /// Operators of the others.
    cpu: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Port {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Serialize)]
struct SectionRow {
    kind: String,
    length: u64,
}

#[derive(Serialize)]
struct NodeRow {
    name: String,
    operator: String,
    inputs: Vec<String>,
    outputs: Vec<String>,
}

#[derive(Serialize)]
struct TensorRow {
    name: String,
    dtype: &'static str,
    shape: Vec<u64>,
    length: usize,
    sha256: String,
}

/// The manifest with its hashes as people write them.
fn with_hex<S: Serializer>(manifest: &Option<Manifest>, serializer: S) -> Result<S::Ok, S::Error> {
    let mut json = serde_json::to_value(manifest).map_err(S::Error::custom)?;
    if let Some(lineage) = manifest.as_ref().map(|manifest| &manifest.lineage) {
        for (key, hash) in [
            ("parent", lineage.parent),
            ("source_sha256", lineage.source_sha256),
        ] {
            json["lineage"][key] = hash.map(|hash| Digest(hash).to_string()).into();
        }
    }
    json.serialize(serializer)
}

fn type_text(ty: Option<TensorType>) -> String {
    ty.map_or("unknown".to_string(), |ty| ty.to_string())
}

/// `domain:OpType`, without the colon for ONNX's own domain.
fn operator_text(domain: &str, op_type: &str) -> String {
    if domain.is_empty() {
        op_type.to_string()
    } else {
        format!("{domain}:{op_type}")
    }
}

impl Inspect {
    pub(crate) fn run(self, out: &Out) -> anyhow::Result<()> {
        let data = files::read(&self.model, files::MAX_BUNDLE)?;
        let shown = if data.starts_with(&sanderling_bundle::MAGIC) {
            self.bundle(&data)
                .with_context(|| self.model.display().to_string())?
        } else {
            let limits = onnx::Limits::default();
            // Reading names what is unknown; inspecting must not fail on it, but the operators are ours to judge.
            let model = onnx::read_file(&self.model, OpTable(ops::ALL), &limits)
                .with_context(|| self.model.display().to_string())?;
            self.onnx(&self.model, data.len() as u64, &model.graph)
        };
        out.print(&shown, text)
    }

    fn bundle(&self, data: &[u8]) -> anyhow::Result<Shown> {
        let view = BundleView::parse(data)?;
        view.verify_hashes()?;
        let plan = PlanView::parse(
            view.plan("any")
                .context("the bundle has no plan that every backend takes")?,
        )?;
        let port = |id| Port {
            name: plan.value(id).name.to_string(),
            ty: type_text(plan.value(id).ty()),
        };
        let mut operators = BTreeMap::new();
        plan.nodes().for_each(|n| {
            *operators
                .entry(operator_text(n.domain(), n.op_type()))
                .or_insert(0) += 1
        });
        let name = |id: Option<_>| id.map_or("-".to_string(), |id| plan.value(id).name.to_string());
        let row = |node: sanderling_core::plan::NodeView<'_>| NodeRow {
            name: node.name().to_string(),
            operator: operator_text(node.domain(), node.op_type()),
            inputs: node.inputs().map(name).collect(),
            outputs: node.outputs().map(name).collect(),
        };
        let tensors = view.tensors();
        let tensor = |t: sanderling_bundle::TensorView<'_>| TensorRow {
            name: t.name.to_string(),
            dtype: t.dtype.name(),
            shape: t.dims.to_vec(),
            length: t.data.len(),
            sha256: Digest(t.sha256).to_string(),
        };
        Ok(Shown {
            file: self.model.clone(),
            kind: "bundle",
            length: data.len() as u64,
            sha256: Some(Digest(view.digest()).to_string()),
            manifest: Some(view.manifest()?),
            inputs: plan.inputs().map(port).collect(),
            outputs: plan.outputs().map(port).collect(),
            operators,
            golden_vectors: Some(view.golden()?.len()),
            devices: devices(&plan, &view),
            sections: view
                .sections()
                .map(|s| SectionRow {
                    kind: format!("{:?}", s.kind),
                    length: s.len,
                })
                .collect(),
            nodes: if self.nodes {
                plan.nodes().map(row).collect()
            } else {
                Vec::new()
            },
            tensors: if self.tensors {
                tensors.iter().map(tensor).collect()
            } else {
                Vec::new()
            },
        })
    }

    fn onnx(&self, file: &Path, length: u64, graph: &Graph) -> Shown {
        let port = |id| Port {
            name: graph.value(id).name.clone(),
            ty: type_text(graph.value(id).ty.clone()),
        };
        let mut operators = BTreeMap::new();
        graph
            .nodes
            .iter()
            .for_each(|n| *operators.entry(operator_text(&n.domain, &n.op_type)).or_insert(0) += 1);
        let name = |id: &Option<_>| id.map_or("-".to_string(), |id| graph.value(id).name.clone());
        let row = |node: &sanderling_core::Node| NodeRow {
            name: node.name.clone(),
            operator: operator_text(&node.domain, &node.op_type),
            inputs: node.inputs.iter().map(name).collect(),
            outputs: node.outputs.iter().map(name).collect(),
        };
        let tensor = |value: &sanderling_core::Value| {
            value.constant.as_ref().map(|t| TensorRow {
                name: value.name.clone(),
                dtype: t.dtype().name(),
                shape: t.shape().iter().map(|&n| n as u64).collect(),
                length: t.bytes().len(),
                sha256: Digest::of(t.bytes()).to_string(),
            })
        };
        Shown {
            file: file.to_path_buf(),
            kind: "onnx",
            length,
            sha256: None,
            manifest: None,
            inputs: graph.inputs.iter().map(|&id| port(id)).collect(),
            outputs: graph.outputs.iter().map(|&id| port(id)).collect(),
            operators,
            golden_vectors: None,
            devices: None,
            sections: Vec::new(),
            nodes: if self.nodes {
                graph.nodes.iter().map(row).collect()
            } else {
                Vec::new()
            },
            tensors: if self.tensors {
                graph.values.iter().filter_map(tensor).collect()
            } else {
                Vec::new()
            },
        }
    }
}

/// Which nodes GPUs take, for the shapes that the certificate was made for, else 1 where the model leaves them open; none
/// where these do not fit the model.
fn devices(plan: &PlanView<'_>, view: &BundleView<'_>) -> Option<Devices> {
    let sizes = view.manifest().ok()?.resources.for_dims;
    let size = |dim: &Dim| match dim {
        Dim::Fixed(n) => usize::try_from(*n).ok(),
        Dim::Symbol(name) => {
            let stated = sizes.iter().find(|(known, _)| known == name);
            stated.map_or(Some(1), |(_, n)| usize::try_from(*n).ok())
        }
        Dim::Unknown => Some(1),
    };
    let concrete = |id| {
        let ty = plan.value(id).ty()?;
        let shape: Option<Vec<usize>> = ty.shape.iter().map(size).collect();
        Some(TensorType::fixed(ty.dtype, &shape?))
    };
    let types: Vec<TensorType> = plan.inputs().map(concrete).collect::<Option<_>>()?;
    let owned = |tensor: sanderling_bundle::TensorView<'_>| {
        let shape: Option<Vec<usize>> = tensor.dims.iter().map(|dim| usize::try_from(dim).ok()).collect();
        Tensor::from_bytes(tensor.dtype, &shape?, tensor.data).ok()
    };
    let constants: Vec<Tensor> = view.tensors().iter().map(owned).collect::<Option<_>>()?;
    let facts = specialise(plan, &constants, OpTable(ops::ALL), &types).ok()?;
    let table = LaunchTable(sanderling_launch::ops::ALL);
    let mut found = Devices {
        gpu: 0,
        cpu: BTreeMap::new(),
    };
    for node in plan.nodes().filter(|node| !facts.is_folded(node)) {
        match table.find(&Seen { node, facts: &facts }) {
            Some(_) => found.gpu += 1,
            None => {
                *found
                    .cpu
                    .entry(operator_text(node.domain(), node.op_type()))
                    .or_insert(0) += 1
            }
        }
    }
    Some(found)
}

fn counted(operators: &BTreeMap<String, usize>) -> String {
    let words: Vec<String> = operators.iter().map(|(name, n)| format!("{name} ×{n}")).collect();
    words.join(", ")
}

fn text(shown: &Shown) -> String {
    let mut text = format!(
        "{} ({}, {})\n",
        shown.file.display(),
        shown.kind,
        bytes(shown.length)
    );
    if let Some(manifest) = &shown.manifest {
        text += &manifest_text(manifest);
    }
    if let Some(sha256) = &shown.sha256 {
        text += &format!("sha256     {sha256}\n");
    }
    let port = |port: &Port| format!("  {:<24} {}\n", port.name, port.ty);
    text += "inputs\n";
    shown.inputs.iter().for_each(|p| text += &port(p));
    text += "outputs\n";
    shown.outputs.iter().for_each(|p| text += &port(p));
    text += &format!("operators  {}\n", counted(&shown.operators));
    if let Some(Devices { gpu, cpu }) = &shown.devices {
        text += &format!(
            "with a GPU {} on it; on the CPU: {}\n",
            count(*gpu as u64, "node"),
            counted(cpu)
        );
    }
    if let Some(golden) = shown.golden_vectors {
        text += &format!("golden     {}\n", count(golden as u64, "vector"));
    }
    if !shown.sections.is_empty() {
        let rows: Vec<String> = shown
            .sections
            .iter()
            .map(|s| format!("{} {}", s.kind, bytes(s.length)))
            .collect();
        text += &format!("sections   {}\n", rows.join(", "));
    }
    for node in &shown.nodes {
        text += &format!(
            "  {:<32} {:<20} {} → {}\n",
            node.name,
            node.operator,
            node.inputs.join(", "),
            node.outputs.join(", ")
        );
    }
    for tensor in &shown.tensors {
        text += &format!(
            "  {}  {:<8} {:?} {}\n",
            &tensor.sha256[..12],
            tensor.dtype,
            tensor.shape,
            tensor.name
        );
    }
    text
}

fn manifest_text(manifest: &Manifest) -> String {
    let mut text = format!("name       {} {}\n", manifest.name, manifest.version);
    if !manifest.description.is_empty() {
        text += &format!("           {}\n", manifest.description);
    }
    text += &format!("licence    {}\n", manifest.licence.spdx);
    text += &lineage_text(&manifest.lineage);
    text += &format!("runtime    {} or newer\n", manifest.min_runtime);
    let resources = &manifest.resources;
    text += &format!("resources  constants {}", bytes(resources.constant_bytes));
    if let Some(arena) = resources.arena_bytes {
        text += &format!(", arena {}", bytes(arena));
    }
    if let Some(stack) = resources.stack_bytes {
        text += &format!(", stack up to {} without a heap", bytes(stack));
    }
    if let Some(macs) = resources.macs {
        text += &format!(", {:.1} million multiply-adds", macs as f64 / 1e6);
    }
    text.push('\n');
    if let Some(quantisation) = &manifest.lineage.quantisation {
        let worst = quantisation
            .layers
            .iter()
            .map(|layer| layer.sqnr_db)
            .fold(f32::INFINITY, f32::min);
        text += &format!(
            "quantised  {}, {} tensors, worst SQNR {worst:.1} dB\n",
            quantisation.scheme,
            quantisation.layers.len()
        );
    }
    text
}

fn lineage_text(lineage: &Lineage) -> String {
    let hash = |name: &str, hash: Option<[u8; 32]>| {
        hash.map(|hash| format!("{name} {}", &Digest(hash).to_string()[..16]))
    };
    let word = |name: &str, word: &Option<String>| word.as_ref().map(|word| format!("{name} {word}"));
    let parts = [
        hash("model file", lineage.source_sha256),
        hash("parent", lineage.parent),
        word("data", &lineage.data_version),
        word("code", &lineage.source_commit),
        word("owner", &lineage.owner),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!("lineage    {}\n", parts.join(", "))
    }
}
