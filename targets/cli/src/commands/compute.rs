//! What `run`, `bench` and `hash` share: threads, and who computes.

use anyhow::bail;
use clap::{Args, ValueEnum};
use sanderling_core::backend::Backend;
use sanderling_session::{Session, SessionOptions};
use std::rc::Rc;

/// Who computes, and on how many threads.
#[derive(Args)]
pub(crate) struct Compute {
    /// Threads to compute with.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = crate::commands::threads)]
    threads: usize,
    /// What computes; the CPU takes what another backend leaves, and everything when it fails.
    #[arg(long, value_enum, default_value = "cpu", value_name = "NAME")]
    backend: Choice,
}

/// A backend by name.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Choice {
    /// The fastest that this machine is likely to have: a real GPU, else the CPU.
    Auto,
    /// The CPU alone.
    Cpu,
    /// A GPU (Vulkan, Metal, Direct3D 12), an emulated one too.
    Gpu,
    /// An NVIDIA GPU by CUDA.
    Cuda,
}

impl Compute {
    /// Options of a session.
    ///
    /// # Errors
    /// A backend that was asked for and is not there.
    pub(crate) fn options(&self) -> anyhow::Result<SessionOptions> {
        Ok(SessionOptions {
            threads: self.threads.max(1),
            backends: match self.backend {
                Choice::Cpu => Vec::new(),
                Choice::Gpu => vec![gpu(true)?],
                Choice::Cuda => vec![cuda()?],
                Choice::Auto => match gpu(false) {
                    Ok(backend) => vec![backend],
                    Err(why) => {
                        tracing::info!("computing on the CPU: {why}");
                        Vec::new()
                    }
                },
            },
            ..SessionOptions::default()
        })
    }

    /// Says on standard error which backends failed while the session ran.
    pub(crate) fn tell(&self, session: &Session) {
        for fallback in session.fallbacks() {
            tracing::warn!(
                "backend {} failed and the CPU took over: {}",
                fallback.backend,
                fallback.reason
            );
        }
    }
}

#[cfg(feature = "gpu")]
fn gpu(software: bool) -> anyhow::Result<Rc<dyn Backend>> {
    use sanderling_gpu::{GpuBackend, GpuOptions};
    let ops = sanderling_launch::LaunchTable(sanderling_launch::ops::ALL);
    let options = GpuOptions { software, dot: None };
    match GpuBackend::open_blocking(ops, options) {
        Ok(backend) => {
            tracing::info!("computing on {}", backend.adapter());
            Ok(Rc::new(backend))
        }
        Err(error) => bail!(error),
    }
}

#[cfg(not(feature = "gpu"))]
fn gpu(_software: bool) -> anyhow::Result<Rc<dyn Backend>> {
    bail!(
        "this build has no GPU backend: build it with `cargo build --release --features gpu`, or use --backend cpu"
    )
}

#[cfg(feature = "cuda")]
fn cuda() -> anyhow::Result<Rc<dyn Backend>> {
    use sanderling_cuda::{CudaBackend, CudaOptions};
    let ops = sanderling_launch::LaunchTable(sanderling_launch::ops::ALL);
    Ok(Rc::new(CudaBackend::open(ops, CudaOptions::default())?))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> anyhow::Result<Rc<dyn Backend>> {
    bail!(
        "this build has no CUDA backend: build it with `cargo build --release --features cuda`, or use --backend cpu"
    )
}
