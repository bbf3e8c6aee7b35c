//! Reports the layers of a bundle by CUDA: `cuda_layers BUNDLE INPUT`; "not run: …" where there is no GPU.

use sanderling_cuda::{CudaBackend, CudaError, CudaOptions};
use sanderling_exactness::report::report;
use sanderling_launch::LaunchTable;
use sanderling_session::SessionOptions;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, input] = &args[..] else {
        eprintln!("usage: cuda_layers BUNDLE INPUT");
        return ExitCode::from(2);
    };
    let ops = LaunchTable(sanderling_launch::ops::ALL);
    let cuda = match CudaBackend::open(ops, CudaOptions::default()) {
        Ok(cuda) => cuda,
        Err(CudaError::NoDriver | CudaError::NoDevice { .. }) => {
            println!("not run: no GPU");
            return ExitCode::SUCCESS;
        }
        Err(error @ CudaError::NoCompiler) => {
            println!("not run: {error}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    println!("device {}", cuda.device());
    let options = SessionOptions {
        backends: vec![Rc::new(cuda)],
        ..SessionOptions::default()
    };
    match report(Path::new(bundle), Path::new(input), &options) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
