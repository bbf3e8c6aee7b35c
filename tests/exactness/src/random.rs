//! Random nodes of every operator that devices take: a backend gives the references' bytes, whatever the shape.
#![allow(clippy::unwrap_used)]

use crate::{Vector, node};
use sanderling_core::backend::Backend;
use sanderling_core::plan::{Arena, PlanView, encode};
use sanderling_core::{Attribute, CoreError, DType, OpTable, Tensor, ops, reference};

/// A generator of its own: the same cases on every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    pub(crate) fn to(&mut self, most: usize) -> usize {
        1 + self.next() as usize % most
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.next().is_multiple_of(2)
    }

    pub(crate) fn dtype(&mut self) -> DType {
        if self.flip() { DType::U8 } else { DType::I8 }
    }

    pub(crate) fn bytes(&mut self, dtype: DType, shape: &[usize]) -> Tensor {
        let count = shape.iter().product();
        let bytes: Vec<u8> = (0..count).map(|_| self.next() as u8).collect();
        Tensor::from_bytes(dtype, shape, &bytes).unwrap()
    }

    /// A scale and a zero point, or `count` of each.
    pub(crate) fn scale(&mut self, dtype: DType, count: Option<usize>) -> [Option<Tensor>; 2] {
        let shape: Vec<usize> = count.into_iter().collect();
        let len = count.unwrap_or(1);
        let scales: Vec<f32> = (0..len)
            .map(|_| (1 + self.next() % 2000) as f32 / 40_000.0)
            .collect();
        [
            Some(Tensor::from_slice(&shape, &scales).unwrap()),
            Some(self.bytes(dtype, &shape)),
        ]
    }

    fn operand(&mut self, dtype: DType, shape: &[usize]) -> Vec<Option<Tensor>> {
        let tensor = Some(self.bytes(dtype, shape));
        std::iter::once(tensor).chain(self.scale(dtype, None)).collect()
    }
}

fn ints(values: &[usize]) -> Attribute {
    Attribute::Ints(values.iter().map(|&v| v as i64).collect())
}

fn vector(op: &str, attributes: Vec<(&str, Attribute)>, inputs: Vec<Option<Tensor>>) -> Vector {
    let (domain, opset) = match op {
        "QGemm" | "QLinearAdd" | "QLinearGlobalAveragePool" | "QLinearMul" => ("com.microsoft", 1),
        "LookupTable" => ("ai.sanderling", 1),
        _ => ("", 19),
    };
    Vector {
        name: op.into(),
        domain,
        op: op.into(),
        opset,
        attributes: attributes
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect(),
        inputs,
        output: Tensor::zeros(DType::U8, &[0]).unwrap(),
    }
}

fn conv(r: &mut Random) -> Vector {
    let (x_type, w_type, y_type) = (r.dtype(), r.dtype(), r.dtype());
    let (groups, inputs, outputs) = match r.next() % 4 {
        0 => (r.to(9), 1, 1),
        1 => (r.to(3), 4 * r.to(2), 4 * r.to(2)),
        _ => (1, r.to(9), r.to(9)),
    };
    let spatial = 1 + usize::from(r.flip());
    let kernel: Vec<usize> = (0..spatial).map(|_| r.to(4)).collect();
    let dilations: Vec<usize> = (0..spatial).map(|_| r.to(2)).collect();
    let strides: Vec<usize> = (0..spatial).map(|_| r.to(3)).collect();
    let pads: Vec<usize> = (0..2 * spatial).map(|_| r.to(3) - 1).collect();
    let size: Vec<usize> = (0..spatial)
        .map(|i| dilations[i] * (kernel[i] - 1) + r.to(9))
        .collect();
    let all = groups * outputs;
    let x_shape = [vec![r.to(2), groups * inputs], size].concat();
    let w_shape = [vec![all, inputs], kernel].concat();
    let mut given = r.operand(x_type, &x_shape);
    given.push(Some(r.bytes(w_type, &w_shape)));
    let channels = r.flip().then_some(all);
    given.extend(r.scale(w_type, channels));
    given.extend(r.scale(y_type, None));
    let bias: Vec<i32> = (0..all).map(|_| r.next() as i32 % 20_000).collect();
    given.push(r.flip().then(|| Tensor::from_slice(&[all], &bias).unwrap()));
    let attributes = vec![
        ("group", Attribute::Int(groups as i64)),
        ("strides", ints(&strides)),
        ("dilations", ints(&dilations)),
        ("pads", ints(&pads)),
    ];
    vector("QLinearConv", attributes, given)
}

fn product(r: &mut Random) -> Vector {
    let (a_type, b_type, y_type) = (r.dtype(), r.dtype(), r.dtype());
    let (m, k, n) = (r.to(7), r.to(20), r.to(9));
    let general = r.flip();
    let transposed = general && r.flip();
    let batch: Vec<usize> = if general || r.flip() {
        vec![]
    } else {
        vec![r.to(3)]
    };
    let mut given = r.operand(a_type, &[batch, vec![m, k]].concat());
    let b_shape = if transposed { [n, k] } else { [k, n] };
    given.push(Some(r.bytes(b_type, &b_shape)));
    let channels = r.flip().then_some(n);
    given.extend(r.scale(b_type, channels));
    if general {
        let c: Vec<i32> = (0..n).map(|_| r.next() as i32 % 20_000).collect();
        given.push(r.flip().then(|| Tensor::from_slice(&[n], &c).unwrap()));
    }
    given.extend(r.scale(y_type, None));
    let attributes = match general {
        true => vec![("transB", Attribute::Int(i64::from(transposed)))],
        false => vec![],
    };
    vector(if general { "QGemm" } else { "QLinearMatMul" }, attributes, given)
}

fn binary(r: &mut Random) -> Vector {
    let (a_type, b_type, y_type) = (r.dtype(), r.dtype(), r.dtype());
    let rank = r.to(5);
    let full: Vec<usize> = (0..rank).map(|_| r.to(6)).collect();
    let part = |r: &mut Random| -> Vec<usize> {
        let shape: Vec<usize> = full.iter().map(|&n| if r.flip() { n } else { 1 }).collect();
        shape[r.next() as usize % (rank + 1)..].to_vec()
    };
    let (a, b) = (if r.flip() { full.clone() } else { part(r) }, part(r));
    let mut given = r.operand(a_type, &a);
    given.extend(r.operand(b_type, &b));
    given.extend(r.scale(y_type, None));
    vector(if r.flip() { "QLinearAdd" } else { "QLinearMul" }, vec![], given)
}

fn moved(r: &mut Random) -> Vector {
    let dtype = r.dtype();
    let rank = r.to(5);
    let shape: Vec<usize> = (0..rank).map(|_| r.to(6)).collect();
    let x = r.bytes(dtype, &shape);
    let count: usize = shape.iter().product();
    match r.next() % 4 {
        0 => {
            let mut order: Vec<usize> = (0..rank).collect();
            for i in (1..rank).rev() {
                order.swap(i, r.next() as usize % (i + 1));
            }
            vector("Transpose", vec![("perm", ints(&order))], vec![Some(x)])
        }
        1 => {
            let axis = r.next() as usize % rank;
            let mut inputs = vec![Some(x)];
            for _ in 0..r.to(3) {
                let mut other = shape.clone();
                other[axis] = r.to(6);
                inputs.push(Some(r.bytes(dtype, &other)));
            }
            vector("Concat", vec![("axis", Attribute::Int(axis as i64))], inputs)
        }
        2 => {
            let first = (1..=count)
                .filter(|n| count.is_multiple_of(*n))
                .nth(r.next() as usize % 3)
                .unwrap_or(1);
            let to = Tensor::from_slice(&[3], &[first as i64, 1, (count / first) as i64]).unwrap();
            vector("Reshape", vec![], vec![Some(x), Some(to)])
        }
        _ => {
            let axis = r.next() as usize % (rank + 1);
            vector(
                "Flatten",
                vec![("axis", Attribute::Int(axis as i64))],
                vec![Some(x)],
            )
        }
    }
}

fn rest(r: &mut Random) -> Vector {
    let (dtype, y_type) = (r.dtype(), r.dtype());
    let shape = [r.to(2), r.to(9), r.to(7), r.to(7)];
    match r.next() % 3 {
        0 => {
            let kernel = [r.to(shape[2]), r.to(shape[3])];
            let pads: Vec<usize> = (0..4).map(|i| r.next() as usize % kernel[i % 2]).collect();
            let attributes = vec![
                ("kernel_shape", ints(&kernel)),
                ("strides", ints(&[r.to(3), r.to(3)])),
                ("pads", ints(&pads)),
            ];
            vector("MaxPool", attributes, vec![Some(r.bytes(dtype, &shape))])
        }
        1 => {
            let mut given = r.operand(dtype, &shape);
            given.extend(r.scale(y_type, None));
            vector("QLinearGlobalAveragePool", vec![], given)
        }
        _ => {
            let table = r.bytes(y_type, &[256]);
            vector(
                "LookupTable",
                vec![],
                vec![Some(r.bytes(dtype, &shape)), Some(table)],
            )
        }
    }
}

/// Holds a backend to the references on 600 nodes.
///
/// # Panics
/// Where bytes differ, or the backend takes too few of them.
pub fn hold(backend: &dyn Backend) {
    let makers: [fn(&mut Random) -> Vector; 5] = [conv, product, binary, moved, rest];
    let mut r = Random(0x9e37_79b9_7f4a_7c15);
    let mut taken = [0; 5];
    for case in 0..600 {
        let which = case % makers.len();
        let vector = makers[which](&mut r);
        let two = matches!(vector.op.as_str(), "QLinearAdd" | "QLinearMul") && r.flip();
        let (graph, given) = node::graph(&vector, two).unwrap();
        let (bytes, ids) = encode(&graph, &Arena::default()).unwrap();
        let plan = PlanView::parse(&bytes).unwrap();
        let constants: Vec<Tensor> = ids
            .iter()
            .map(|&id| graph.constant(id).unwrap().clone())
            .collect();
        let views: Vec<_> = given.iter().map(Tensor::view).collect();
        let mut expected = None;
        let table = OpTable(ops::ALL);
        let refused = reference::run(&plan, &constants, table, &views, &mut |id, view| {
            if plan.outputs().any(|output| output == id) {
                expected = Some(view.to_tensor());
            }
        });
        if refused.is_err() {
            continue;
        }
        match node::run(backend, &graph, &given) {
            Ok((found, kernel)) => {
                let shapes: Vec<_> = vector.inputs.iter().flatten().map(Tensor::shape).collect();
                let told = format!(
                    "case {case}: {} {:?} of {shapes:?} by {kernel}",
                    vector.op, vector.attributes
                );
                assert!(Some(&found) == expected.as_ref(), "{told}: other bytes");
                taken[which] += 1;
            }
            Err(CoreError::Backend {
                recoverable: false, ..
            }) => {}
            Err(error) => panic!("case {case}, {}: {error}", vector.op),
        }
    }
    eprintln!("taken: {taken:?} of 120 each");
    assert!(taken.iter().all(|&n| n > 60), "{taken:?}");
}
