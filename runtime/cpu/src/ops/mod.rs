//! The operators with kernels: a file each, or a file for those that differ in one number; a row each.

use crate::op::CpuOp;

/// Every operator of this crate.
pub const ALL: &[&dyn CpuOp] = &[];
