//! The CPU backend: operators on kernels, intermediates in one arena.
//!
//! # Mental model
//!
//! [`CpuBackend::prepare`](sanderling_core::backend::Backend::prepare) turns a segment of a plan into a list of *steps*. For each
//! node it asks the table handed in ([`CpuTable`]) for a kernel; a case that no kernel takes runs by the operator's
//! reference, so every operator of the core works here, fast or not. Then it decides where each value lies:
//!
//! - a constant lies where the bundle has it; packed forms exist only where a kernel asked for one;
//! - a value that is another one under a new shape (Reshape, Squeeze …) is an *alias* and has no bytes of its own;
//! - an element-wise result takes over its input's bytes if nothing reads that input later;
//! - everything else, kernels' scratch included, is placed in one arena by [`sanderling_core::memory::plan`].
//!
//! A run walks the steps. Each step gets its inputs and outputs as disjoint slices of the arena, cut with
//! `split_at_mut` along borders that were worked out beforehand: the borrow checker holds what the planner
//! promises, and no `unsafe` is needed. **A run allocates nothing** where all steps have kernels (a test counts).
//!
//! # Interface
//!
//! ```text
//! CpuBackend::new(ops: CpuTable, references: OpTable<'static>, CpuOptions { isa, parallel, profile })
//! CpuOptions::detect(threads)                         // best instructions here; feature `std`: a pool of threads
//! Profile::new(clock: fn() -> nanoseconds)            // hand in as CpuOptions::profile; read Profile::rows()
//!
//! // Adding an operator: cpu/src/ops/X.rs and a row in ops::ALL.
//! trait CpuOp: Sync { fn domain(&self); fn name(&self); fn prepare(&self, &PrepareCx) -> Result<Choice, OpError> }
//! enum Choice { Kernel(Box<dyn CpuKernel>), Alias /* output 0 is input 0's bytes */, Reference }
//! trait CpuKernel { fn describe(&self) -> String; fn run(&self, &mut RunCx) -> Result<(), OpError>;
//!                   fn scratch_len(&self) -> usize; fn reads(&self, input) -> bool; fn in_place(&self, input) -> bool;
//!                   fn as_unary(&self) -> Option<Unary>; fn fuse(&mut self, Unary) -> bool }
//! PrepareCx: attrs, opset, input(i)/output(i) -> &ValueType, constant(i), quantised(i) /* int8 behind DequantizeLinear */,
//!            shared(i, variant, bytes, make) /* packed weights, counted against the limit, shared by executables */
//! RunCx: slice::<T>(i), slice_mut::<T>(i) /* once */, in_place(), scratch(), ctx()
//! ```
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

mod aligned;
mod backend;
mod cut;
mod env;
mod executable;
mod layout;
mod op;
pub mod ops;
mod profile;
mod select;
mod shared;

pub use backend::{ALIGNMENT, CpuBackend, CpuOptions};
pub use executable::MAX_OPERANDS;
pub use op::{Choice, CpuKernel, CpuOp, CpuTable, PrepareCx, Quantised, RunCx, ValueType};
pub use profile::{Profile, ProfileRow};
#[cfg(feature = "std")]
pub use sanderling_kernels::ThreadPool;
pub use sanderling_kernels::{Best, Ctx, Inline, Parallel, QuantData, Unary};
