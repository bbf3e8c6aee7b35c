//! The WGSL kernels, as text: one file a kernel beside this crate, and what they share.
//!
//! A kernel's source is its file behind `common.wgsl` and one of two ways to multiply four bytes by four bytes: WGSL's own
//! `dot4I8Packed`, a language feature that not every browser has, or plain arithmetic. Its entry point has its name. What it
//! is told stands in its `Params`, whose fields are those of `sanderling-launch`'s parameters of that name.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

use alloc::string::String;

/// How four signed bytes are multiplied by four and summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dot {
    /// `dot4I8Packed`: WGSL's language feature `packed_4x8_integer_dot_product`.
    Packed,
    /// Shifts and products, for every WGSL.
    Plain,
}

const COMMON: &str = include_str!("../common.wgsl");
const PACKED: &str = include_str!("../dot_packed.wgsl");
const PLAIN: &str = include_str!("../dot_plain.wgsl");

/// Names and files of the kernels.
pub const ALL: &[(&str, &str)] = &[
    ("binary", include_str!("../binary.wgsl")),
    ("conv", include_str!("../conv.wgsl")),
    ("copy", include_str!("../copy.wgsl")),
    ("depthwise", include_str!("../depthwise.wgsl")),
    ("lookup", include_str!("../lookup.wgsl")),
    ("max_pool", include_str!("../max_pool.wgsl")),
    ("mean", include_str!("../mean.wgsl")),
    ("reshape", include_str!("../reshape.wgsl")),
];

/// The whole source of a kernel; none of this name is none.
#[must_use]
pub fn source(name: &str, dot: Dot) -> Option<String> {
    let (_, file) = ALL.iter().find(|(kernel, _)| *kernel == name)?;
    let product = match dot {
        Dot::Packed => PACKED,
        Dot::Plain => PLAIN,
    };
    Some([COMMON, product, file].join("\n"))
}
