//! Writing a plan.

use super::{HEADER_LEN, MAGIC, MAX_ENTRIES, MAX_NAME, MAX_RANK, NONE, OPEN_DIM, VERSION, kind};
use crate::error::CoreError;
use crate::graph::{Attribute, Graph, Node, Value, ValueId};
use crate::shape::Dim;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

/// Where intermediates lie, where that is known when packing.
#[derive(Debug, Clone, Default)]
pub struct Arena {
    /// Byte offset by value; none for values that do not lie in the arena.
    pub offsets: Vec<Option<u64>>,
    /// Size in bytes; 0 where shapes are dynamic and the layout is made at run time.
    pub len: u64,
}

#[derive(Default)]
struct Tables {
    values: Vec<u8>,
    nodes: Vec<u8>,
    edges: Vec<u8>,
    dims: Vec<u8>,
    attrs: Vec<u8>,
    payload: Vec<u8>,
    names: BTreeMap<String, u32>,
    name_order: Vec<String>,
}

/// The bytes of a plan, and its constants in the order of their indices.
///
/// # Errors
/// [`CoreError::Graph`] for a graph that does not pass [`Graph::check`] (it must have passed), that is too
/// large for the tables, or that holds attributes a plan cannot: tensors (make them constants) and lists of texts.
pub fn encode(graph: &Graph, arena: &Arena) -> Result<(Vec<u8>, Vec<ValueId>), CoreError> {
    let mut tables = Tables::default();
    let mut constants = Vec::new();
    for (index, value) in graph.values.iter().enumerate() {
        tables.value(graph, index, value, arena, &mut constants)?;
    }
    for node in &graph.nodes {
        tables.node(node)?;
    }
    for id in graph.inputs.iter().chain(&graph.outputs) {
        push_u32(&mut tables.edges, id.0);
    }
    let counts = [
        graph.values.len(),
        graph.nodes.len(),
        graph.inputs.len(),
        graph.outputs.len(),
        tables.edges.len(),
    ];
    if counts.iter().any(|&count| count > MAX_ENTRIES) {
        return Err(CoreError::Graph {
            message: format!("the graph has more than {MAX_ENTRIES} values, nodes or edges"),
        });
    }
    if let Some(name) = tables.name_order.iter().find(|name| name.len() > MAX_NAME) {
        let start: String = name.chars().take(40).collect();
        return Err(CoreError::Graph {
            message: format!(
                "the name '{start}…' has {} bytes, a plan's have up to {MAX_NAME}",
                name.len()
            ),
        });
    }
    Ok((tables.assemble(graph, arena.len), constants))
}

fn push_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Sizes were checked against [`MAX_ENTRIES`] or are lengths of tables in memory; above `u32` they are refused.
fn narrow(n: usize) -> Result<u32, CoreError> {
    u32::try_from(n)
        .ok()
        .filter(|&n| n != NONE)
        .ok_or_else(|| CoreError::Graph {
            message: "a table of the plan is larger than 4 GiB".to_string(),
        })
}

impl Tables {
    fn name(&mut self, text: &str) -> u32 {
        if let Some(&index) = self.names.get(text) {
            return index;
        }
        let index = self.name_order.len() as u32;
        self.names.insert(text.to_string(), index);
        self.name_order.push(text.to_string());
        index
    }

    fn value(
        &mut self,
        graph: &Graph,
        index: usize,
        value: &Value,
        arena: &Arena,
        constants: &mut Vec<ValueId>,
    ) -> Result<(), CoreError> {
        let id = ValueId(narrow(index)?);
        let constant = if value.constant.is_some() {
            constants.push(id);
            narrow(constants.len() - 1)?
        } else {
            NONE
        };
        let kind: u8 = match constant {
            NONE if graph.inputs.contains(&id) => 1,
            NONE => 0,
            _ => 2,
        };
        let name = self.name(&value.name);
        let first_dim = narrow(self.dims.len() / 8)?;
        let (dtype, rank) = match &value.ty {
            Some(ty) if ty.rank() > MAX_RANK => {
                return Err(CoreError::Graph {
                    message: format!(
                        "'{}' has {} dimensions, a plan's values have up to {MAX_RANK}",
                        value.name,
                        ty.rank()
                    ),
                });
            }
            Some(ty) => (ty.dtype as u8, narrow(ty.rank())?),
            None => (0, 0),
        };
        for dim in value.ty.iter().flat_map(|ty| &ty.shape) {
            let stored = match dim {
                Dim::Fixed(n) => *n,
                Dim::Symbol(symbol) => -1 - i64::from(self.name(symbol)),
                Dim::Unknown => OPEN_DIM,
            };
            self.dims.extend_from_slice(&stored.to_le_bytes());
        }
        push_u32(&mut self.values, name);
        self.values.extend_from_slice(&[kind, dtype, 0, 0]);
        push_u32(&mut self.values, rank);
        push_u32(&mut self.values, first_dim);
        push_u32(&mut self.values, constant);
        push_u32(&mut self.values, 0);
        let offset = arena.offsets.get(index).copied().flatten().unwrap_or(u64::MAX);
        self.values.extend_from_slice(&offset.to_le_bytes());
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), CoreError> {
        let first_edge = narrow(self.edges.len() / 4)?;
        for edge in node.inputs.iter().chain(&node.outputs) {
            push_u32(&mut self.edges, edge.map_or(NONE, |id| id.0));
        }
        let first_attr = narrow(self.attrs.len() / super::ATTR_LEN)?;
        for (name, attribute) in &node.attributes {
            self.attribute(node, name, attribute)?;
        }
        let names = [
            self.name(&node.name),
            self.name(&node.domain),
            self.name(&node.op_type),
        ];
        names.iter().for_each(|&name| push_u32(&mut self.nodes, name));
        push_u32(&mut self.nodes, first_edge);
        let counts = [
            node.inputs.len(),
            node.outputs.len(),
            node.attributes.len(),
            usize::from(node.opset),
        ];
        for count in counts {
            let count = u16::try_from(count).map_err(|_| CoreError::Graph {
                message: format!(
                    "{} has more than 65535 inputs, outputs or attributes",
                    node.display_name()
                ),
            })?;
            self.nodes.extend_from_slice(&count.to_le_bytes());
        }
        push_u32(&mut self.nodes, first_attr);
        push_u32(&mut self.nodes, 0);
        Ok(())
    }

    fn attribute(&mut self, node: &Node, name: &str, attribute: &Attribute) -> Result<(), CoreError> {
        let refused = |what: &str| CoreError::Graph {
            message: format!(
                "{}: attribute '{name}' is {what}, which a plan does not hold",
                node.display_name()
            ),
        };
        let (kind, count, bytes): (u32, usize, Vec<u8>) = match attribute {
            Attribute::Int(value) => (kind::INT, 1, value.to_le_bytes().to_vec()),
            Attribute::Float(value) => (kind::FLOAT, 1, value.to_le_bytes().to_vec()),
            Attribute::String(bytes) => (kind::STRING, bytes.len(), bytes.clone()),
            Attribute::Ints(list) => (
                kind::INTS,
                list.len(),
                list.iter().flat_map(|n| n.to_le_bytes()).collect(),
            ),
            Attribute::Floats(list) => (
                kind::FLOATS,
                list.len(),
                list.iter().flat_map(|n| n.to_le_bytes()).collect(),
            ),
            Attribute::Graph(graph) => {
                let (bytes, constants) = encode(graph, &Arena::default())?;
                if !constants.is_empty() {
                    return Err(refused(
                        "a graph with constants of its own (lift them to the outer graph)",
                    ));
                }
                (kind::GRAPH, bytes.len(), bytes)
            }
            Attribute::Tensor(_) => return Err(refused("a tensor")),
            Attribute::Strings(_) => return Err(refused("a list of texts")),
        };
        self.payload.resize(self.payload.len().next_multiple_of(8), 0);
        let offset = narrow(self.payload.len())?;
        self.payload.extend_from_slice(&bytes);
        let name = self.name(name);
        for field in [name, kind, offset, narrow(count)?, 0] {
            push_u32(&mut self.attrs, field);
        }
        Ok(())
    }

    fn assemble(mut self, graph: &Graph, arena_len: u64) -> Vec<u8> {
        self.payload.resize(self.payload.len().next_multiple_of(8), 0);
        let mut names = Vec::new();
        let mut text = Vec::new();
        for name in &self.name_order {
            push_u32(&mut names, text.len() as u32);
            push_u32(&mut names, name.len() as u32);
            text.extend_from_slice(name.as_bytes());
        }
        let mut out = alloc::vec![0u8; HEADER_LEN];
        let mut offsets = Vec::new();
        for table in [
            &self.values,
            &self.nodes,
            &self.edges,
            &self.dims,
            &self.attrs,
            &names,
            &self.payload,
            &text,
        ] {
            out.resize(out.len().next_multiple_of(8), 0);
            offsets.push((out.len() as u32, table.len() as u32));
            out.extend_from_slice(table);
        }
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(&MAGIC);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&[0, 0]);
        for count in [
            graph.values.len(),
            graph.nodes.len(),
            graph.inputs.len(),
            graph.outputs.len(),
        ] {
            push_u32(&mut header, count as u32);
        }
        header.extend_from_slice(&arena_len.to_le_bytes());
        // Tables follow each other: lengths alone say where they lie.
        for &(_, len) in &offsets {
            push_u32(&mut header, len);
        }
        out[..HEADER_LEN].copy_from_slice(&header);
        out
    }
}
