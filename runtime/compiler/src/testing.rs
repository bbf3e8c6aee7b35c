//! What tests of passes share: small graphs written as data, and the comparison of results.

use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{
    Attribute, DType, Dim, Graph, Node, OpTable, Tensor, TensorType, Value, ValueId, ops, reference,
};

pub(crate) const TABLE: OpTable<'static> = OpTable(ops::ALL);

/// A graph under construction. Values are named; numbers of a name are its dimensions.
pub(crate) struct Build {
    pub(crate) graph: Graph,
    opset: u16,
}

impl Build {
    pub(crate) fn new(opset: u16) -> Self {
        Self {
            graph: Graph::default(),
            opset,
        }
    }

    fn find(&mut self, name: &str) -> ValueId {
        let known = (0u32..)
            .zip(&self.graph.values)
            .find(|(_, v)| v.name == name)
            .map(|(i, _)| ValueId(i));
        known.unwrap_or_else(|| {
            self.graph.add_value(Value {
                name: name.into(),
                ..Value::default()
            })
        })
    }

    /// An input; a negative dimension −n is the symbol "sn".
    pub(crate) fn input(mut self, name: &str, dtype: DType, dims: &[i64]) -> Self {
        let id = self.find(name);
        let dim = |&d: &i64| {
            if d < 0 {
                Dim::Symbol(format!("s{}", -d))
            } else {
                Dim::Fixed(d)
            }
        };
        self.graph.values[id.index()].ty = Some(TensorType {
            dtype,
            shape: dims.iter().map(dim).collect(),
        });
        self.graph.inputs.push(id);
        self
    }

    pub(crate) fn constant(mut self, name: &str, tensor: Tensor) -> Self {
        let id = self.find(name);
        let value = &mut self.graph.values[id.index()];
        value.ty = Some(tensor.ty());
        value.constant = Some(tensor);
        self
    }

    /// A binary32 constant with values that differ and are not round.
    pub(crate) fn weight(self, name: &str, shape: &[usize]) -> Self {
        let n: usize = shape.iter().product();
        let salt = name.bytes().map(usize::from).sum::<usize>();
        let values: Vec<f32> = (0..n)
            .map(|i| (((i * 37 + salt * 11) % 101) as f32 - 50.0) / 73.0)
            .collect();
        self.constant(name, Tensor::from_slice(shape, &values).unwrap())
    }

    pub(crate) fn ints(self, name: &str, values: &[i64]) -> Self {
        self.constant(name, Tensor::from_slice(&[values.len()], values).unwrap())
    }

    pub(crate) fn scalar(self, name: &str, value: f32) -> Self {
        self.constant(name, Tensor::from_slice(&[], &[value]).unwrap())
    }

    pub(crate) fn node(self, op: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        self.node_with(op, inputs, outputs, &[])
    }

    pub(crate) fn node_with(
        mut self,
        op: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> Self {
        let inputs = inputs
            .iter()
            .map(|name| (!name.is_empty()).then(|| self.find(name)))
            .collect();
        let outputs: Vec<_> = outputs
            .iter()
            .map(|name| (!name.is_empty()).then(|| self.find(name)))
            .collect();
        self.graph.nodes.push(Node {
            name: outputs[0]
                .map(|id| self.graph.value(id).name.clone())
                .unwrap_or_default(),
            op_type: op.into(),
            opset: self.opset,
            inputs,
            outputs,
            attributes: attributes
                .iter()
                .map(|(name, value)| (name.to_string(), value.clone()))
                .collect(),
            ..Node::default()
        });
        self
    }

    pub(crate) fn output(mut self, name: &str) -> Self {
        let id = self.find(name);
        self.graph.outputs.push(id);
        self
    }

    pub(crate) fn done(mut self) -> Graph {
        self.graph.check().unwrap();
        self.graph
    }
}

/// Operator names in order.
pub(crate) fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes.iter().map(|node| node.op_type.as_str()).collect()
}

/// Runs a graph by the references.
pub(crate) fn evaluate(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let (plan, constants) = encode(graph, &Arena::default()).unwrap();
    let plan = PlanView::parse(&plan).unwrap();
    let constants: Vec<Tensor> = constants
        .iter()
        .map(|id| graph.constant(*id).unwrap().clone())
        .collect();
    let views: Vec<_> = inputs.iter().map(Tensor::view).collect();
    reference::run(&plan, &constants, TABLE, &views, &mut |_, _| {}).unwrap()
}

/// Input values for a graph: small numbers that differ, symbols taken as `size`.
pub(crate) fn sample_inputs(graph: &Graph, size: usize) -> Vec<Tensor> {
    let sample = |id: &ValueId| {
        let ty = graph.value(*id).ty.clone().unwrap();
        let shape: Vec<usize> = ty
            .shape
            .iter()
            .map(|d| d.fixed().map_or(size, |n| n as usize))
            .collect();
        let n: usize = shape.iter().product();
        match ty.dtype {
            DType::F32 => {
                let values: Vec<f32> = (0..n).map(|i| ((i * 29 % 83) as f32 - 41.0) / 17.0).collect();
                Tensor::from_slice(&shape, &values).unwrap()
            }
            DType::I32 => {
                Tensor::from_slice(&shape, &(0..n).map(|i| (i % 3) as i32).collect::<Vec<_>>()).unwrap()
            }
            other => panic!("no sample of {other}"),
        }
    };
    graph.inputs.iter().map(sample).collect()
}

/// Largest difference relative to the largest value; panics where shapes or types differ.
pub(crate) fn relative_difference(a: &Tensor, b: &Tensor) -> f32 {
    assert_eq!((a.dtype(), a.shape()), (b.dtype(), b.shape()));
    if a.dtype() != DType::F32 {
        return if a.bytes() == b.bytes() {
            0.0
        } else {
            f32::INFINITY
        };
    }
    let (a, b) = (
        a.view().as_slice::<f32>().unwrap(),
        b.view().as_slice::<f32>().unwrap(),
    );
    let largest = b
        .iter()
        .fold(0f32, |max, x| max.max(x.abs()))
        .max(f32::MIN_POSITIVE);
    a.iter().zip(b).fold(0f32, |max, (x, y)| max.max((x - y).abs())) / largest
}
