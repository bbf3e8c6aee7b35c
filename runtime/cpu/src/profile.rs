//! Time by node, measured with a clock that the caller hands in.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use sanderling_core::error::NodeName;

/// Where time went, over all runs of all executables that share it.
pub struct Profile {
    clock: Box<dyn Fn() -> u64>,
    rows: RefCell<Vec<ProfileRow>>,
}

/// One node of one executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProfileRow {
    /// The node's ONNX name.
    pub node: String,
    /// The operator, `domain:OpType`.
    pub op: String,
    /// The kernel.
    pub kernel: String,
    /// Shapes of the outputs, in words.
    pub output: String,
    /// Times it ran.
    pub runs: u64,
    /// Nanoseconds, all runs together.
    pub nanos: u64,
}

impl Profile {
    /// An empty profile. `clock` says nanoseconds since any fixed moment.
    #[must_use]
    pub fn new(clock: impl Fn() -> u64 + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            rows: RefCell::new(Vec::new()),
        }
    }

    /// What was measured so far, in order of preparation.
    #[must_use]
    pub fn rows(&self) -> Vec<ProfileRow> {
        self.rows.borrow().clone()
    }

    /// Forgets the times, not the nodes: after warming up.
    pub fn reset(&self) {
        self.rows
            .borrow_mut()
            .iter_mut()
            .for_each(|row| (row.runs, row.nanos) = (0, 0));
    }

    /// Adds a row and says its index.
    pub(crate) fn register(&self, node: &NodeName, kernel: String, output: String) -> usize {
        let mut rows = self.rows.borrow_mut();
        let op = node.op.trim_start_matches(':').to_string();
        rows.push(ProfileRow {
            node: node.name.clone(),
            op,
            kernel,
            output,
            runs: 0,
            nanos: 0,
        });
        rows.len() - 1
    }

    pub(crate) fn now(&self) -> u64 {
        (self.clock)()
    }

    pub(crate) fn add(&self, row: usize, nanos: u64) {
        if let Some(row) = self.rows.borrow_mut().get_mut(row) {
            row.runs += 1;
            row.nanos += nanos;
        }
    }
}
