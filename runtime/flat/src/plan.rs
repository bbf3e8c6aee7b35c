//! The plan: a packed graph, read in place.
//!
//! Flat little-endian tables and no heap, so that a microcontroller reads it from flash. `core::plan::encode` writes
//! one; [`PlanView::parse_with`] checks every offset, index and count once, after which reading cannot fail. Nodes
//! stand in an order in which every value is written before it is read.
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

mod bits;
mod view;

pub use view::{DimView, NodeView, PlanAttrs, PlanView, ValueKind, ValueView};

/// Index of a value in a graph or plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

impl ValueId {
    /// As an index.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// First bytes of a plan.
pub const MAGIC: [u8; 4] = *b"SPLN";
/// Version of the layout.
pub const VERSION: u16 = 1;
/// An absent value, constant or arena offset.
pub const NONE: u32 = u32::MAX;
/// Most nodes, values, dims, attributes … of a plan: what a table's index can count.
pub const MAX_ENTRIES: usize = 1 << 24;

/// Most dimensions of a value.
pub const MAX_RANK: usize = 64;
/// Most bytes of a name.
pub const MAX_NAME: usize = 1 << 16;

/// Bytes of the header.
pub const HEADER_LEN: usize = 64;
/// Bytes of a value's record.
pub const VALUE_LEN: usize = 32;
/// Bytes of a node's record.
pub const NODE_LEN: usize = 32;
/// Bytes of an attribute's record.
pub const ATTR_LEN: usize = 20;
/// Bytes of a name's record.
pub const NAME_LEN: usize = 8;
/// A dimension that only a run knows.
pub const OPEN_DIM: i64 = i64::MIN;

/// Kinds of attribute, as stored.
pub mod kind {
    /// An integer.
    pub const INT: u32 = 1;
    /// A float.
    pub const FLOAT: u32 = 2;
    /// Bytes.
    pub const STRING: u32 = 3;
    /// Integers.
    pub const INTS: u32 = 4;
    /// Floats.
    pub const FLOATS: u32 = 5;
    /// A nested plan.
    pub const GRAPH: u32 = 6;
}

/// Why bytes are not a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damaged {
    /// What was being read.
    pub what: &'static str,
    /// Byte offset in the plan or in the table.
    pub offset: usize,
}

/// Bytes of scratch that [`PlanView::parse_with`] takes at most for this plan: a bit a value. 0 for what is no plan.
#[must_use]
pub fn scratch_len(bytes: &[u8]) -> usize {
    let count = bytes.get(8..).and_then(|rest| rest.first_chunk::<4>());
    count.map_or(0, |count| {
        (u32::from_le_bytes(*count) as usize).min(MAX_ENTRIES).div_ceil(8)
    })
}
