//! The graph the compiler works on: owned, named, freely changed.
//!
//! Values are numbered; a node reads and writes values by number. A value is an input of the graph, a constant,
//! or written by exactly one node. [`Graph::check`] holds that, and puts the nodes in an order in which every
//! value is written before it is read.

use crate::attr::{AttrRef, List};
use crate::error::{CoreError, NodeName};
use crate::shape::TensorType;
use crate::tensor::Tensor;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
pub use sanderling_flat::ValueId;

/// One value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Value {
    /// ONNX name; unique in the graph.
    pub name: String,
    /// Type, as far as it is declared or inferred.
    pub ty: Option<TensorType>,
    /// The data, where it is a constant.
    pub constant: Option<Tensor>,
}

/// One attribute.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Attribute {
    /// An integer.
    Int(i64),
    /// A float.
    Float(f32),
    /// Bytes, mostly UTF-8.
    String(Vec<u8>),
    /// A tensor.
    Tensor(Tensor),
    /// A graph: a branch or a loop's body.
    Graph(Box<Graph>),
    /// Integers.
    Ints(Vec<i64>),
    /// Floats.
    Floats(Vec<f32>),
    /// Texts.
    Strings(Vec<Vec<u8>>),
}

impl Attribute {
    /// A borrowed form.
    #[must_use]
    pub fn as_ref(&self) -> AttrRef<'_> {
        match self {
            Self::Int(value) => AttrRef::Int(*value),
            Self::Float(value) => AttrRef::Float(*value),
            Self::String(bytes) => AttrRef::String(bytes),
            Self::Ints(list) => AttrRef::Ints(List::Slice(list)),
            Self::Floats(list) => AttrRef::Floats(List::Slice(list)),
            Self::Tensor(_) | Self::Graph(_) | Self::Strings(_) => AttrRef::Other,
        }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Node {
    /// ONNX name; may be empty or double.
    pub name: String,
    /// Operator domain; empty for ONNX's own.
    pub domain: String,
    /// Operator name.
    pub op_type: String,
    /// Opset version of the domain in this model.
    pub opset: u16,
    /// What it reads; none where an optional input is left out.
    pub inputs: Vec<Option<ValueId>>,
    /// What it writes; none where an optional output is not wanted.
    pub outputs: Vec<Option<ValueId>>,
    /// Attributes by name.
    pub attributes: Vec<(String, Attribute)>,
}

impl Node {
    /// For errors.
    #[must_use]
    pub fn display_name(&self) -> NodeName {
        NodeName {
            name: self.name.clone(),
            op: format!("{}:{}", self.domain, self.op_type),
            opset: self.opset,
        }
    }

    /// Whether it is this operator of ONNX's own domain.
    #[must_use]
    pub fn is(&self, op_type: &str) -> bool {
        self.domain.is_empty() && self.op_type == op_type
    }
}

/// A graph.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// ONNX name.
    pub name: String,
    /// All values.
    pub values: Vec<Value>,
    /// All nodes.
    pub nodes: Vec<Node>,
    /// What a caller gives.
    pub inputs: Vec<ValueId>,
    /// What a caller gets.
    pub outputs: Vec<ValueId>,
}

impl Graph {
    /// Adds a value.
    pub fn add_value(&mut self, value: Value) -> ValueId {
        // Importers limit graphs to far fewer than u32::MAX values.
        let id = ValueId(u32::try_from(self.values.len()).unwrap_or(u32::MAX));
        self.values.push(value);
        id
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        self.add_value(Value {
            name: name.into(),
            ty: Some(tensor.ty()),
            constant: Some(tensor),
        })
    }

    /// A value.
    #[must_use]
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// A constant's data.
    #[must_use]
    pub fn constant(&self, id: ValueId) -> Option<&Tensor> {
        self.value(id).constant.as_ref()
    }

    /// Which node writes each value, by index of the value.
    #[must_use]
    pub fn producers(&self) -> Vec<Option<usize>> {
        let mut producers = alloc::vec![None; self.values.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            node.outputs
                .iter()
                .flatten()
                .for_each(|out| producers[out.index()] = Some(n));
        }
        producers
    }

    /// Which nodes read each value, by index of the value; a node once for each time it reads.
    #[must_use]
    pub fn consumers(&self) -> Vec<Vec<usize>> {
        let mut consumers = alloc::vec![Vec::new(); self.values.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            node.inputs
                .iter()
                .flatten()
                .for_each(|input| consumers[input.index()].push(n));
        }
        consumers
    }

    /// Checks the graph and sorts its nodes so that values are written before they are read.
    ///
    /// The order is stable: nodes that are ready keep their order.
    ///
    /// # Errors
    /// [`CoreError::Graph`] for ids out of range, a value written twice or never, or a cycle (its nodes are named).
    pub fn check(&mut self) -> Result<(), CoreError> {
        self.check_ids()?;
        let producers = self.check_single_writers()?;
        let order = self.topological_order(&producers)?;
        let mut nodes: Vec<Option<Node>> = core::mem::take(&mut self.nodes).into_iter().map(Some).collect();
        self.nodes = order.into_iter().filter_map(|n| nodes[n].take()).collect();
        Ok(())
    }

    fn check_ids(&self) -> Result<(), CoreError> {
        let ids = self
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().chain(&n.outputs).flatten());
        match ids
            .chain(&self.inputs)
            .chain(&self.outputs)
            .find(|id| id.index() >= self.values.len())
        {
            Some(id) => Err(CoreError::Graph {
                message: format!("value {} is used and does not exist", id.0),
            }),
            None => Ok(()),
        }
    }

    fn check_single_writers(&self) -> Result<Vec<Option<usize>>, CoreError> {
        let mut given: Vec<bool> = self.values.iter().map(|v| v.constant.is_some()).collect();
        self.inputs.iter().for_each(|id| given[id.index()] = true);
        let mut producers: Vec<Option<usize>> = alloc::vec![None; self.values.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            for out in node.outputs.iter().flatten() {
                if given[out.index()] || producers[out.index()].replace(n).is_some() {
                    let message = format!(
                        "value '{}' is written twice, again by {}",
                        self.value(*out).name,
                        node.display_name()
                    );
                    return Err(CoreError::Graph { message });
                }
            }
        }
        let read = self
            .nodes
            .iter()
            .flat_map(|node| node.inputs.iter().flatten().map(move |id| (id, Some(node))));
        for (id, reader) in read.chain(self.outputs.iter().map(|id| (id, None))) {
            if !given[id.index()] && producers[id.index()].is_none() {
                let name = &self.value(*id).name;
                let reader = reader.map_or(String::from("the graph's outputs"), |n| {
                    format!("{}", n.display_name())
                });
                let message = format!("value '{name}' is read by {reader} and nothing writes it");
                return Err(CoreError::Graph { message });
            }
        }
        Ok(producers)
    }

    fn topological_order(&self, producers: &[Option<usize>]) -> Result<Vec<usize>, CoreError> {
        let mut waiting_for = alloc::vec![0usize; self.nodes.len()];
        let mut readers: Vec<Vec<usize>> = alloc::vec![Vec::new(); self.nodes.len()];
        for (n, node) in self.nodes.iter().enumerate() {
            for producer in node
                .inputs
                .iter()
                .flatten()
                .filter_map(|id| producers[id.index()])
            {
                waiting_for[n] += 1;
                readers[producer].push(n);
            }
        }
        let mut ready: BTreeMap<usize, ()> = waiting_for
            .iter()
            .enumerate()
            .filter(|(_, w)| **w == 0)
            .map(|(n, _)| (n, ()))
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some((n, ())) = ready.pop_first() {
            order.push(n);
            for &reader in &readers[n] {
                waiting_for[reader] -= 1;
                if waiting_for[reader] == 0 {
                    ready.insert(reader, ());
                }
            }
        }
        match waiting_for.iter().position(|&w| w > 0) {
            Some(n) if order.len() < self.nodes.len() => Err(CoreError::Graph {
                message: format!(
                    "{} waits for its own output: the graph has a cycle",
                    self.nodes[n].display_name()
                ),
            }),
            _ => Ok(order),
        }
    }

    /// Drops values that nothing refers to and numbers the rest anew.
    pub fn compact(&mut self) {
        let mut used = alloc::vec![false; self.values.len()];
        let ids = self
            .nodes
            .iter()
            .flat_map(|n| n.inputs.iter().chain(&n.outputs).flatten());
        ids.chain(&self.inputs)
            .chain(&self.outputs)
            .for_each(|id| used[id.index()] = true);
        let mut next = 0u32;
        let renumbered: Vec<ValueId> = used
            .iter()
            .map(|&used| {
                let id = ValueId(next);
                next += u32::from(used);
                id
            })
            .collect();
        let mut keep = used.iter();
        self.values.retain(|_| keep.next().copied().unwrap_or(false));
        let renumber = |id: &mut ValueId| *id = renumbered[id.index()];
        for node in &mut self.nodes {
            node.inputs
                .iter_mut()
                .chain(&mut node.outputs)
                .flatten()
                .for_each(renumber);
        }
        self.inputs.iter_mut().chain(&mut self.outputs).for_each(renumber);
    }
}
