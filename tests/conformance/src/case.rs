//! One case: import, plan, run, compare.

use crate::compare::difference;
use prost::Message;
use sanderling_compiler::onnx::{self, Limits, proto::ModelProto};
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{OpTable, Tensor, TensorView, ops, reference};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// How a case went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All outputs are as they must be.
    Passed,
    /// Why it failed, in words.
    Failed(String),
}

/// A case that was run.
#[derive(Debug, Clone)]
pub struct Case {
    /// Name of its folder.
    pub name: String,
    /// Operator of its only node; `composed` where there are several.
    pub operator: String,
    /// How it went.
    pub outcome: Outcome,
}

impl Case {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcome == Outcome::Passed
    }
}

/// Runs the case in a folder. A panic is a failure like another.
pub(crate) fn run(folder: &Path) -> Case {
    let name = folder
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let result = catch_unwind(AssertUnwindSafe(|| check(folder)));
    let outcome = match result {
        Ok(Ok(())) => Outcome::Passed,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(_) => Outcome::Failed("it panicked".to_owned()),
    };
    Case {
        name,
        operator: operator(folder),
        outcome,
    }
}

fn operator(folder: &Path) -> String {
    let bytes = std::fs::read(folder.join("model.onnx")).unwrap_or_default();
    let nodes = ModelProto::decode(bytes.as_slice())
        .ok()
        .and_then(|model| model.graph)
        .map(|graph| graph.node);
    match nodes.as_deref() {
        Some([node]) if node.domain.is_empty() => node.op_type.clone(),
        Some([node]) => format!("{}:{}", node.domain, node.op_type),
        _ => "composed".to_owned(),
    }
}

fn check(folder: &Path) -> Result<(), String> {
    let table = OpTable(ops::ALL);
    let model =
        onnx::read_file(&folder.join("model.onnx"), table, &Limits::default()).map_err(|e| e.to_string())?;
    let graph = model.graph;
    let (plan, constants) = encode(&graph, &Arena::default()).map_err(|e| e.to_string())?;
    let constants: Vec<Tensor> = constants
        .iter()
        .filter_map(|&id| graph.constant(id).cloned())
        .collect();
    let plan = PlanView::parse(&plan).map_err(|e| e.to_string())?;
    let sets = (0..)
        .map(|i| folder.join(format!("test_data_set_{i}")))
        .take_while(|set| set.is_dir());
    for set in sets {
        let inputs = tensors(&set, "input")?;
        let views: Vec<TensorView<'_>> = inputs.iter().map(Tensor::view).collect();
        let outputs =
            reference::run(&plan, &constants, table, &views, &mut |_, _| {}).map_err(|e| e.to_string())?;
        let expected = tensors(&set, "output")?;
        if outputs.len() != expected.len() {
            return Err(format!(
                "{} outputs, {} are expected",
                outputs.len(),
                expected.len()
            ));
        }
        for (i, (got, want)) in outputs.iter().zip(&expected).enumerate() {
            if let Some(why) = difference(got, want) {
                return Err(format!("output {i}: {why}"));
            }
        }
    }
    Ok(())
}

/// `input_0.pb`, `input_1.pb`, … of a data set.
fn tensors(set: &Path, kind: &str) -> Result<Vec<Tensor>, String> {
    (0..)
        .map(|i| set.join(format!("{kind}_{i}.pb")))
        .take_while(|path| path.is_file())
        .map(|path| {
            let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
            onnx::read_tensor(&bytes, &Limits::default()).map_err(|e| format!("{kind}: {e}"))
        })
        .collect()
}
