//! A segment as a device runs it.

use crate::kernel::{Kernel, Parameters};
use crate::layout::Layout;
use crate::lower::Lowering;
use crate::ops::LaunchTable;
use alloc::string::String;
use alloc::vec::Vec;
use sanderling_core::backend::Segment;
use sanderling_core::error::CoreError;
use sanderling_core::{TensorType, ValueId};

/// One launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Which kernel.
    pub kernel: Kernel,
    /// What it is told, [`Kernel::params`] in order.
    pub params: Vec<u32>,
    /// Threads that have something to do; at least 1.
    pub threads: u32,
    /// The node, by index.
    pub node: usize,
}

impl Step {
    /// A launch of the kernel that these parameters are for.
    pub(crate) fn new<P: Parameters>(node: usize, threads: u32, params: &P) -> Self {
        Self {
            kernel: P::KERNEL,
            params: params.words(),
            threads,
            node,
        }
    }
}

/// A value that comes from the host or goes there.
#[derive(Debug, Clone, PartialEq)]
pub struct Border {
    /// Which.
    pub value: ValueId,
    /// Its type; concrete.
    pub ty: TensorType,
    /// Where its elements lie.
    pub layout: Layout,
    /// Its first word in the arena.
    pub offset: u32,
}

/// What a device can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of the arena, and most of the constants.
    pub buffer: u64,
    /// Most bytes of both.
    pub memory: u64,
}

/// Everything that a backend needs to run a segment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Program {
    /// Launches, each after the ones before it.
    pub steps: Vec<Step>,
    /// The buffer of constants.
    pub constants: Vec<u32>,
    /// Words of the arena.
    pub arena: u32,
    /// Words that are put into the arena once: offset and content.
    pub preset: Vec<(u32, Vec<u32>)>,
    /// Inputs of the segment, in order.
    pub inputs: Vec<Border>,
    /// Outputs of the segment, in order.
    pub outputs: Vec<Border>,
}

impl Program {
    /// Lowers a segment.
    ///
    /// # Errors
    /// [`CoreError::Node`] for a node that the table does not take after all; [`CoreError::TooLarge`] beyond the limits.
    pub fn new(table: LaunchTable, segment: &Segment<'_>, limits: Limits) -> Result<Self, CoreError> {
        Lowering::new(segment).run(table, limits)
    }

    /// [`Program::new`] for a device whose own limits are one reason to refuse: then another backend may take over, as it
    /// may for a node that the table promised and cannot lower. What exceeds the segment's limit exceeds everyone's.
    ///
    /// # Errors
    /// [`CoreError::TooLarge`] beyond the segment's limit; else [`CoreError::Backend`], recoverable.
    pub fn on_device(
        table: LaunchTable,
        segment: &Segment<'_>,
        limits: Limits,
        backend: &str,
    ) -> Result<Self, CoreError> {
        Self::new(table, segment, limits).map_err(|error| match error {
            CoreError::TooLarge { bytes, .. } if bytes > segment.memory_limit => error,
            error => CoreError::Backend {
                backend: backend.into(),
                message: alloc::format!("this device cannot take it: {error}"),
                recoverable: true,
            },
        })
    }

    /// Node and kernel, for people.
    #[must_use]
    pub fn kernels(&self) -> Vec<(usize, String)> {
        let mut rows: Vec<(usize, String)> = Vec::new();
        for step in &self.steps {
            match rows.last_mut() {
                Some((node, kernel)) if *node == step.node => {
                    kernel.push_str(" + ");
                    kernel.push_str(step.kernel.name());
                }
                _ => rows.push((step.node, step.kernel.name().into())),
            }
        }
        rows
    }
}
