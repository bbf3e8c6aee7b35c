//! The .sdl bundle: container, section table, dtypes, tensor hashes; checked views over bytes.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dtype;

pub use dtype::DType;
