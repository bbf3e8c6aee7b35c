//! The story of README's first command: a fleet of twelve on one machine.
#![forbid(unsafe_code)]
