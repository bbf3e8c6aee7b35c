//! Session, Pipeline and Cascade: plain data in, answers out.
#![forbid(unsafe_code)]
