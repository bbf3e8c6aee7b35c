//! Messages to graph: names to numbers, initialisers and `Constant` nodes to constants.
//!
//! A nested graph (a branch, a loop's body) may read values of the graphs around it. In our form a graph reads
//! its inputs only, so such a value becomes a further input of the nested graph, behind its own, and a further
//! input of the node that holds it, behind its own, in the same order and under the same name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sanderling_core::{Attribute, DType, Dim, Graph, Node, Tensor, TensorType, Value, ValueId};

use super::operators::{self, is_constant, is_onnx_domain, node_label, opset_of};
use super::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorTypeProto, ValueInfoProto, attribute_type,
};
use super::{Limits, Model, tensor};
use crate::error::CompileError;
use sanderling_core::OpTable;

/// Most faults listed of one graph: beyond that, more lines help nobody.
const MAX_PROBLEMS: usize = 20;

pub(super) fn import(
    mut model: ModelProto,
    sha256: [u8; 32],
    folder: Option<&Path>,
    table: OpTable<'_>,
    limits: &Limits,
) -> Result<Model, CompileError> {
    let graph = model
        .graph
        .take()
        .ok_or(CompileError::NotOnnx { looks_like: None })?;
    let mut opsets: Vec<(String, i64)> = model
        .opset_import
        .iter()
        .map(|o| (o.domain.clone(), o.version))
        .collect();
    if opset_of(&opsets, "").is_none() {
        // "If absent, opset 1 is implied" (IR versions before 3).
        opsets.push((String::new(), 1));
    }
    operators::check(&model, &graph, &opsets, table, limits)?;
    let mut importer = Importer {
        opsets: &opsets,
        folder,
        budget: limits.tensor_bytes,
    };
    let (mut graph, captures) = importer.graph(graph, false)?;
    if !captures.is_empty() {
        let problems = captures
            .iter()
            .map(|c| format!("value '{c}' is read and nothing writes it"));
        return Err(CompileError::Graph {
            problems: problems.take(MAX_PROBLEMS).collect(),
        });
    }
    graph.check().map_err(|error| CompileError::Graph {
        problems: vec![error.to_string()],
    })?;
    Ok(Model {
        graph,
        ir_version: model.ir_version.unwrap_or_default(),
        opsets,
        producer: (model.producer_name, model.producer_version),
        metadata: model
            .metadata_props
            .into_iter()
            .map(|e| (e.key, e.value))
            .collect(),
        sha256,
    })
}

struct Importer<'a> {
    opsets: &'a [(String, i64)],
    folder: Option<&'a Path>,
    budget: u64,
}

/// One graph's names while it is built.
#[derive(Default)]
struct Scope {
    graph: Graph,
    ids: BTreeMap<String, ValueId>,
    /// Values that are read and not defined here, in the order of first use.
    captures: Vec<String>,
    problems: Vec<String>,
}

impl Scope {
    /// A new value under a name that must be new.
    fn define(&mut self, name: &str, ty: Option<TensorType>, constant: Option<Tensor>) -> ValueId {
        let id = self.graph.add_value(Value {
            name: name.to_owned(),
            ty,
            constant,
        });
        if self.ids.insert(name.to_owned(), id).is_some() {
            self.problems.push(format!("value '{name}' is defined twice"));
        }
        id
    }

    /// The value of this name; a capture where it is not defined here.
    fn find(&mut self, name: &str) -> ValueId {
        if let Some(&id) = self.ids.get(name) {
            return id;
        }
        self.captures.push(name.to_owned());
        self.define(name, None, None)
    }
}

impl Importer<'_> {
    /// Builds a graph and says which values it reads from outside.
    fn graph(&mut self, proto: GraphProto, nested: bool) -> Result<(Graph, Vec<String>), CompileError> {
        let mut scope = Scope::default();
        scope.graph.name = proto.name;
        if let Some(sparse) = proto.sparse_initializer.first() {
            let name = sparse
                .values
                .as_ref()
                .map(|v| v.name.as_str())
                .unwrap_or_default();
            return Err(CompileError::Unsupported {
                what: format!("the sparse initialiser '{name}'"),
                advice: "export the model with dense weights",
            });
        }
        let mut initialised = BTreeSet::new();
        for initialiser in proto.initializer {
            let constant = tensor::read(&initialiser, self.folder, &mut self.budget)?;
            initialised.insert(initialiser.name.clone());
            scope.define(&initialiser.name, Some(constant.ty()), Some(constant));
        }
        // Up to IR version 3 every initialiser is listed as an input as well; since then it means a default
        // value that a caller may replace. Both are constants here.
        for input in proto
            .input
            .iter()
            .filter(|input| !initialised.contains(&input.name))
        {
            let ty = value_type(input)?;
            let id = scope.define(&input.name, ty, None);
            scope.graph.inputs.push(id);
        }
        // Names first, then edges: the nodes may stand in any order.
        let outputs = proto
            .node
            .iter()
            .filter(|node| !is_constant(node))
            .flat_map(|node| &node.output);
        for name in outputs.filter(|name| !name.is_empty()) {
            scope.define(name, None, None);
        }
        let (constants, nodes): (Vec<_>, Vec<_>) = proto.node.into_iter().partition(is_constant);
        for node in constants {
            let constant = self.constant(&node)?;
            let name = node.output.first().cloned().unwrap_or_default();
            scope.define(&name, Some(constant.ty()), Some(constant));
        }
        for node in nodes {
            let node = self.node(node, &mut scope)?;
            scope.graph.nodes.push(node);
        }
        for output in &proto.output {
            let id = scope.find(&output.name);
            let declared = value_type(output)?;
            let value = &mut scope.graph.values[id.index()];
            value.ty = value.ty.take().or(declared);
            scope.graph.outputs.push(id);
        }
        if nested {
            let captured = scope.captures.iter().map(|name| scope.ids[name]);
            scope.graph.inputs.extend(captured);
        }
        if !scope.problems.is_empty() {
            scope.problems.truncate(MAX_PROBLEMS);
            return Err(CompileError::Graph {
                problems: scope.problems,
            });
        }
        Ok((scope.graph, scope.captures))
    }

    fn node(&mut self, proto: NodeProto, scope: &mut Scope) -> Result<Node, CompileError> {
        let mut find = |name: &String| (!name.is_empty()).then(|| scope.find(name));
        let mut inputs: Vec<Option<ValueId>> = proto.input.iter().map(&mut find).collect();
        let mut outputs: Vec<Option<ValueId>> = proto.output.iter().map(find).collect();
        trim(&mut inputs);
        trim(&mut outputs);
        let label = node_label(&proto);
        let mut attributes = Vec::with_capacity(proto.attribute.len());
        for attribute in proto.attribute {
            let name = attribute.name.clone();
            let (value, captures) = self.attribute(attribute, &label)?;
            inputs.extend(captures.iter().map(|name| Some(scope.find(name))));
            attributes.push((name, value));
        }
        let domain = if is_onnx_domain(&proto.domain) {
            String::new()
        } else {
            proto.domain
        };
        let mut op_type = proto.op_type;
        if domain.is_empty()
            && op_type == "ConstantOfShape"
            && let Some(value) = fill_value(&mut attributes)
        {
            let name = format!("{label}/value");
            inputs.insert(0, Some(scope.define(&name, Some(value.ty()), Some(value))));
            op_type = "Expand".to_owned();
        }
        // `operators::check` found an operator of this version, so it fits.
        let opset = opset_of(self.opsets, &domain)
            .and_then(|v| u16::try_from(v).ok())
            .unwrap_or_default();
        Ok(Node {
            name: label,
            domain,
            op_type,
            opset,
            inputs,
            outputs,
            attributes,
        })
    }

    /// An attribute's value, and what it reads from outside if it is a graph.
    fn attribute(
        &mut self,
        proto: AttributeProto,
        node: &str,
    ) -> Result<(Attribute, Vec<String>), CompileError> {
        use attribute_type::{FLOAT, FLOATS, GRAPH, INT, INTS, STRING, STRINGS, TENSOR, UNDEFINED};
        let name = proto.name.clone();
        let unsupported = |what: String| CompileError::Unsupported {
            what: format!("{what} in attribute '{name}' of node '{node}'"),
            advice: "export the model without it",
        };
        if !proto.ref_attr_name.is_empty() {
            return Err(unsupported("a reference to a function's attribute".into()));
        }
        let kind = match proto.r#type {
            UNDEFINED => undeclared_kind(&proto),
            kind => kind,
        };
        let absent = || CompileError::Malformed {
            what: format!("attribute '{name}' of node '{node}' has no value"),
        };
        let value = match kind {
            FLOAT => Attribute::Float(proto.f.unwrap_or_default()),
            INT => Attribute::Int(proto.i.unwrap_or_default()),
            STRING => Attribute::String(proto.s.unwrap_or_default().to_vec()),
            FLOATS => Attribute::Floats(proto.floats),
            INTS => Attribute::Ints(proto.ints),
            STRINGS => Attribute::Strings(proto.strings.iter().map(|s| s.to_vec()).collect()),
            TENSOR => {
                let tensor = proto.t.as_ref().ok_or_else(absent)?;
                Attribute::Tensor(tensor::read(tensor, self.folder, &mut self.budget)?)
            }
            GRAPH => {
                let (mut graph, captures) = self.graph(proto.g.ok_or_else(absent)?, true)?;
                graph.check().map_err(|e| CompileError::Graph {
                    problems: vec![format!("in node '{node}': {e}")],
                })?;
                return Ok((Attribute::Graph(Box::new(graph)), captures));
            }
            other => return Err(unsupported(format!("attribute type {other}"))),
        };
        Ok((value, Vec::new()))
    }

    /// The value of a `Constant` node (ONNX operator specification, Constant-13).
    fn constant(&mut self, node: &NodeProto) -> Result<Tensor, CompileError> {
        let label = node_label(node);
        let malformed = |what: String| CompileError::Malformed {
            what: format!("Constant '{label}': {what}"),
        };
        let [attribute] = node.attribute.as_slice() else {
            return Err(malformed(format!(
                "it has {} attributes, one is needed",
                node.attribute.len()
            )));
        };
        let made = match attribute.name.as_str() {
            "value" => match &attribute.t {
                Some(tensor) => return tensor::read(tensor, self.folder, &mut self.budget),
                None => return Err(malformed("it has no value".into())),
            },
            "value_float" => Tensor::from_slice(&[], &[attribute.f.unwrap_or_default()]),
            "value_floats" => Tensor::from_slice(&[attribute.floats.len()], &attribute.floats),
            "value_int" => Tensor::from_slice(&[], &[attribute.i.unwrap_or_default()]),
            "value_ints" => Tensor::from_slice(&[attribute.ints.len()], &attribute.ints),
            other => {
                return Err(CompileError::Unsupported {
                    what: format!("Constant '{label}' with the attribute '{other}'"),
                    advice: "export the model with numeric, dense constants",
                });
            }
        };
        made.map_err(|error| malformed(error.to_string()))
    }
}

/// Takes the value that ConstantOfShape fills its output with, as a scalar. A plan holds no tensors as attributes,
/// and ConstantOfShape of a value is Expand of that value.
fn fill_value(attributes: &mut Vec<(String, Attribute)>) -> Option<Tensor> {
    let at = attributes
        .iter()
        .position(|(name, a)| name == "value" && matches!(a, Attribute::Tensor(_)))?;
    match attributes.swap_remove(at).1 {
        Attribute::Tensor(value) => value.reshaped(&[]).ok(),
        _ => None,
    }
}

/// Optional inputs and outputs at the end may be left out or named "": both are the same.
fn trim(edges: &mut Vec<Option<ValueId>>) {
    while edges.last().is_some_and(Option::is_none) {
        edges.pop();
    }
}

/// Files of IR version 1 name no type: the field that is there says it.
fn undeclared_kind(proto: &AttributeProto) -> i32 {
    use attribute_type::{FLOAT, FLOATS, GRAPH, INT, INTS, STRING, STRINGS, TENSOR, UNDEFINED};
    let fields = [
        (proto.f.is_some(), FLOAT),
        (proto.i.is_some(), INT),
        (proto.s.is_some(), STRING),
        (proto.t.is_some(), TENSOR),
        (proto.g.is_some(), GRAPH),
        (!proto.floats.is_empty(), FLOATS),
        (!proto.ints.is_empty(), INTS),
        (!proto.strings.is_empty(), STRINGS),
    ];
    fields
        .iter()
        .find(|(there, _)| *there)
        .map_or(UNDEFINED, |(_, kind)| *kind)
}

/// The declared type of an input or output; none where no shape is declared.
fn value_type(info: &ValueInfoProto) -> Result<Option<TensorType>, CompileError> {
    let Some(ty) = &info.r#type else { return Ok(None) };
    let Some(tensor) = &ty.tensor_type else {
        return Err(CompileError::Unsupported {
            what: format!(
                "'{}', which is not a tensor (a sequence, map or optional)",
                info.name
            ),
            advice: "export the model with tensors as inputs and outputs",
        });
    };
    let dtype = match DType::from_code(tensor.elem_type) {
        Some(dtype) => dtype,
        None if tensor.elem_type == 0 => return Ok(None),
        None => {
            let what = format!(
                "'{}' has data type {}, which ONNX 1.22 does not have",
                info.name, tensor.elem_type
            );
            return Err(CompileError::Malformed { what });
        }
    };
    Ok(shape(tensor, &info.name).map(|shape| TensorType { dtype, shape }))
}

/// Dimensions without number or name get one of their own, so that inference can tell them apart.
fn shape(tensor: &TensorTypeProto, name: &str) -> Option<Vec<Dim>> {
    let dims = &tensor.shape.as_ref()?.dim;
    let dim = |(axis, dim): (usize, &super::proto::DimensionProto)| match (dim.dim_value, &dim.dim_param) {
        (Some(n), _) if n >= 0 => Dim::Fixed(n),
        // Several exporters write "?" for any open dimension: that is no name.
        (_, Some(symbol)) if symbol.contains(char::is_alphanumeric) => Dim::Symbol(symbol.clone()),
        _ => Dim::Symbol(format!("{name}.{axis}")),
    };
    Some(dims.iter().enumerate().map(dim).collect())
}
