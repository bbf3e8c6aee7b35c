//! The workspace's invariants as tests.
#![forbid(unsafe_code)]
