//! What a model means, apart from who computes it.
//!
//! A model is a [`graph::Graph`] while the compiler works on it, and a *plan* ([`plan::PlanView`]) once it is
//! packed: flat little-endian tables, read in place. Both hold nodes, and a node names an operator. What an
//! operator means is written once, in one file of [`ops`]: a shape rule ([`op::Operator::infer`]) and a clear,
//! slow reference ([`op::Operator::eval`]). Backends ([`backend::Backend`]) compute the same thing fast.
//!
//! The way of a run: [`infer::specialise`] turns a plan and the shapes of its inputs into facts about every
//! value (type, and the data itself where only shapes decide it); [`partition`] cuts the nodes into segments,
//! one backend each; a backend prepares its segments, with memory laid out by [`memory::plan`]; then they are
//! submitted and polled, in order, as often as wanted.
//!
//! Numbers: integer operators follow docs/numerics.md to the byte; float references compute in binary32 in
//! a fixed order with libm, so that packing gives the same bytes on any host.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod attr;
pub mod backend;
pub mod error;
pub mod graph;
pub mod infer;
pub mod memory;
pub mod op;
pub mod ops;
pub mod partition;
pub mod plan;
pub mod reference;
pub mod shape;
pub mod tensor;

/// The version of docs/numerics.md that integer operators follow here.
pub const NUMERICS: u32 = 1;

pub use attr::{AttrRef, Attrs};
pub use error::{CoreError, OpError};
pub use graph::{Attribute, Graph, Node, Value, ValueId};
pub use op::{OpTable, Operator};
pub use plan::PlanView;
pub use sanderling_bundle::DType;
pub use shape::{Dim, TensorType};
pub use tensor::{Element, Tensor, TensorView, TensorViewMut};
