//! Reports the layers of a bundle by the GPU, an emulated one too: `gpu_layers BUNDLE INPUT`.
#![forbid(unsafe_code)]

use sanderling_exactness::report::report;
use sanderling_gpu::{GpuBackend, GpuOptions};
use sanderling_launch::LaunchTable;
use sanderling_session::SessionOptions;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [bundle, input] = &args[..] else {
        eprintln!("usage: gpu_layers BUNDLE INPUT");
        return ExitCode::from(2);
    };
    let ops = LaunchTable(sanderling_launch::ops::ALL);
    let gpu = match GpuBackend::open_blocking(
        ops,
        GpuOptions {
            software: true,
            dot: None,
        },
    ) {
        Ok(gpu) => gpu,
        Err(error) => {
            println!("not run: {error}");
            return ExitCode::SUCCESS;
        }
    };
    println!("device {}", gpu.adapter());
    let options = SessionOptions {
        backends: vec![Rc::new(gpu)],
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
