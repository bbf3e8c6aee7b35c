//! Why there is no CUDA, and what to do about it.

use crate::NAME;
use cudarc::driver::result::DriverError;
use sanderling_core::CoreError;
use std::fmt;

/// The least driver: CUDA 11.4, as the driver counts. JetPack 5 has it.
pub(crate) const LEAST_DRIVER: i32 = 11_040;

/// Why a backend cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CudaError {
    /// The driver's library cannot be loaded.
    NoDriver,
    /// The driver is too old for what is asked of it.
    OldDriver {
        /// CUDA version of the driver, as it counts: 11040 is 11.4.
        found: i32,
        /// A function that it lacks, where it is not the version that says so.
        lacks: Option<&'static str>,
    },
    /// There is a driver and no such device.
    NoDevice {
        /// The device that was asked for.
        index: usize,
        /// Devices that there are.
        count: usize,
    },
    /// NVRTC's library cannot be loaded.
    NoCompiler,
    /// NVRTC is too old.
    OldCompiler {
        /// A function that it lacks.
        lacks: &'static str,
    },
    /// NVRTC makes no code for the device.
    NoCode {
        /// The device's name.
        device: String,
        /// Its compute capability, as 87 for 8.7.
        capability: u32,
        /// NVRTC's version.
        compiler: (u32, u32),
        /// The least capability that it makes code for.
        least: u32,
    },
    /// The driver refused.
    Driver {
        /// What was asked of it.
        what: &'static str,
        /// What it said.
        message: String,
    },
}

impl fmt::Display for CudaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDriver => write!(
                f,
                "no NVIDIA driver was found (libcuda cannot be loaded); install the NVIDIA driver (on a Jetson: the package \
                 nvidia-l4t-cuda; in a container: start it with the NVIDIA runtime), or use the backend cpu"
            ),
            Self::OldDriver { found, lacks } => {
                let (major, minor) = (found / 1000, found % 1000 / 10);
                write!(f, "the NVIDIA driver is too old: it is of CUDA {major}.{minor}")?;
                if let Some(name) = lacks {
                    write!(f, " and lacks {name}")?;
                }
                write!(
                    f,
                    ", 11.4 is needed; install a newer driver (on a Jetson: JetPack 5 or newer), or use the backend cpu"
                )
            }
            Self::NoDevice { index, count: 0 } => write!(
                f,
                "there is no CUDA device {index}: the NVIDIA driver finds no GPU; see whether `nvidia-smi` lists one and \
                 CUDA_VISIBLE_DEVICES does not hide it, or use the backend cpu"
            ),
            Self::NoDevice { index, count } => write!(
                f,
                "there is no CUDA device {index}: there are {count}, numbered from 0"
            ),
            Self::NoCompiler => write!(
                f,
                "NVRTC, the compiler of the GPU's kernels, was not found (libnvrtc cannot be loaded); install the package \
                 cuda-nvrtc-<version> of the CUDA version that the driver has, or put its folder into LD_LIBRARY_PATH, or \
                 use the backend cpu"
            ),
            Self::OldCompiler { lacks } => write!(
                f,
                "NVRTC, the compiler of the GPU's kernels, is too old: it lacks {lacks}; install the package \
                 cuda-nvrtc-<version> of CUDA 11.4 or newer, or use the backend cpu"
            ),
            Self::NoCode {
                device,
                capability,
                compiler: (major, minor),
                least,
            } => write!(
                f,
                "NVRTC {major}.{minor} makes no code for {device} (compute capability {}.{}), only for {}.{} and up; \
                 install the package cuda-nvrtc-<version> of an older CUDA, or use the backend cpu",
                capability / 10,
                capability % 10,
                least / 10,
                least % 10
            ),
            Self::Driver { what, message } => {
                write!(
                    f,
                    "the NVIDIA driver failed at {what}: {message}; mend its installation, or use the backend cpu"
                )
            }
        }
    }
}

impl std::error::Error for CudaError {}

/// What the driver says of an error.
pub(crate) fn text(error: DriverError) -> String {
    let said = error.error_string().ok();
    let said = said.map(|text| text.to_string_lossy().into_owned());
    match said {
        Some(said) => format!("{said} ({:?})", error.0),
        None => format!("{:?}", error.0),
    }
}

/// An error while a backend is opened.
pub(crate) fn opening(what: &'static str) -> impl Fn(DriverError) -> CudaError {
    move |error| CudaError::Driver {
        what,
        message: text(error),
    }
}

/// Another backend may take over.
pub(crate) fn failure(message: impl Into<String>) -> CoreError {
    CoreError::Backend {
        backend: NAME.into(),
        message: message.into(),
        recoverable: true,
    }
}
