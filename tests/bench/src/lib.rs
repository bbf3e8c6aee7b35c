//! Benchmarks against peers, as ratios.
#![forbid(unsafe_code)]
