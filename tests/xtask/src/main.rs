//! cargo xtask: install what the tests need, and run them.
#![forbid(unsafe_code)]
fn main() {}
