//! Recognises functions of one number that an exporter wrote out in elementary operators.
//!
//! GELU, hard-swish and their like come as four to eight elementwise nodes, in as many spellings as there are
//! exporters. Spelling is no matter here: a group of elementwise nodes with scalar constants that depends on one
//! value is a function ℝ → ℝ, so it is evaluated at many points in binary64 and compared with the functions that
//! have an operator of their own. One node then reads and writes memory once instead of eight times.

use sanderling_core::{Attribute, DType, Graph, Node, ValueId};

use super::{Context, edit};
use crate::error::CompileError;

/// A function that has an operator.
struct Known {
    op_type: &'static str,
    opset: u16,
    attributes: fn() -> Vec<(String, Attribute)>,
    function: fn(f64) -> f64,
}

const KNOWN: &[Known] = &[
    Known {
        op_type: "Gelu",
        opset: 20,
        attributes: Vec::new,
        function: gelu,
    },
    Known {
        op_type: "Gelu",
        opset: 20,
        attributes: approximate,
        function: gelu_tanh,
    },
    Known {
        op_type: "HardSwish",
        opset: 14,
        attributes: Vec::new,
        function: |x| x * hard_sigmoid(x),
    },
    Known {
        op_type: "HardSigmoid",
        opset: 6,
        attributes: sixth,
        function: hard_sigmoid,
    },
    Known {
        op_type: "Relu",
        opset: 14,
        attributes: Vec::new,
        function: |x| x.max(0.0),
    },
];

fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + libm::erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

fn gelu_tanh(x: f64) -> f64 {
    let root = (2.0 / std::f64::consts::PI).sqrt();
    0.5 * x * (1.0 + libm::tanh(root * (x + 0.044_715 * x * x * x)))
}

fn approximate() -> Vec<(String, Attribute)> {
    vec![("approximate".into(), Attribute::String(b"tanh".to_vec()))]
}

fn hard_sigmoid(x: f64) -> f64 {
    (x / 6.0 + 0.5).clamp(0.0, 1.0)
}

fn sixth() -> Vec<(String, Attribute)> {
    vec![
        ("alpha".into(), Attribute::Float(1.0 / 6.0)),
        ("beta".into(), Attribute::Float(0.5)),
    ]
}

/// Most nodes of a group. The longest spelling of GELU in use has eight.
const MAX_NODES: usize = 16;
/// Largest difference that counts as equal, as a share of 1 + |value|: constants are rounded to binary32.
const TOLERANCE: f64 = 1e-6;

pub(super) fn run(graph: &mut Graph, cx: &Context<'_>) -> Result<usize, CompileError> {
    cx.infer(graph)?;
    let producers = graph.producers();
    let mut changes = 0;
    // From the back, so that the largest group is found before its parts.
    for index in (0..graph.nodes.len()).rev() {
        let Some((known, variable)) = recognise(graph, &producers, index) else {
            continue;
        };
        if cx.table.find("", known.op_type, known.opset).is_none() {
            continue;
        }
        let node = &mut graph.nodes[index];
        node.domain.clear();
        node.op_type = known.op_type.into();
        node.opset = known.opset;
        node.inputs = vec![Some(variable)];
        node.attributes = (known.attributes)();
        changes += 1;
    }
    Ok(changes)
}

/// The known function that the group ending at a node computes, and of which value.
fn recognise(graph: &Graph, producers: &[Option<usize>], index: usize) -> Option<(&'static Known, ValueId)> {
    let output = edit::output(&graph.nodes[index])?;
    let ty = graph
        .value(output)
        .ty
        .as_ref()
        .filter(|ty| ty.dtype == DType::F32)?;
    elementary(&graph.nodes[index])?;
    for variable in group_values(graph, producers, index) {
        if graph.value(variable).ty.as_ref() != Some(ty) {
            continue;
        }
        let group = Group {
            graph,
            producers,
            variable,
        };
        let known = KNOWN.iter().find(|known| {
            points().all(|x| {
                let wanted = (known.function)(x);
                // Constants at zero depth make a group of one node, which is what it would be replaced by.
                group
                    .value(output, x, MAX_NODES)
                    .is_some_and(|(value, _)| (value - wanted).abs() <= TOLERANCE * (1.0 + wanted.abs()))
            })
        });
        let nodes = group.value(output, 0.0, MAX_NODES).map_or(0, |(_, nodes)| nodes);
        if let Some(known) = known.filter(|_| nodes > 1) {
            return Some((known, variable));
        }
    }
    None
}

/// Where functions are compared: densely where they bend, and far out on both sides.
fn points() -> impl Iterator<Item = f64> {
    (-96..=96)
        .map(|i| f64::from(i) / 12.0 + 0.003)
        .chain([-50.0, -20.0, 20.0, 50.0])
}

/// The values that nodes of the group read and that are not constants: each may be the variable.
fn group_values(graph: &Graph, producers: &[Option<usize>], index: usize) -> Vec<ValueId> {
    let (mut values, mut waiting) = (Vec::new(), vec![index]);
    while let Some(index) = waiting.pop() {
        let node = &graph.nodes[index];
        if elementary(node).is_none() {
            continue;
        }
        for id in node
            .inputs
            .iter()
            .flatten()
            .filter(|id| graph.constant(**id).is_none())
        {
            if !values.contains(id) && values.len() < MAX_NODES {
                values.push(*id);
                waiting.extend(producers[id.index()]);
            }
        }
    }
    values
}

struct Group<'a> {
    graph: &'a Graph,
    producers: &'a [Option<usize>],
    variable: ValueId,
}

impl Group<'_> {
    /// The value of `id` where the variable is `x`, and how many nodes were evaluated; none where it depends on
    /// anything else or takes more than `budget` nodes.
    fn value(&self, id: ValueId, x: f64, budget: usize) -> Option<(f64, usize)> {
        if id == self.variable {
            return Some((x, 0));
        }
        if let Some(tensor) = self.graph.constant(id) {
            let [value] = tensor.view().as_slice::<f32>().ok()? else {
                return None;
            };
            // A constant of a higher rank than the data would change the shape.
            let rank = self.graph.value(self.variable).ty.as_ref()?.rank();
            return (tensor.shape().len() <= rank).then_some((f64::from(*value), 0));
        }
        let node = &self.graph.nodes[self.producers[id.index()]?];
        let function = elementary(node)?;
        let mut used = 1;
        let mut inputs = Vec::with_capacity(3);
        for input in &node.inputs {
            let value = match input {
                Some(input) => {
                    let (value, nodes) = self.value(*input, x, budget.checked_sub(used)?)?;
                    used += nodes;
                    Some(value)
                }
                None => None,
            };
            inputs.push(value);
        }
        (used <= budget).then_some((function(node, &inputs)?, used))
    }
}

type Elementary = fn(&Node, &[Option<f64>]) -> Option<f64>;

/// What an elementwise operator computes of numbers.
fn elementary(node: &Node) -> Option<Elementary> {
    if !node.domain.is_empty() {
        return None;
    }
    Some(match node.op_type.as_str() {
        "Add" => |_, v| two(v, |a, b| a + b),
        "Sub" => |_, v| two(v, |a, b| a - b),
        "Mul" => |_, v| two(v, |a, b| a * b),
        "Div" => |_, v| two(v, |a, b| a / b),
        "Pow" => |_, v| two(v, libm::pow),
        "Neg" => |_, v| one(v, |a| -a),
        "Tanh" => |_, v| one(v, libm::tanh),
        "Erf" => |_, v| one(v, libm::erf),
        "Exp" => |_, v| one(v, libm::exp),
        "Relu" => |_, v| one(v, |a| a.max(0.0)),
        "Sigmoid" => |_, v| one(v, |a| 1.0 / (1.0 + libm::exp(-a))),
        "HardSigmoid" => |node, v| {
            let param = |name, default| edit::attrs(node).float_or(name, default).ok().map(f64::from);
            let (alpha, beta) = (param("alpha", 0.2)?, param("beta", 0.5)?);
            one(v, |a| (alpha * a + beta).clamp(0.0, 1.0))
        },
        "Clip" => clip,
        "Min" => |_, v| (v.len() == 2).then(|| two(v, f64::min))?,
        "Max" => |_, v| (v.len() == 2).then(|| two(v, f64::max))?,
        _ => return None,
    })
}

fn one(values: &[Option<f64>], function: impl Fn(f64) -> f64) -> Option<f64> {
    values.first().copied().flatten().map(function)
}

fn two(values: &[Option<f64>], function: impl Fn(f64, f64) -> f64) -> Option<f64> {
    match values {
        [Some(a), Some(b)] => Some(function(*a, *b)),
        _ => None,
    }
}

/// Bounds are attributes before opset 11, inputs since.
fn clip(node: &Node, values: &[Option<f64>]) -> Option<f64> {
    let given = |index: usize, name| match node.opset {
        ..11 => edit::attrs(node).float(name).ok().flatten().map(f64::from),
        _ => values.get(index).copied().flatten(),
    };
    let (low, high) = (
        given(1, "min").unwrap_or(f64::NEG_INFINITY),
        given(2, "max").unwrap_or(f64::INFINITY),
    );
    one(values, |a| a.max(low).min(high))
}
