//! Round trip, and totality on bytes that are no plan.

use super::*;
use crate::attr::{AttrRef, Attrs};
use crate::graph::{Attribute, Graph, Node, Value, ValueId};
use crate::shape::{Dim, TensorType};
use crate::tensor::Tensor;
use crate::{CoreError, DType};
use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use proptest::prelude::*;

/// A nested graph: one input, one node.
fn body() -> Graph {
    let mut graph = Graph::default();
    let x = graph.add_value(Value {
        name: "inner".into(),
        ..Value::default()
    });
    let y = graph.add_value(Value {
        name: "inner_y".into(),
        ..Value::default()
    });
    graph.inputs.push(x);
    graph.outputs.push(y);
    graph.nodes.push(Node {
        op_type: "Relu".into(),
        opset: 14,
        inputs: vec![Some(x)],
        outputs: vec![Some(y)],
        ..Node::default()
    });
    graph
}

fn attributes() -> Vec<(String, Attribute)> {
    let named = |name: &str, attribute| (name.to_string(), attribute);
    vec![
        named("int", Attribute::Int(i64::MIN)),
        named("float", Attribute::Float(-0.5)),
        named("text", Attribute::String("größe".into())),
        named("empty_text", Attribute::String(Vec::new())),
        named("ints", Attribute::Ints(vec![1, -1, i64::MAX])),
        named("no_ints", Attribute::Ints(Vec::new())),
        named("floats", Attribute::Floats(vec![0.25, f32::INFINITY])),
        named("body", Attribute::Graph(Box::new(body()))),
    ]
}

fn graph() -> Graph {
    let mut graph = Graph::default();
    let x = graph.add_value(Value {
        name: "x".into(),
        ty: Some(TensorType {
            dtype: DType::F32,
            shape: vec![Dim::Symbol("N".into()), Dim::Fixed(3), Dim::Unknown],
        }),
        constant: None,
    });
    let w = graph.add_constant("w", Tensor::from_slice(&[2], &[1i8, -1]).unwrap());
    let y = graph.add_value(Value {
        name: "y".into(),
        ..Value::default()
    });
    let z = graph.add_value(Value {
        name: "z".into(),
        ty: Some(TensorType::fixed(DType::I64, &[])),
        constant: None,
    });
    graph.inputs.push(x);
    graph.outputs.extend([z, y]);
    graph.nodes.push(Node {
        name: "first".into(),
        domain: "com.example".into(),
        op_type: "Odd".into(),
        opset: 7,
        inputs: vec![Some(x), None, Some(w)],
        outputs: vec![None, Some(y)],
        attributes: attributes(),
    });
    graph.nodes.push(Node {
        name: "second".into(),
        op_type: "Size".into(),
        opset: 27,
        inputs: vec![Some(y)],
        outputs: vec![Some(z)],
        ..Node::default()
    });
    graph
}

fn encoded() -> Vec<u8> {
    let arena = Arena {
        offsets: vec![None, None, Some(64), Some(0)],
        len: 128,
    };
    let (bytes, constants) = encode(&graph(), &arena).unwrap();
    assert_eq!(constants, [ValueId(1)]);
    bytes
}

#[test]
fn values_come_back() {
    let (graph, bytes) = (graph(), encoded());
    let plan = PlanView::parse(&bytes).unwrap();
    assert_eq!(plan.value_count(), graph.values.len());
    for (i, value) in graph.values.iter().enumerate() {
        let view = plan.value(ValueId(i as u32));
        assert_eq!(view.name, value.name);
        assert_eq!(view.ty(), value.ty);
    }
    let kinds: Vec<ValueKind> = (0..4).map(|i| plan.value(ValueId(i)).kind).collect();
    let intermediate = ValueKind::Intermediate;
    assert_eq!(
        kinds,
        [
            ValueKind::Input,
            ValueKind::Constant(0),
            intermediate,
            intermediate
        ]
    );
    assert_eq!(plan.value(ValueId(2)).arena_offset, Some(64));
    assert_eq!(plan.value(ValueId(0)).arena_offset, None);
    assert_eq!(plan.arena_len(), 128);
    assert_eq!(plan.inputs().collect::<Vec<_>>(), graph.inputs);
    assert_eq!(plan.outputs().collect::<Vec<_>>(), graph.outputs);
    assert!(plan.byte_len() <= bytes.len());
}

#[test]
fn nodes_come_back() {
    let (graph, bytes) = (graph(), encoded());
    let plan = PlanView::parse(&bytes).unwrap();
    assert_eq!(plan.node_count(), 2);
    for (node, view) in graph.nodes.iter().zip(plan.nodes()) {
        assert_eq!(
            (view.name(), view.domain(), view.op_type()),
            (&*node.name, &*node.domain, &*node.op_type)
        );
        assert_eq!(view.opset(), node.opset);
        assert_eq!(view.inputs().collect::<Vec<_>>(), node.inputs);
        assert_eq!(view.outputs().collect::<Vec<_>>(), node.outputs);
        assert_eq!(view.display_name(), node.display_name());
    }
}

#[test]
fn attributes_come_back() {
    let bytes = encoded();
    let plan = PlanView::parse(&bytes).unwrap();
    let (found, given) = (plan.node(0).attrs(), attributes());
    let given = Attrs::of_graph(&given);
    assert_eq!(found.int("int"), Ok(Some(i64::MIN)));
    assert_eq!(found.float("float"), Ok(Some(-0.5)));
    assert_eq!(found.str_or("text", ""), Ok("größe"));
    assert_eq!(found.str_or("empty_text", "x"), Ok(""));
    for name in ["ints", "no_ints"] {
        let list = |attrs: Attrs<'_>| attrs.ints(name).unwrap().unwrap().to_vec();
        assert_eq!(list(found), list(given));
    }
    assert_eq!(
        found.floats("floats").unwrap().unwrap().to_vec(),
        [0.25, f32::INFINITY]
    );
    assert!(matches!(found.get("body"), Some(AttrRef::Other)));
    assert!(found.get("absent").is_none());
    assert!(found.int("float").is_err());
    assert!(plan.node(1).attrs().get("int").is_none());
}

#[test]
fn what_a_plan_does_not_hold_is_refused() {
    let refused = |attribute| {
        let mut graph = graph();
        graph.nodes[0].attributes = vec![("a".to_string(), attribute)];
        matches!(encode(&graph, &Arena::default()), Err(CoreError::Graph { .. }))
    };
    assert!(refused(Attribute::Tensor(
        Tensor::from_slice(&[1], &[1.0f32]).unwrap()
    )));
    assert!(refused(Attribute::Strings(vec![b"a".to_vec()])));
    let mut nested = body();
    nested.add_constant("c", Tensor::from_slice(&[1], &[1.0f32]).unwrap());
    assert!(refused(Attribute::Graph(Box::new(nested))));
}

#[test]
fn an_empty_graph_is_a_plan() {
    let (bytes, constants) = encode(&Graph::default(), &Arena::default()).unwrap();
    assert!(constants.is_empty());
    let plan = PlanView::parse(&bytes).unwrap();
    assert_eq!((plan.value_count(), plan.node_count()), (0, 0));
}

/// Reads everything a plan says.
fn walk(plan: &PlanView<'_>) {
    for i in 0..plan.value_count() {
        let value = plan.value(ValueId(i as u32));
        let _ = (value.ty(), value.name.len(), value.arena_offset);
    }
    for node in plan.nodes() {
        let _ = (node.display_name(), node.inputs().count(), node.outputs().count());
        for name in ["int", "float", "text", "ints", "floats", "body"] {
            if let Some(AttrRef::Ints(list)) = node.attrs().get(name) {
                let _ = list.to_vec();
            }
        }
    }
    assert!(
        plan.inputs()
            .chain(plan.outputs())
            .all(|id| id.index() < plan.value_count())
    );
}

#[test]
fn any_flipped_bit_is_refused_or_read() {
    let bytes = encoded();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1 << bit;
            if let Ok(plan) = PlanView::parse(&damaged) {
                walk(&plan);
            }
        }
    }
}

#[test]
fn any_prefix_is_refused_or_read() {
    let bytes = encoded();
    for len in 0..bytes.len() {
        if let Ok(plan) = PlanView::parse(&bytes[..len]) {
            walk(&plan);
        }
    }
}

proptest! {
    #[test]
    fn parsing_is_total(bytes in prop::collection::vec(any::<u8>(), 0..512), with_magic in any::<bool>()) {
        let mut bytes = bytes;
        if with_magic && bytes.len() >= 8 {
            bytes[..4].copy_from_slice(&MAGIC);
            bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
        }
        if let Ok(plan) = PlanView::parse(&bytes) {
            walk(&plan);
        }
    }

    #[test]
    fn damage_is_refused_or_read(
        changes in prop::collection::vec((0usize..4096, prop::sample::select(&[0u8, 1, 2, 4, 8, 127, 128, 255][..])), 1..12),
    ) {
        let mut bytes = encoded();
        let len = bytes.len();
        changes.into_iter().for_each(|(at, value)| bytes[at % len] = value);
        if let Ok(plan) = PlanView::parse(&bytes) {
            walk(&plan);
        }
    }
}

#[test]
fn a_plan_is_checked_in_memory_that_is_lent() {
    use sanderling_flat::plan::{PlanView as Flat, scratch_len};
    let bytes = encoded();
    assert_eq!(scratch_len(&bytes), 1, "four values");
    assert!(Flat::parse_with(&bytes, &mut []).is_err());
    let flat = Flat::parse_with(&bytes, &mut [0xff]).unwrap();
    assert_eq!(flat.arena_len(), PlanView::parse(&bytes).unwrap().arena_len());
    // What states more values than it has takes no memory for them.
    assert_eq!(scratch_len(&[0xff; 64]), MAX_ENTRIES / 8);
    assert!(PlanView::parse(&[0xff; 64]).is_err());
}

/// Where a table begins and how long it is, by its place in the header: values, nodes, edges, dims, attributes, names.
fn table(bytes: &[u8], index: usize) -> core::ops::Range<usize> {
    let len = |i: usize| u32::from_le_bytes(*bytes[32 + 4 * i..].first_chunk().unwrap()) as usize;
    let mut at = HEADER_LEN;
    for i in 0..index {
        at = (at + len(i)).next_multiple_of(8);
    }
    at..at + len(index)
}

/// Changes `u32`s of the plan, each by table, record, the records' length and place in the record; says what is then wrong.
fn damage(bytes: &[u8], changes: &[(usize, usize, usize, usize, u32)]) -> &'static str {
    let mut bytes = bytes.to_vec();
    for &(of, record, len, word, value) in changes {
        let at = table(&bytes, of).start + record * len + 4 * word;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    }
    match PlanView::parse(&bytes) {
        Err(CoreError::Plan { what, .. }) => what,
        other => panic!("{:?}", other.map(drop)),
    }
}

#[test]
fn what_no_packer_writes_is_refused() {
    let bytes = encoded();
    // The second value shares dimensions with the first.
    let changes = [(0, 1, 32, 2, 2), (0, 1, 32, 3, 0)];
    assert_eq!(damage(&bytes, &changes), "number of dimensions");
    // A value of kind Input that is not among the plan's inputs: nobody writes it.
    let mut without = bytes.clone();
    without[16..20].copy_from_slice(&0u32.to_le_bytes());
    assert_eq!(damage(&without, &[]), "value");
    // Nodes that share edges, or attributes.
    let changes = [(1, 1, 32, 3, 0), (1, 1, 32, 4, 6)];
    assert_eq!(damage(&bytes, &changes), "number of edges or attributes");
    let changes = [(1, 1, 32, 5, 1 | 27 << 16), (1, 1, 32, 6, 0)];
    assert_eq!(damage(&bytes, &changes), "number of edges or attributes");
    // An integer and a float that state no elements, or more than theirs.
    for (attribute, count) in [(0, 0), (0, 2), (0, u32::MAX), (1, 0), (1, 2)] {
        assert_eq!(damage(&bytes, &[(4, attribute, 20, 3, count)]), "attribute");
    }
}

#[test]
fn ranks_and_names_are_bounded() {
    let with = |rank: usize, name: usize| {
        let mut graph = graph();
        let shape = vec![Dim::Symbol("n".repeat(name)); rank];
        graph.values[0].ty = Some(TensorType {
            dtype: DType::F32,
            shape,
        });
        encode(&graph, &Arena::default())
    };
    let (most, _) = with(MAX_RANK, MAX_NAME).unwrap();
    assert_eq!(
        PlanView::parse(&most).unwrap().value(ValueId(0)).dims().len(),
        MAX_RANK
    );
    for (rank, name) in [(MAX_RANK + 1, 1), (1, MAX_NAME + 1)] {
        assert!(matches!(with(rank, name), Err(CoreError::Graph { .. })));
    }
    // The same in bytes that no packer wrote.
    let changes = [(0, 0, 32, 2, MAX_RANK as u32 + 1), (0, 1, 32, 2, 0)];
    assert_eq!(damage(&most, &changes), "number of dimensions");
    let lengths = most[table(&most, 5)].chunks_exact(8);
    let mut lengths = lengths.map(|name| u32::from_le_bytes(*name[4..].first_chunk().unwrap()));
    let longest = lengths.position(|len| len == MAX_NAME as u32).unwrap();
    assert_eq!(damage(&most, &[(5, longest, 8, 1, MAX_NAME as u32 + 1)]), "name");
}
