//! Benchmarks against peers, as ratios.
//!
//! `compare.py` runs onnxruntime and the session's example `bench_onnx` in turns, so that both see the same machine,
//! and prints ratios of times and differences of outputs.
#![forbid(unsafe_code)]
