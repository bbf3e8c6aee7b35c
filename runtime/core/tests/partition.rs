//! Which backend gets which nodes, and what crosses the borders.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod common;

use common::{GraphBuilder, plan_of, ty};
use sanderling_core::backend::{Backend, Executable, MemoryRequirements, Segment};
use sanderling_core::infer::{self, Facts};
use sanderling_core::partition::{describe, partition};
use sanderling_core::plan::{NodeView, PlanView};
use sanderling_core::{Attribute, CoreError, OpTable, ops};

/// Takes the operators listed, or all; computes nothing.
struct Takes(&'static str, Option<&'static [&'static str]>);

impl Backend for Takes {
    fn name(&self) -> &str {
        self.0
    }

    fn memory(&self) -> MemoryRequirements {
        MemoryRequirements {
            alignment: 64,
            max_binding: u64::MAX,
            channel_multiple: 1,
        }
    }

    fn supports(&self, node: &NodeView<'_>, _facts: &Facts) -> bool {
        self.1.is_none_or(|list| list.contains(&node.op_type()))
    }

    fn prepare(&self, _segment: &Segment<'_>) -> Result<Box<dyn Executable>, CoreError> {
        Err(CoreError::Graph {
            message: "nothing is computed here".into(),
        })
    }
}

#[test]
fn neighbours_join_and_borders_are_found() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[2,3]");
    let a = g.node("Relu", &[x], &[]);
    let b = g.node("Exp", &[a], &[]);
    let shape = g.node("Shape", &[b], &[]);
    let c = g.node("Neg", &[b], &[]);
    let c = g.node("Reshape", &[c, shape], &[]);
    let d = g.node("Relu", &[c], &[]);
    let e = g.node("Concat", &[d, a], &[("axis", Attribute::Int(0))]);
    let graph = g.finish(&[e, b]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let facts = infer::specialise(&plan, &constants, OpTable(ops::ALL), &[ty("float32[2,3]")]).unwrap();
    let fast = Takes("fast", Some(&["Exp", "Neg", "Reshape"]));
    let rest = Takes("rest", None);
    let parts = partition(&plan, &facts, &[&fast, &rest]).unwrap();
    let shown: Vec<_> = parts
        .iter()
        .map(|p| (p.backend, p.nodes.clone(), p.inputs.clone(), p.outputs.clone()))
        .collect();
    // The Shape between Exp and Neg is folded: it does not cut the segment, nor is its result handed over.
    let want = vec![
        (1, 0..1, vec![x], vec![a]),
        (0, 1..5, vec![a], vec![b, c]),
        (1, 5..7, vec![a, c], vec![e]),
    ];
    assert_eq!(shown, want);
    assert_eq!(
        describe(&parts, &[&fast, &rest]),
        "rest: nodes 0..1, fast: nodes 1..5, rest: nodes 5..7"
    );
}

#[test]
fn a_node_that_nobody_takes_is_named() {
    let mut g = GraphBuilder::default();
    let x = g.input("x", "float32[2]");
    let y = g.node("Exp", &[x], &[]);
    let graph = g.finish(&[y]);
    let (bytes, constants) = plan_of(&graph);
    let plan = PlanView::parse(&bytes).unwrap();
    let facts = infer::specialise(&plan, &constants, OpTable(ops::ALL), &[ty("float32[2]")]).unwrap();
    let error = partition(&plan, &facts, &[&Takes("picky", Some(&["Relu"]))])
        .unwrap_err()
        .to_string();
    assert!(error.contains("picky") && error.contains("Exp"), "{error}");
}
