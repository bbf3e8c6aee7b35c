//! A vector as a graph of one node, and the way of that graph through a backend.

use crate::Vector;
use sanderling_core::backend::{Backend, Located, Segment, run_blocking};
use sanderling_core::infer::specialise;
use sanderling_core::partition::partition;
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{CoreError, Graph, Node, OpTable, Tensor, TensorType, Value, ValueId, ops};
use std::rc::Rc;

/// The vector as a graph, and what to give it: the first tensor of the operator is an input, and so is the second where
/// `two`.
///
/// # Errors
/// [`CoreError::Graph`] where the vector's inputs do not make one.
pub fn graph(vector: &Vector, two: bool) -> Result<(Graph, Vec<Tensor>), CoreError> {
    let mut graph = Graph::default();
    let mut given = Vec::new();
    let mut ids = Vec::new();
    for (i, input) in vector.inputs.iter().enumerate() {
        let id = input.as_ref().map(|tensor| {
            let name = format!("in{i}");
            if i == 0 || (two && i == 3) {
                let id = graph.add_value(Value {
                    name,
                    ty: Some(tensor.ty()),
                    constant: None,
                });
                graph.inputs.push(id);
                given.push(tensor.clone());
                id
            } else {
                graph.add_constant(name, tensor.clone())
            }
        });
        ids.push(id);
    }
    let out = graph.add_value(Value {
        name: "out".into(),
        ..Value::default()
    });
    graph.outputs.push(out);
    graph.nodes.push(Node {
        name: "node".into(),
        domain: vector.domain.into(),
        op_type: vector.op.clone(),
        opset: vector.opset,
        inputs: ids,
        outputs: vec![Some(out)],
        attributes: vector.attributes.clone(),
    });
    graph.check()?;
    Ok((graph, given))
}

/// The output as a backend computes it, and the kernel.
///
/// # Errors
/// As [`run_all`].
pub fn run(backend: &dyn Backend, graph: &Graph, given: &[Tensor]) -> Result<(Tensor, String), CoreError> {
    let (outputs, kernel) = run_all(backend, graph, given)?;
    let found = outputs.into_iter().next();
    Ok((found.ok_or_else(|| missing("there is no output"))?, kernel))
}

/// Every output of a graph as a backend computes it, and the first kernel.
///
/// # Errors
/// What the backend says; [`CoreError::Backend`] where it does not take all of it.
pub fn run_all(
    backend: &dyn Backend,
    graph: &Graph,
    given: &[Tensor],
) -> Result<(Vec<Tensor>, String), CoreError> {
    let (bytes, ids) = encode(graph, &Arena::default())?;
    let plan = PlanView::parse(&bytes)?;
    let constants: Vec<Tensor> = ids.iter().filter_map(|&id| graph.constant(id).cloned()).collect();
    let types: Vec<TensorType> = given.iter().map(Tensor::ty).collect();
    let facts = specialise(&plan, &constants, OpTable(ops::ALL), &types)?;
    let parts = partition(&plan, &facts, &[backend])?;
    let [part] = &parts[..] else {
        return Err(missing("what one backend takes is not one part"));
    };
    let mut executable = backend.prepare(&Segment {
        plan,
        nodes: part.nodes.clone(),
        facts: &facts,
        inputs: &part.inputs,
        outputs: &part.outputs,
        constants: Rc::new(constants),
        memory_limit: 1 << 30,
    })?;
    let at = |id: &ValueId| graph.inputs.iter().position(|input| input == id);
    let located = part
        .inputs
        .iter()
        .map(|id| Some(Located::Host(given.get(at(id)?)?.view())))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| missing("the part reads what is not given"))?;
    run_blocking(&mut *executable, &located, std::thread::yield_now)?;
    let kernel = executable.kernels().into_iter().map(|(_, kernel)| kernel).next();
    let outputs = graph.outputs.iter().map(|id| {
        let index = part.outputs.iter().position(|output| output == id);
        let found = executable.read_output(index.ok_or_else(|| missing("an output is not the part's"))?)?;
        Ok(found.ok_or_else(|| missing("there is no output"))?.to_tensor())
    });
    let outputs = outputs.collect::<Result<Vec<_>, CoreError>>()?;
    Ok((outputs, kernel.unwrap_or_default()))
}

/// Runs every vector on a backend: how many runs it took, and the names of the vectors that it left to others.
///
/// # Errors
/// The first vector with other bytes, and what the backend says but that it does not take a node.
pub fn every_vector(backend: &dyn Backend) -> Result<(usize, Vec<String>), String> {
    let (mut taken, mut left) = (0, Vec::new());
    for vector in &crate::vectors()? {
        let computed = matches!(vector.op.as_str(), "QLinearAdd" | "QLinearMul");
        for two in [false, true].into_iter().take(1 + usize::from(computed)) {
            let named = |error: CoreError| format!("{}: {error}", vector.name);
            let (graph, given) = self::graph(vector, two).map_err(named)?;
            match run(backend, &graph, &given) {
                Ok((found, _)) if found == vector.output => taken += 1,
                Ok((_, kernel)) => return Err(format!("{} by {kernel}: other bytes", vector.name)),
                Err(CoreError::Backend {
                    recoverable: false, ..
                }) => left.push(vector.name.clone()),
                Err(error) => return Err(named(error)),
            }
        }
    }
    Ok((taken, left))
}

fn missing(message: &str) -> CoreError {
    CoreError::Graph {
        message: message.into(),
    }
}
