//! A node with what is known of its values: what decides whether it can be lowered, and how.

use alloc::vec::Vec;
use sanderling_core::infer::Facts;
use sanderling_core::ops::common::qlinear::Operand;
use sanderling_core::plan::{NodeView, ValueKind};
use sanderling_core::shape::element_count;
use sanderling_core::{Attrs, DType, TensorType, ValueId};

/// A node and what is known of its values.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The node.
    pub node: NodeView<'a>,
    /// What is known.
    pub facts: &'a Facts,
}

impl<'a> Seen<'a> {
    /// Its attributes.
    #[must_use]
    pub fn attrs(&self) -> Attrs<'a> {
        self.node.attrs()
    }

    /// An input, where it is given.
    #[must_use]
    pub fn input(&self, index: usize) -> Option<ValueId> {
        self.node.inputs().nth(index).flatten()
    }

    /// Its only output.
    #[must_use]
    pub fn output(&self) -> Option<ValueId> {
        let mut outputs = self.node.outputs();
        let first = outputs.next().flatten();
        first.filter(|_| outputs.flatten().next().is_none())
    }

    /// A value's dtype and shape, where the shape is known.
    #[must_use]
    pub fn ty(&self, value: ValueId) -> Option<(DType, Vec<usize>)> {
        let ty: &TensorType = self.facts.ty(value)?;
        Some((ty.dtype, ty.concrete()?))
    }

    /// The shape of an eight-bit input that has elements.
    #[must_use]
    pub fn bytes(&self, index: usize) -> Option<Vec<usize>> {
        self.bytes_of(self.input(index)?)
    }

    /// The shape of the only output, of eight bits and with elements.
    #[must_use]
    pub fn output_bytes(&self) -> Option<Vec<usize>> {
        self.bytes_of(self.output()?)
    }

    fn bytes_of(&self, value: ValueId) -> Option<Vec<usize>> {
        let (dtype, shape) = self.ty(value)?;
        let some = element_count(&shape).is_some_and(|count| count > 0);
        (matches!(dtype, DType::U8 | DType::I8) && some).then_some(shape)
    }

    /// Whether an input is known before a run.
    #[must_use]
    pub fn is_known(&self, index: usize) -> bool {
        self.input(index).is_some_and(|id| {
            matches!(self.node.value(id).kind, ValueKind::Constant(_)) || self.facts.data(id).is_some()
        })
    }

    /// Whether an input is known before a run, or left out.
    #[must_use]
    pub fn is_known_or_absent(&self, index: usize) -> bool {
        self.input(index).is_none() || self.is_known(index)
    }

    /// Whether an operand's scale and zero point are known, and one for all.
    #[must_use]
    pub fn has_single_scale(&self, operand: Operand) -> bool {
        let one = |index: usize| {
            let shape = self
                .input(index)
                .and_then(|id| self.ty(id))
                .map(|(_, shape)| shape);
            shape.and_then(|shape| element_count(&shape)) == Some(1)
        };
        self.has_scale(operand)
            && one(operand.scale)
            && (self.input(operand.scale + 1).is_none() || one(operand.scale + 1))
    }

    /// Whether an operand's scales and zero points are known.
    #[must_use]
    pub fn has_scale(&self, operand: Operand) -> bool {
        self.is_known(operand.scale) && self.is_known_or_absent(operand.scale + 1)
    }
}
