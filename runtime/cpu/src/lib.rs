//! The CPU backend: operator to kernel table and arena executor.
#![forbid(unsafe_code)]
