//! The workspace's invariants, as tests in `tests/`.
//!
//! They read `cargo metadata` and the sources, so that a rule of ARCHITECTURE.md or STYLE.md cannot be broken
//! unseen. There is nothing here to call.
#![forbid(unsafe_code)]
