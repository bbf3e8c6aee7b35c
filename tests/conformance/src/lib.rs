//! ONNX's backend suite against the reference operators.
//!
//! The suite comes with the `onnx` package (`onnx/backend/test/data/node`): a folder per case, with a model and
//! the inputs and outputs that it must map to each other. Every case counts: one that cannot be imported fails
//! like one that computes something else. `passing.txt` names the cases that have passed once; they may not fail
//! again.
#![forbid(unsafe_code)]

mod case;
mod compare;
mod report;

pub use case::{Case, Outcome};
pub use compare::difference;
pub use report::Report;

use std::io;
use std::path::Path;

/// Names of the cases that must pass, one a line; `#` begins a remark.
pub const PASSING: &str = include_str!("../passing.txt");

/// The names in [`PASSING`].
pub fn must_pass() -> impl Iterator<Item = &'static str> {
    PASSING
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Runs every case of a folder (or of the folder `node` in it), in the order of their names. `progress` hears of
/// each.
///
/// # Errors
/// Where the folder cannot be read.
pub fn run(folder: &Path, progress: &mut dyn FnMut(&Case)) -> io::Result<Report> {
    let node = folder.join("node");
    let mut folders = std::fs::read_dir(if node.is_dir() { &node } else { folder })?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<Vec<_>>>()?;
    folders.retain(|path| path.join("model.onnx").is_file());
    folders.sort();
    let mut report = Report::default();
    for path in folders {
        let case = case::run(&path);
        progress(&case);
        report.cases.push(case);
    }
    Ok(report)
}
