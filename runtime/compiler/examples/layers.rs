//! Writes every eight-bit value of a quantised model, as the references compute it, for a comparison with another runtime:
//! `cargo run --example layers -- model.onnx input.f32 FOLDER`.
//!
//! The input is binary32, row-major, in the model's shape (named dimensions are 1); each value becomes a file of raw
//! bytes, its ONNX name (slashes as underscores) the file's.

use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, optimise};
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{DType, OpTable, Tensor, ops, reference};
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, input, folder] = &arguments[..] else {
        return Err("usage: layers MODEL.onnx INPUT.f32 FOLDER".into());
    };
    let table = OpTable(ops::ALL);
    let mut graph = read_file(model.as_ref(), table, &Limits::default())?.graph;
    let report = optimise(&mut graph, table, &OptimiseOptions::default())?;
    report.notes.iter().for_each(|note| eprintln!("{note}"));
    let first = *graph.inputs.first().ok_or("the model has no input")?;
    let ty = graph.value(first).ty.clone().ok_or("the input has no type")?;
    let shape: Vec<usize> = ty
        .shape
        .iter()
        .map(|d| d.fixed().map_or(1, |n| n as usize))
        .collect();
    let input = Tensor::from_bytes(DType::F32, &shape, &std::fs::read(input)?)?;
    let (plan, constants) = encode(&graph, &Arena::default())?;
    let plan = PlanView::parse(&plan)?;
    let constants: Vec<Tensor> = constants
        .iter()
        .filter_map(|id| graph.constant(*id).cloned())
        .collect();
    let mut failed = None;
    reference::run(&plan, &constants, table, &[input.view()], &mut |id, view| {
        if matches!(view.dtype(), DType::U8 | DType::I8) {
            let name = plan.value(id).name.replace('/', "_");
            if let Err(error) = std::fs::write(Path::new(folder).join(name), view.bytes()) {
                failed = Some(error);
            }
        }
    })?;
    failed.map_or(Ok(()), |error| Err(error.into()))
}
