//! Addition, multiplication and means of quantised tensors.

use sanderling_core::Graph;
use sanderling_core::ops::common::requantise::{Addition, Multiplier};

use super::super::edit;
use super::edges::Quantised;
use super::{Lowered, MICROSOFT, Site};

pub(super) fn add(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    pair(graph, site, "QLinearAdd", |a, b, y| {
        Addition::new(a, b, y).is_ok()
    })
}

pub(super) fn mul(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    pair(graph, site, "QLinearMul", |a, b, y| {
        Multiplier::of_product(a, b, y).is_ok()
    })
}

fn pair(
    graph: &mut Graph,
    site: &Site<'_>,
    op: &'static str,
    defined: impl Fn(f32, f32, f32) -> bool,
) -> Option<Lowered> {
    let [a, b] = [0, 1].map(|i| operand(graph, site, i));
    let (a, b) = (a?, b?);
    if !defined(a.single()?.0, b.single()?.0, site.result.single()?.0) {
        return None;
    }
    let mut inputs = a.operand(graph).to_vec();
    inputs.extend(b.operand(graph));
    inputs.extend(site.result.parameters(graph));
    Some(Lowered {
        domain: MICROSOFT,
        op,
        inputs,
    })
}

pub(super) fn global_average_pool(graph: &mut Graph, site: &Site<'_>) -> Option<Lowered> {
    let x = operand(graph, site, 0)?;
    let spatial = graph.value(x.value).ty.as_ref()?.shape.get(2..)?;
    let sizes = spatial.iter().map(|dim| usize::try_from(dim.fixed()?).ok());
    let n = sizes.collect::<Option<Vec<_>>>()?.iter().product();
    Multiplier::of_mean(x.single()?.0, site.result.single()?.0, n).ok()?;
    let mut inputs = x.operand(graph).to_vec();
    inputs.extend(site.result.parameters(graph));
    Some(Lowered {
        domain: MICROSOFT,
        op: "QLinearGlobalAveragePool",
        inputs,
    })
}

/// An input of the node that is dequantised from eight bits with one scale.
pub(super) fn operand(graph: &Graph, site: &Site<'_>, index: usize) -> Option<Quantised> {
    let input = edit::input(&graph.nodes[site.node], index)?;
    let found = site.edges.dequantised(graph, input)?;
    (found.is_eight_bits() && found.single().is_some()).then_some(found)
}
