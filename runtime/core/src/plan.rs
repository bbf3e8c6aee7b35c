//! The plan: a packed graph, read in place.
//!
//! Flat little-endian tables and no heap, so that a microcontroller reads it from flash. [`encode`] writes one
//! from a checked [`Graph`]; [`PlanView::parse`] checks every offset, index and count once, after which reading
//! cannot fail. Nodes stand in an order in which every value is written before it is read.
//!
//! | part | record | holds |
//! |---|---|---|
//! | header | 64 bytes | magic, version, counts and offsets of the tables |
//! | values | 32 bytes | name, kind, dtype, rank, first dimension, constant's index, arena offset |
//! | nodes | 32 bytes | name, operator, opset, first edge and counts, first attribute and count |
//! | edges | 4 bytes | indices of values: inputs then outputs of a node; `u32::MAX` where left out |
//! | dims | 8 bytes | a number; or −1 − index of a name in the name table; or the least i64 where open |
//! | attributes | 20 bytes | name, kind, offset and element count of the payload |
//! | names | 8 bytes | offset and length in the text |
//! | payload | | lists of attributes, 8-byte aligned; nested plans; then the text |

mod encode;
mod view;

pub use encode::{Arena, encode};
pub use view::{Constants, NodeView, PlanAttrs, PlanView, ValueKind, ValueView};

/// First bytes of a plan.
pub const MAGIC: [u8; 4] = *b"SPLN";
/// Version of the layout.
pub const VERSION: u16 = 1;
/// An absent value, constant or arena offset.
pub const NONE: u32 = u32::MAX;
/// Most nodes, values, dims, attributes … of a plan: what a table's index can count.
pub const MAX_ENTRIES: usize = 1 << 24;

const HEADER_LEN: usize = 64;
const VALUE_LEN: usize = 32;
const NODE_LEN: usize = 32;
const ATTR_LEN: usize = 20;
const NAME_LEN: usize = 8;
const OPEN_DIM: i64 = i64::MIN;

/// Kinds of attribute, as stored.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const FLOAT: u32 = 2;
    pub(super) const STRING: u32 = 3;
    pub(super) const INTS: u32 = 4;
    pub(super) const FLOATS: u32 = 5;
    pub(super) const GRAPH: u32 = 6;
}

#[cfg(test)]
mod tests;
