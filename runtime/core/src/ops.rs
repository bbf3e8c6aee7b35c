//! The operators: one file each, one row each.

use crate::op::Operator;

/// Every operator of this crate.
pub const ALL: &[&dyn Operator] = &[];
