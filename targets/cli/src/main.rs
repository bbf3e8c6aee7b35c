//! The sanderling command line.
#![forbid(unsafe_code)]
fn main() {}
