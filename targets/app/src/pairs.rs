//! What pairs of answers to one input are told apart by.

pub use sanderling_agent::unit;

/// Hash of an input's bytes.
pub type InputHash = [u8; 32];
