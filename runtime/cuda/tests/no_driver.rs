//! A machine without NVIDIA's driver: opening says so, and nothing panics.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_cuda::{CudaBackend, CudaError, CudaOptions};
use sanderling_launch::LaunchTable;

#[test]
fn opening_says_what_to_install() {
    let opened = CudaBackend::open(LaunchTable(sanderling_launch::ops::ALL), CudaOptions::default());
    let error = match opened {
        Ok(_) => return eprintln!("passed over: there is a GPU"),
        Err(error) => error,
    };
    if error != CudaError::NoDriver {
        return eprintln!("passed over: there is a driver: {error}");
    }
    let text = error.to_string();
    assert!(
        text.starts_with("no NVIDIA driver was found (libcuda cannot be loaded); install the NVIDIA driver")
    );
    assert!(text.contains("nvidia-l4t-cuda") && text.ends_with("or use the backend cpu"));
}
