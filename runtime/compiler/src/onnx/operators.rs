//! Which operators a model uses, and which of them the table lacks.

use std::collections::BTreeMap;

use sanderling_core::OpTable;

use super::Limits;
use super::proto::{GraphProto, ModelProto, NodeProto};
use crate::error::{CompileError, MissingOperator};

/// `Constant` is the importer's own business: it makes a constant, not a node.
pub(super) fn is_constant(node: &NodeProto) -> bool {
    node.op_type == "Constant" && is_onnx_domain(&node.domain)
}

pub(super) fn is_onnx_domain(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

/// Opset version that the model imports for a domain.
pub(super) fn opset_of(opsets: &[(String, i64)], domain: &str) -> Option<i64> {
    let same = |d: &str| d == domain || (is_onnx_domain(d) && is_onnx_domain(domain));
    opsets.iter().find(|(d, _)| same(d)).map(|(_, version)| *version)
}

/// Checks every node, those of nested graphs included, against the table and the limits.
///
/// # Errors
/// [`CompileError::MissingOperators`] with all that are missing, [`CompileError::TooLarge`] past the limits.
pub(super) fn check(
    model: &ModelProto,
    graph: &GraphProto,
    opsets: &[(String, i64)],
    table: OpTable<'_>,
    limits: &Limits,
) -> Result<(), CompileError> {
    let mut missing: BTreeMap<(String, String), MissingOperator> = BTreeMap::new();
    let mut nodes = 0usize;
    let mut waiting = vec![(graph, 0usize)];
    while let Some((graph, depth)) = waiting.pop() {
        super::too_large("levels of nested graphs", depth as u64, limits.depth as u64)?;
        nodes += graph.node.len();
        super::too_large("nodes in the model", nodes as u64, limits.nodes as u64)?;
        for node in &graph.node {
            let nested = node.attribute.iter().filter_map(|attribute| attribute.g.as_ref());
            waiting.extend(nested.map(|graph| (graph, depth + 1)));
            if let Some(entry) = lacking(node, opsets, table) {
                let key = (entry.domain.clone(), entry.op_type.clone());
                missing.entry(key).and_modify(|e| e.count += 1).or_insert(entry);
            }
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut operators: Vec<MissingOperator> = missing.into_values().collect();
    for operator in &mut operators {
        let mut functions = model.functions.iter();
        if functions.any(|f| f.name == operator.op_type && f.domain == operator.domain) {
            operator
                .op_type
                .push_str(" [a function of the model: inline functions when exporting]");
        }
    }
    Err(CompileError::MissingOperators { operators })
}

fn lacking(node: &NodeProto, opsets: &[(String, i64)], table: OpTable<'_>) -> Option<MissingOperator> {
    if is_constant(node) {
        return None;
    }
    let domain = if is_onnx_domain(&node.domain) {
        ""
    } else {
        node.domain.as_str()
    };
    let opset = opset_of(opsets, domain).unwrap_or(0);
    let known = u16::try_from(opset)
        .ok()
        .and_then(|opset| table.find(domain, &node.op_type, opset));
    if known.is_some() {
        return None;
    }
    let same = table
        .0
        .iter()
        .filter(|op| op.name() == node.op_type && op.domain() == domain);
    let have = same
        .map(|op| (*op.opsets().start(), *op.opsets().end()))
        .collect();
    Some(MissingOperator {
        domain: domain.to_owned(),
        op_type: node.op_type.clone(),
        opset,
        node: node_label(node),
        count: 1,
        have,
    })
}

/// A node's name, or its first output's where it has none.
pub(super) fn node_label(node: &NodeProto) -> String {
    let unnamed = || {
        node.output
            .iter()
            .find(|name| !name.is_empty())
            .cloned()
            .unwrap_or_default()
    };
    if node.name.is_empty() {
        unnamed()
    } else {
        node.name.clone()
    }
}
