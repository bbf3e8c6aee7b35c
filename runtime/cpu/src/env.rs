//! What is known while a segment is made ready.

use crate::backend::CpuBackend;
use crate::op::{Quantised, ValueType};
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;
use sanderling_core::DType;
use sanderling_core::backend::Segment;
use sanderling_core::error::CoreError;
use sanderling_core::plan::{Constants, NodeView, ValueKind};
use sanderling_core::tensor::TensorView;
use sanderling_core::{OpError, Tensor, TensorType, ValueId};
use sanderling_kernels::QuantData;

/// A segment and everything about its values that does not change between runs.
pub(crate) struct Env<'a> {
    pub(crate) backend: &'a CpuBackend,
    pub(crate) segment: &'a Segment<'a>,
    pub(crate) constants: &'a Rc<dyn Constants>,
    types: Vec<Option<ValueType>>,
    /// By value: the node of the segment that dequantises it from a constant.
    dequantised: Vec<Option<usize>>,
    packed: Cell<u64>,
    refused: Cell<Option<u64>>,
}

impl<'a> Env<'a> {
    /// # Errors
    /// [`CoreError::DataDependent`] where a type is not known to the last dimension.
    pub(crate) fn new(backend: &'a CpuBackend, segment: &'a Segment<'a>) -> Result<Self, CoreError> {
        let count = segment.plan.value_count();
        let mut env = Self {
            backend,
            segment,
            constants: &segment.constants,
            types: alloc::vec![None; count],
            dequantised: alloc::vec![None; count],
            packed: Cell::new(0),
            refused: Cell::new(None),
        };
        for index in env.live_nodes() {
            let node = segment.plan.node(index);
            for id in node.inputs().chain(node.outputs()).flatten() {
                if env.types[id.index()].is_none() {
                    let ty = segment.facts.ty(id).and_then(concrete);
                    let unknown = || CoreError::DataDependent {
                        node: node.display_name(),
                    };
                    env.types[id.index()] = Some(ty.ok_or_else(unknown)?);
                }
            }
            if node.op_type() == "DequantizeLinear"
                && node.domain().is_empty()
                && let Some(out) = node.outputs().next().flatten()
            {
                env.dequantised[out.index()] = Some(index);
            }
        }
        Ok(env)
    }

    /// Nodes that have something to compute, by index.
    pub(crate) fn live_nodes(&self) -> Vec<usize> {
        let segment = self.segment;
        let live = |i: &usize| !segment.facts.is_folded(&segment.plan.node(*i));
        segment.nodes.clone().filter(live).collect()
    }

    pub(crate) fn ty(&self, id: ValueId) -> Option<&ValueType> {
        self.types.get(id.index())?.as_ref()
    }

    /// The plan's index of a constant.
    pub(crate) fn constant_index(&self, id: ValueId) -> Option<u32> {
        match self.segment.plan.value(id).kind {
            ValueKind::Constant(index) => Some(index),
            _ => match self.dequantised.get(id.index()).copied().flatten() {
                Some(node) => self.constant_index(self.segment.plan.node(node).inputs().next().flatten()?),
                None => None,
            },
        }
    }

    /// How a value is dequantised, in words; empty where it is not.
    pub(crate) fn dequantised_by(&self, id: ValueId) -> String {
        let Some(node) = self.dequantised.get(id.index()).copied().flatten() else {
            return String::new();
        };
        let node = self.segment.plan.node(node);
        let parameters = node.inputs().skip(1).map(|id| match id {
            Some(id) => self.content(id),
            None => String::from("-"),
        });
        let axis = node.attrs().int_or("axis", 1);
        let words = parameters.collect::<Vec<_>>().join(", ");
        alloc::format!(", dequantised by {words} along {axis:?}")
    }

    /// The digest of data that is known before a run; empty where it is not.
    pub(crate) fn content(&self, id: ValueId) -> String {
        self.known(id)
            .map_or(String::new(), |view| alloc::format!("{:02x?}", view.digest()))
    }

    /// Data that is known before a run.
    pub(crate) fn known(&self, id: ValueId) -> Option<TensorView<'_>> {
        match self.segment.plan.value(id).kind {
            ValueKind::Constant(index) => self.constants.get(index),
            _ => self.segment.facts.data(id).map(Tensor::view),
        }
    }

    /// The 8-bit constant that a value is dequantised from.
    pub(crate) fn quantised(&self, id: ValueId) -> Option<Quantised<'_>> {
        let node = self
            .segment
            .plan
            .node(self.dequantised.get(id.index()).copied().flatten()?);
        let input = |i: usize| node.inputs().nth(i).flatten();
        let data = self.known(input(0)?)?;
        let scales = self.known(input(1)?)?;
        let blocked = node.attrs().int_or("block_size", 0).ok()? != 0;
        let per_axis = scales.shape().len() == 1 && scales.len() > 1;
        if blocked || !(per_axis || scales.len() == 1) {
            return None;
        }
        let zero_points = match input(2) {
            Some(id) => integers(&self.known(id)?)?,
            None => Rc::from([]),
        };
        let axis = node.attrs().int_or("axis", 1).ok()?;
        let axis = sanderling_core::shape::normalise_axis("axis", axis, data.shape().len()).ok();
        let quant = match data.dtype() {
            DType::I8 => QuantData::I8(data.as_slice().ok()?),
            DType::U8 => QuantData::U8(data.as_slice().ok()?),
            _ => return None,
        };
        let axis = if per_axis { Some(axis?) } else { None };
        if axis.is_some_and(|axis| data.shape()[axis] != scales.len()) {
            return None;
        }
        let all_zero = zero_points.iter().all(|&z| z == 0);
        let zero_points = if all_zero { Rc::from([]) } else { zero_points };
        Some(Quantised {
            data: quant,
            scales: scales.as_slice().ok()?,
            zero_points,
            axis,
        })
    }

    /// Counts bytes of packed weights against the limit.
    pub(crate) fn take_packed(&self, bytes: u64) -> Result<(), OpError> {
        let total = self.packed.get().saturating_add(bytes);
        if total > self.segment.memory_limit {
            self.refused.set(Some(total));
            return Err(OpError::unsupported("packing weights beyond the memory limit"));
        }
        self.packed.set(total);
        Ok(())
    }

    pub(crate) fn packed(&self) -> u64 {
        self.packed.get()
    }

    /// An operator's error, with its node; [`CoreError::TooLarge`] where the limit on memory was the reason.
    pub(crate) fn at_node(&self, node: &NodeView<'_>, source: OpError) -> CoreError {
        match self.refused.take() {
            Some(bytes) => CoreError::TooLarge {
                what: alloc::format!("packed weights up to {}", node.display_name()),
                bytes,
                limit: self.segment.memory_limit,
            },
            None => CoreError::at(node.display_name(), self.describe_inputs(node), source),
        }
    }

    /// Types of a node's inputs, in words.
    pub(crate) fn describe_inputs(&self, node: &NodeView<'_>) -> String {
        let word = |id: Option<ValueId>| match id.and_then(|id| self.segment.facts.ty(id)) {
            Some(ty) => ty.to_string(),
            None => String::from("-"),
        };
        node.inputs().map(word).collect::<Vec<_>>().join(", ")
    }
}

fn integers(view: &TensorView<'_>) -> Option<Rc<[i32]>> {
    let wide = view.to_i64s()?;
    wide.into_iter()
        .map(|n| i32::try_from(n).ok())
        .collect::<Option<Vec<_>>>()
        .map(Rc::from)
}

fn concrete(ty: &TensorType) -> Option<ValueType> {
    let shape: Box<[usize]> = ty.concrete()?.into();
    Some(ValueType {
        dtype: ty.dtype,
        bytes: ty.byte_len()?,
        shape,
    })
}
