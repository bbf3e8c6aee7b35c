//! The device daemon: agent, drivers and sessions wired together.
#![forbid(unsafe_code)]
