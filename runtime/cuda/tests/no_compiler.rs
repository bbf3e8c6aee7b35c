//! A machine with a driver and without NVRTC: opening says so, and nothing panics.
#![cfg(target_os = "linux")]
#![allow(missing_docs, clippy::unwrap_used)]

mod host;

use sanderling_cuda::{Compiler, CudaBackend, CudaError, CudaOptions};
use sanderling_launch::LaunchTable;

#[test]
fn opening_says_what_to_install() {
    host::Driver::load();
    if Compiler::find().is_ok() {
        return eprintln!("passed over: NVRTC is installed");
    }
    let opened = CudaBackend::open(LaunchTable(sanderling_launch::ops::ALL), CudaOptions::default());
    let error = opened.err().unwrap();
    assert_eq!(error, CudaError::NoCompiler);
    let text = error.to_string();
    assert!(
        text.contains("libnvrtc cannot be loaded")
            && text.contains("install the package cuda-nvrtc-<version>")
    );
}
