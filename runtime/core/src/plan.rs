//! The plan: a packed graph, read in place.
//!
//! Flat little-endian tables and no heap, so that a microcontroller reads it from flash. [`encode`] writes one
//! from a checked [`Graph`]; [`PlanView::parse`] checks every offset, index and count once, after which reading
//! cannot fail. Nodes stand in an order in which every value is written before it is read.
//!
//! The tables are written down in `sanderling-flat`, which reads them; what is here adds what takes a heap: types as vectors,
//! names for errors.

mod encode;
mod view;

pub use encode::{Arena, encode};
pub use view::{Constants, NodeView, PlanView, ValueView};

use sanderling_flat::plan::{ATTR_LEN, HEADER_LEN, OPEN_DIM, kind};
pub use sanderling_flat::plan::{
    MAGIC, MAX_ENTRIES, MAX_NAME, MAX_RANK, NONE, PlanAttrs, VERSION, ValueKind,
};

#[cfg(test)]
mod tests;
