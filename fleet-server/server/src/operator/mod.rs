//! The operators' calls, one file for each kind of thing.

pub(crate) mod devices;
pub(crate) mod fleet;
pub(crate) mod rollouts;
pub(crate) mod versions;
