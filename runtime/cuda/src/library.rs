//! Whether the libraries are there and have every function that this crate calls.
//!
//! cudarc loads them at first use and panics where a library or a function is missing. So both are asked for before
//! anything else is called; after that, no call can panic.

use crate::error::{CudaError, LEAST_DRIVER};
use cudarc::{driver, nvrtc};

/// What cudarc calls of the driver for us. The tests' driver has these and no others.
pub(crate) const DRIVER: &[&str] = &[
    "cuInit",
    "cuDriverGetVersion",
    "cuGetErrorString",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetAttribute",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuMemGetInfo_v2",
    "cuMemAlloc_v2",
    "cuMemAllocAsync",
    "cuMemFree_v2",
    "cuMemFreeAsync",
    "cuMemHostAlloc",
    "cuMemFreeHost",
    "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemsetD8Async",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventQuery",
    "cuEventSynchronize",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuModuleGetFunction",
    "cuLaunchKernel",
];

/// What is called of NVRTC.
const COMPILER: &[&str] = &[
    "nvrtcVersion",
    "nvrtcGetNumSupportedArchs",
    "nvrtcGetSupportedArchs",
    "nvrtcCreateProgram",
    "nvrtcDestroyProgram",
    "nvrtcCompileProgram",
    "nvrtcGetProgramLogSize",
    "nvrtcGetProgramLog",
    "nvrtcGetCUBINSize",
    "nvrtcGetCUBIN",
    "nvrtcGetPTXSize",
    "nvrtcGetPTX",
];

/// Asks for the driver.
pub(crate) fn driver() -> Result<(), CudaError> {
    // SAFETY: loading the driver runs its own initialisation, and nothing of ours lies in its way.
    if !unsafe { driver::sys::is_culib_present() } {
        return Err(CudaError::NoDriver);
    }
    // SAFETY: as above; the library was there just now.
    let library = unsafe { driver::sys::culib() };
    // SAFETY: only its being there is asked; what is found is not called.
    let has = |name: &str| unsafe { library.get::<unsafe extern "C" fn()>(name) }.is_ok();
    let mut found = 0;
    if has("cuDriverGetVersion") {
        // SAFETY: it writes one number where it is told to.
        let result = unsafe { driver::sys::cuDriverGetVersion(&mut found) };
        found = result.result().map_or(0, |()| found);
    }
    let lacks = DRIVER.iter().copied().find(|name| !has(name));
    if lacks.is_some() || found < LEAST_DRIVER {
        return Err(CudaError::OldDriver { found, lacks });
    }
    Ok(())
}

/// Asks for NVRTC.
pub(crate) fn compiler() -> Result<(), CudaError> {
    // SAFETY: loading NVRTC runs its own initialisation, and nothing of ours lies in its way.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(CudaError::NoCompiler);
    }
    // SAFETY: as above; the library was there just now.
    let library = unsafe { nvrtc::sys::culib() };
    // SAFETY: only its being there is asked; what is found is not called.
    let has = |name: &str| unsafe { library.get::<unsafe extern "C" fn()>(name) }.is_ok();
    match COMPILER.iter().copied().find(|name| !has(name)) {
        Some(lacks) => Err(CudaError::OldCompiler { lacks }),
        None => Ok(()),
    }
}
