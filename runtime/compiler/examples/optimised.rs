//! Prints the nodes that the optimiser leaves of a model: `cargo run --example optimised -- model.onnx`.

use sanderling_compiler::onnx::{Limits, read_file};
use sanderling_compiler::{OptimiseOptions, optimise};
use sanderling_core::{Graph, OpTable, ValueId, ops};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: optimised MODEL.onnx")?;
    let table = OpTable(ops::ALL);
    let mut graph = read_file(path.as_ref(), table, &Limits::default())?.graph;
    let report = optimise(&mut graph, table, &OptimiseOptions::default())?;
    let show = |id: &Option<ValueId>| id.map_or("-".to_owned(), |id| describe(&graph, id));
    for node in &graph.nodes {
        let inputs: Vec<String> = node.inputs.iter().map(show).collect();
        let outputs: Vec<String> = node.outputs.iter().map(show).collect();
        println!("{} {} -> {}", node.op_type, inputs.join(" "), outputs.join(" "));
    }
    println!(
        "{} of {} nodes; {:?}",
        report.nodes_after, report.nodes_before, report.changes
    );
    Ok(())
}

fn describe(graph: &Graph, id: ValueId) -> String {
    let value = graph.value(id);
    let kind = if value.constant.is_some() { "const" } else { "" };
    let ty = value.ty.as_ref().map_or("?".to_owned(), ToString::to_string);
    format!("%{}:{kind}{ty}", id.0)
}
