//! The CUDA backend: integer operators on NVIDIA GPUs, Jetsons and servers alike.
//!
//! [`CudaBackend`] takes the nodes that `sanderling-launch` lowers, as the wgpu backend does. Its kernels are the files of
//! `kernels/`, held as text; NVRTC, CUDA's compiler as a library, makes code for the very device at first use, and that
//! code is kept: in memory, and in a folder where the caller names one. A prepared segment is two buffers on the device (arena,
//! constants), pinned buffers of the host for what goes in and out, and a list of launches on the backend's own stream.
//! [`submit`](sanderling_core::backend::Executable::submit) queues copies and launches and returns;
//! [`poll`](sanderling_core::backend::Executable::poll) asks an event and never waits.
//!
//! Driver and compiler are loaded when a backend is opened, not linked: this builds where CUDA never was, and
//! [`CudaError`] says what a machine lacks. What fails later is
//! [`CoreError::Backend`](sanderling_core::CoreError) with `recoverable` set: a session goes on with its other backends.
//!
//! `unsafe` stands where the driver's own rules begin (loading, launching, memory that nobody wrote yet) and nowhere else.

mod backend;
mod cache;
mod compile;
mod device;
mod error;
mod executable;
mod kernels;
mod library;

/// The lines of the README are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use backend::{CudaBackend, CudaOptions};
pub use compile::{Code, Compiler};
pub use error::CudaError;
pub use kernels::source;

/// Its name among backends.
pub const NAME: &str = "cuda";
