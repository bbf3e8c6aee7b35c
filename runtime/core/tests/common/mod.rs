//! Small graphs by hand.
#![allow(dead_code, reason = "each test uses its part")]

use sanderling_core::plan::{Arena, encode};
use sanderling_core::{Attribute, DType, Dim, Graph, Node, Tensor, TensorType, Value, ValueId};

/// A type as it is displayed: `float32[N,3,?]`.
pub(crate) fn ty(text: &str) -> TensorType {
    let (dtype, dims) = text.trim_end_matches(']').split_once('[').unwrap();
    let dim = |text: &str| match text {
        "?" => Dim::Unknown,
        text => text
            .parse()
            .map(Dim::Fixed)
            .unwrap_or_else(|_| Dim::Symbol(text.to_string())),
    };
    TensorType {
        dtype: DType::from_name(dtype).unwrap(),
        shape: dims.split(',').filter(|text| !text.is_empty()).map(dim).collect(),
    }
}

/// A graph that grows node by node.
pub(crate) struct GraphBuilder {
    graph: Graph,
    /// Opset of the nodes added from now on.
    pub(crate) opset: u16,
}

impl Default for GraphBuilder {
    fn default() -> Self {
        Self {
            graph: Graph::default(),
            opset: 17,
        }
    }
}

impl GraphBuilder {
    /// Adds an input of a type, as [`ty`] reads it.
    pub(crate) fn input(&mut self, name: &str, text: &str) -> ValueId {
        let id = self.graph.add_value(Value {
            name: name.into(),
            ty: Some(ty(text)),
            constant: None,
        });
        self.graph.inputs.push(id);
        id
    }

    /// Adds a constant of int64.
    pub(crate) fn ints(&mut self, name: &str, shape: &[usize], values: &[i64]) -> ValueId {
        self.graph
            .add_constant(name, Tensor::from_slice(shape, values).unwrap())
    }

    /// Adds a node with one output, and gives that.
    pub(crate) fn node(&mut self, op: &str, inputs: &[ValueId], attributes: &[(&str, Attribute)]) -> ValueId {
        let out = self.graph.add_value(Value {
            name: format!("v{}", self.graph.values.len()),
            ..Value::default()
        });
        self.graph.nodes.push(Node {
            name: format!("n{}", self.graph.nodes.len()),
            domain: String::new(),
            op_type: op.into(),
            opset: self.opset,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(out)],
            attributes: attributes
                .iter()
                .map(|(name, value)| ((*name).to_string(), value.clone()))
                .collect(),
        });
        out
    }

    /// The graph, with these outputs.
    pub(crate) fn finish(mut self, outputs: &[ValueId]) -> Graph {
        self.graph.outputs = outputs.to_vec();
        self.graph.check().unwrap();
        self.graph
    }
}

/// A graph's plan and constants.
pub(crate) fn plan_of(graph: &Graph) -> (Vec<u8>, Vec<Tensor>) {
    let (bytes, constants) = encode(graph, &Arena::default()).unwrap();
    let constants = constants
        .iter()
        .map(|id| graph.constant(*id).unwrap().clone())
        .collect();
    (bytes, constants)
}
