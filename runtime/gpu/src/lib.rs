//! The GPU backend: integer operators by WGSL kernels over wgpu, natively (Vulkan, which the tests run; Metal and
//! Direct3D 12, which nobody ran yet) and in browsers over WebGPU (targets/wasm, tested in Chromium).
//!
//! [`GpuBackend`] takes the nodes that `sanderling-launch` lowers. A prepared segment is three buffers (arena, constants,
//! parameters) and a list of launches; a run writes the inputs, launches everything in one pass, and maps the outputs
//! back. Nothing waits: [`Executable::poll`](sanderling_core::backend::Executable::poll) looks, so that a browser tab goes on.
//!
//! The device may be lost, and memory may run out, at any time. Both become
//! [`CoreError::Backend`](sanderling_core::CoreError) with `recoverable` set: a session goes on with its other backends.
#![forbid(unsafe_code)]

mod backend;
mod device;
mod executable;
mod fault;

pub use backend::GpuBackend;
pub use device::{GpuError, GpuOptions};
pub use fault::News;
pub use sanderling_shaders::Dot;

/// Its name among backends.
pub const NAME: &str = "gpu";
