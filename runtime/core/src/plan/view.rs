//! Reading a plan in place, with types and names that own their memory.
//!
//! Each view is the one of `sanderling-flat`, and can all that one can.

use crate::attr::Attrs;
use crate::error::{CoreError, NodeName};
use crate::graph::ValueId;
use crate::shape::{Dim, TensorType};
use crate::tensor::TensorView;
use alloc::{format, string::ToString, vec::Vec};
use core::ops::Deref;
use sanderling_flat::plan::{self as flat, Damaged, DimView};

/// Constants by the index a plan knows them by: of a bundle, or in memory.
pub trait Constants {
    /// The constant; none past the last.
    fn get(&self, index: u32) -> Option<TensorView<'_>>;
}

impl Constants for [crate::Tensor] {
    fn get(&self, index: u32) -> Option<TensorView<'_>> {
        <[crate::Tensor]>::get(self, index as usize).map(crate::Tensor::view)
    }
}

impl Constants for Vec<crate::Tensor> {
    fn get(&self, index: u32) -> Option<TensorView<'_>> {
        Constants::get(self.as_slice(), index)
    }
}

impl From<Damaged> for CoreError {
    fn from(Damaged { what, offset }: Damaged) -> Self {
        Self::Plan { what, offset }
    }
}

macro_rules! is_a_flat_one {
    ($($view:ident),*) => {$(
        impl<'a> Deref for $view<'a> {
            type Target = flat::$view<'a>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    )*};
}
is_a_flat_one!(PlanView, ValueView, NodeView);

/// A checked plan.
#[derive(Debug, Clone, Copy)]
pub struct PlanView<'a>(flat::PlanView<'a>);

impl<'a> PlanView<'a> {
    /// Checks bytes to be a plan.
    ///
    /// # Errors
    /// [`CoreError::Plan`] with the part and the place that cannot be.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, CoreError> {
        // A plan is longer than the values it states, or it is none: so is the memory for them.
        let scratch = flat::scratch_len(bytes).min(bytes.len());
        let view = flat::PlanView::parse_with(bytes, &mut alloc::vec![0; scratch])?;
        Ok(Self(view))
    }

    /// A value. Indices come from this plan; one that does not reads as an unnamed intermediate.
    #[must_use]
    pub fn value(&self, id: ValueId) -> ValueView<'a> {
        ValueView(self.0.value(id))
    }

    /// A node.
    #[must_use]
    pub fn node(&self, index: usize) -> NodeView<'a> {
        NodeView(self.0.node(index))
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = NodeView<'a>> + use<'a> {
        self.0.nodes().map(NodeView)
    }
}

/// A value of a plan.
#[derive(Debug, Clone, Copy)]
pub struct ValueView<'a>(flat::ValueView<'a>);

impl ValueView<'_> {
    /// Type, as far as it was known when packing.
    #[must_use]
    pub fn ty(&self) -> Option<TensorType> {
        let dims = self.dims().map(|dim| match dim {
            DimView::Fixed(n) => Dim::Fixed(n),
            DimView::Symbol(name) => Dim::Symbol(name.to_string()),
            DimView::Unknown => Dim::Unknown,
        });
        let shape = dims.collect();
        self.dtype().map(|dtype| TensorType { dtype, shape })
    }
}

/// A node of a plan.
#[derive(Debug, Clone, Copy)]
pub struct NodeView<'a>(flat::NodeView<'a>);

impl<'a> NodeView<'a> {
    /// A value of the plan that the node stands in.
    #[must_use]
    pub fn value(&self, id: ValueId) -> ValueView<'a> {
        PlanView(self.plan()).value(id)
    }

    /// Attributes.
    #[must_use]
    pub fn attrs(&self) -> Attrs<'a> {
        Attrs::of_plan(self.plan_attrs())
    }

    /// For errors.
    #[must_use]
    pub fn display_name(&self) -> NodeName {
        NodeName {
            name: self.name().to_string(),
            op: format!("{}:{}", self.domain(), self.op_type()),
            opset: self.opset(),
        }
    }
}
