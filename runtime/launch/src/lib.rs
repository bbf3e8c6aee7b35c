//! Integer operators as launches of a few kernels over two buffers of words: what WGSL and CUDA have in common.
//!
//! A device's program ([`Program`]) is a list of [`Step`]s. A step names a [`Kernel`] and gives it parameters, 32-bit words
//! by name; the kernel reads and writes one *arena* and reads one buffer of *constants*. Both hold 32-bit words, as
//! WebGPU has no 8-bit stores: four elements lie in a word, along one axis of the tensor ([`Layout`]). Scales and zero
//! points become parameters here, so that a kernel knows bytes and integers only, and docs/numerics.md is followed in one
//! place. What is left for a backend is small: compile the kernels, copy the constants, launch, read back.
//!
//! An operator is lowered by one file of [`ops`] and one row of [`ops::ALL`]. What has no row is another backend's.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod kernel;
pub mod layout;
mod lower;
mod node;
pub mod ops;
pub mod program;

pub use kernel::{Kernel, WORKGROUP};
pub use layout::Layout;
pub use lower::Lowering;
pub use node::Seen;
pub use ops::{LaunchOp, LaunchTable};
pub use program::{Border, Limits, Program, Step};
