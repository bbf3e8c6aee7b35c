//! NVRTC, CUDA's compiler as a library: it works without a GPU, and the tests of runtime/cuda compile the kernels with it.

use crate::{Context, StepResult, install, run};
use std::path::PathBuf;

/// NVIDIA's own package. The last of CUDA 12: it still makes code for all Jetsons since the first Nano.
const PACKAGE: &str = "nvidia-cuda-nvrtc-cu12==12.9.86";
/// Its library, below the package's folder.
const LIBRARY: &str = "lib/libnvrtc.so.12";

/// Installs NVRTC into the tests' Python environment, where it is to be had.
pub(crate) fn install(cx: &Context) -> StepResult {
    if !is_offered() {
        return Ok(());
    }
    install::once(&cx.cache().join("nvrtc.stamp"), PACKAGE, || {
        let pip = ["-m", "pip", "install", "--quiet", "--no-deps", PACKAGE];
        run(cx.command(cx.python()).args(pip))
    })
}

/// The library, for `SANDERLING_NVRTC`; none where it is not to be had.
pub(crate) fn library(cx: &Context) -> Result<Option<PathBuf>, String> {
    if !is_offered() {
        return Ok(None);
    }
    Ok(Some(cx.python_package("nvidia.cuda_nvrtc")?.join(LIBRARY)))
}

/// Whether there is a package for this machine, with this name of the library.
fn is_offered() -> bool {
    cfg!(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    ))
}
