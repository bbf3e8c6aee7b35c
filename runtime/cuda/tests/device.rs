//! A real GPU: the vectors' bytes, both models' digests. Where there is none this says so; `SANDERLING_CUDA=required` makes that a
//! failure.
#![allow(missing_docs, clippy::unwrap_used)]

use sanderling_cuda::{CudaBackend, CudaOptions};
use sanderling_exactness::{chains, models, node, random};
use sanderling_launch::LaunchTable;
use std::rc::Rc;

#[test]
fn a_gpu_gives_every_vector_and_every_integer_layer() {
    let ops = LaunchTable(sanderling_launch::ops::ALL);
    let backend = match CudaBackend::open(ops, CudaOptions::default()) {
        Ok(backend) => backend,
        Err(error) => {
            let required = std::env::var_os("SANDERLING_CUDA").is_some_and(|v| v == "required");
            assert!(!required, "{error}");
            return eprintln!("not run: no GPU ({error})");
        }
    };
    let (taken, left) = node::every_vector(&backend).unwrap();
    eprintln!(
        "{taken} vectors on {}, left to others: {left:?}",
        backend.device()
    );
    assert!(taken > 60, "only {taken}; left: {left:?}");
    random::hold(&backend);
    chains::hold(&backend);
    let backend = Rc::new(backend);
    for &model in models::INT8 {
        models::hold(backend.clone(), model).unwrap();
    }
}
