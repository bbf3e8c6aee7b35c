//! Random graphs of a few nodes: values with several readers under several layouts, and memory used again.
#![allow(clippy::unwrap_used)]

use crate::node;
use crate::random::Random;
use sanderling_core::backend::Backend;
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{
    Attribute, CoreError, DType, Graph, Node, OpTable, Tensor, Value, ValueId, ops, reference,
};
use std::collections::BTreeMap;

/// A value so far.
#[derive(Clone)]
struct Known {
    id: ValueId,
    dtype: DType,
    shape: Vec<usize>,
}

#[derive(Default)]
struct Chain {
    graph: Graph,
    given: Vec<Tensor>,
    values: Vec<Known>,
}

impl Chain {
    fn new(r: &mut Random) -> Self {
        let mut chain = Self::default();
        for _ in 0..r.to(2) {
            let rank = r.to(4);
            let shape: Vec<usize> = (0..rank).map(|_| r.to(6)).collect();
            let dtype = r.dtype();
            let tensor = r.bytes(dtype, &shape);
            let id = chain.value(Some(&tensor));
            chain.graph.inputs.push(id);
            chain.given.push(tensor);
            chain.values.push(Known { id, dtype, shape });
        }
        for _ in 0..1 + r.to(5) {
            chain.grow(r);
        }
        // The last, and one between.
        let between =
            chain.values[chain.given.len() + r.next() as usize % (chain.values.len() - chain.given.len())].id;
        let last = chain.values.last().unwrap().id;
        chain.graph.outputs.push(last);
        if between != last {
            chain.graph.outputs.push(between);
        }
        chain.graph.check().unwrap();
        chain
    }

    fn value(&mut self, of: Option<&Tensor>) -> ValueId {
        let name = format!("v{}", self.graph.values.len());
        let ty = of.map(Tensor::ty);
        self.graph.add_value(Value {
            name,
            ty,
            constant: None,
        })
    }

    fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("c{}", self.graph.values.len());
        self.graph.add_constant(name, tensor)
    }

    fn scale(&mut self, r: &mut Random, dtype: DType) -> [ValueId; 2] {
        r.scale(dtype, None).map(|tensor| self.constant(tensor.unwrap()))
    }

    fn any(&self, r: &mut Random) -> Known {
        self.values[r.next() as usize % self.values.len()].clone()
    }

    fn grow(&mut self, r: &mut Random) {
        let x = self.any(r);
        match r.next() % 6 {
            0 | 1 => self.binary(r, &x),
            2 => {
                let rank = x.shape.len();
                let mut order: Vec<usize> = (0..rank).collect();
                (1..rank)
                    .rev()
                    .for_each(|i| order.swap(i, r.next() as usize % (i + 1)));
                let shape = order.iter().map(|&axis| x.shape[axis]).collect();
                let perm = Attribute::Ints(order.iter().map(|&axis| axis as i64).collect());
                self.node("", "Transpose", 13, &[x.id], Some(("perm", perm)), x.dtype, shape);
            }
            3 => self.concat(r, &x),
            4 => {
                let dtype = r.dtype();
                let table = r.bytes(dtype, &[256]);
                let table = self.constant(table);
                self.node(
                    "ai.sanderling",
                    "LookupTable",
                    1,
                    &[x.id, table],
                    None,
                    dtype,
                    x.shape,
                );
            }
            _ => self.product(r, &x),
        }
    }

    /// With another value under its axes, or with a constant.
    fn binary(&mut self, r: &mut Random, x: &Known) {
        let other = self.any(r);
        let (other, shape) = match broadcast(&x.shape, &other.shape) {
            Some(shape) => (other, shape),
            None => {
                let part: Vec<usize> = x.shape.iter().map(|&n| if r.flip() { n } else { 1 }).collect();
                let part = part[r.next() as usize % part.len()..].to_vec();
                let dtype = r.dtype();
                let tensor = r.bytes(dtype, &part);
                let id = self.constant(tensor);
                (
                    Known {
                        id,
                        dtype,
                        shape: part,
                    },
                    x.shape.clone(),
                )
            }
        };
        let dtype = r.dtype();
        let [xs, xz] = self.scale(r, x.dtype);
        let [os, oz] = self.scale(r, other.dtype);
        let [ys, yz] = self.scale(r, dtype);
        let op = if r.flip() { "QLinearAdd" } else { "QLinearMul" };
        let inputs = [x.id, xs, xz, other.id, os, oz, ys, yz];
        self.node("com.microsoft", op, 1, &inputs, None, dtype, shape);
    }

    /// With itself or a constant; without the attribute where the axis is its default.
    fn concat(&mut self, r: &mut Random, x: &Known) {
        let axis = r.next() as usize % x.shape.len();
        let mut other = x.shape.clone();
        let second = if r.flip() {
            x.id
        } else {
            other[axis] = r.to(5);
            let tensor = r.bytes(x.dtype, &other);
            self.constant(tensor)
        };
        let mut shape = x.shape.clone();
        shape[axis] += other[axis];
        // Opset 3: later ones have no default.
        let (opset, attribute) = match axis {
            1 if r.flip() => (3, None),
            _ => (13, Some(("axis", Attribute::Int(axis as i64)))),
        };
        self.node("", "Concat", opset, &[x.id, second], attribute, x.dtype, shape);
    }

    fn product(&mut self, r: &mut Random, x: &Known) {
        let [.., rows, k] = x.shape[..] else { return };
        let n = r.to(6);
        let (w_type, dtype) = (r.dtype(), r.dtype());
        let weights = r.bytes(w_type, &[k, n]);
        let weights = self.constant(weights);
        let [xs, xz] = self.scale(r, x.dtype);
        let [ws, wz] = self.scale(r, w_type);
        let [ys, yz] = self.scale(r, dtype);
        let shape = [&x.shape[..x.shape.len() - 2], &[rows, n]].concat();
        let inputs = [x.id, xs, xz, weights, ws, wz, ys, yz];
        self.node("", "QLinearMatMul", 21, &inputs, None, dtype, shape);
    }

    fn node(
        &mut self,
        domain: &'static str,
        op: &str,
        opset: u16,
        inputs: &[ValueId],
        attribute: Option<(&str, Attribute)>,
        dtype: DType,
        shape: Vec<usize>,
    ) {
        let id = self.value(None);
        self.graph.nodes.push(Node {
            name: format!("n{}", self.graph.nodes.len()),
            domain: domain.into(),
            op_type: op.into(),
            opset,
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![Some(id)],
            attributes: attribute
                .into_iter()
                .map(|(name, value)| (name.into(), value))
                .collect(),
        });
        self.values.push(Known { id, dtype, shape });
    }
}

/// ONNX's broadcasting; none where the shapes do not fit.
fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], axis: usize| {
        (axis + shape.len())
            .checked_sub(rank)
            .map_or(1, |axis| shape[axis])
    };
    (0..rank)
        .map(|axis| match (at(a, axis), at(b, axis)) {
            (n, 1) | (1, n) => Some(n),
            (n, m) => (n == m).then_some(n),
        })
        .collect()
}

/// Holds a backend to the references on 300 graphs, each one segment of its own.
///
/// # Panics
/// Where bytes differ, or the backend does not take a graph.
pub fn hold(backend: &dyn Backend) {
    let mut r = Random(0x2545_f491_4f6c_dd1d);
    for case in 0..300 {
        let Chain { graph, given, .. } = Chain::new(&mut r);
        let (bytes, ids) = encode(&graph, &Arena::default()).unwrap();
        let plan = PlanView::parse(&bytes).unwrap();
        let constants: Vec<Tensor> = ids
            .iter()
            .map(|&id| graph.constant(id).unwrap().clone())
            .collect();
        let views: Vec<_> = given.iter().map(Tensor::view).collect();
        let mut expected = BTreeMap::new();
        reference::run(&plan, &constants, OpTable(ops::ALL), &views, &mut |id, view| {
            expected.insert(id, view.to_tensor());
        })
        .unwrap();
        let told = || {
            let nodes = graph
                .nodes
                .iter()
                .map(|node| format!("{} {:?}", node.op_type, node.inputs));
            format!("case {case}: {}", nodes.collect::<Vec<_>>().join("; "))
        };
        let found: Result<_, CoreError> = node::run_all(backend, &graph, &given);
        let (outputs, _) = found.unwrap_or_else(|error| panic!("{}: {error}", told()));
        let expected: Vec<_> = plan.outputs().map(|id| expected.remove(&id).unwrap()).collect();
        assert!(outputs == expected, "{}: other bytes", told());
    }
}
