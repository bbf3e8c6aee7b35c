//! Tables: what each operator makes of small inputs, and what it refuses.
//!
//! A row names an operator, an opset, attributes and inputs, and says the outputs or a part of the error. Every
//! operator of `ops::ALL` has a row. The expected values are worked out by hand or by NumPy, not by this crate.
#![allow(
    clippy::unwrap_used,
    clippy::approx_constant,
    reason = "a test that cannot go on should stop; values are written as NumPy prints them"
)]

mod elementwise;
mod layers;
mod movement;
mod quantised;
mod reductions;
mod resampling;
mod rows;

use rows::Row;
use sanderling_core::ops;
use std::collections::BTreeSet;

fn all_rows() -> Vec<Row> {
    [
        elementwise::rows(),
        layers::rows(),
        movement::rows(),
        quantised::rows(),
        reductions::rows(),
        resampling::rows(),
    ]
    .concat()
}

#[test]
fn every_row_holds() {
    let wrong: Vec<String> = all_rows().iter().filter_map(|row| row.check().err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_operator_has_a_row() {
    let tested: BTreeSet<(&str, &str)> = all_rows().iter().map(|row| (row.domain, row.op)).collect();
    let untested: Vec<_> = ops::ALL
        .iter()
        .map(|op| (op.domain(), op.name()))
        .filter(|name| !tested.contains(name))
        .collect();
    assert_eq!(untested, []);
}

#[test]
fn no_two_operators_claim_one_opset() {
    for (i, a) in ops::ALL.iter().enumerate() {
        for b in &ops::ALL[i + 1..] {
            let overlap = a.opsets().start() <= b.opsets().end() && b.opsets().start() <= a.opsets().end();
            assert!(
                (a.domain(), a.name()) != (b.domain(), b.name()) || !overlap,
                "{} twice",
                a.name()
            );
        }
    }
}
