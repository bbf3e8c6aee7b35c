//! The device's update state machine, sans-I/O.
#![no_std]
#![forbid(unsafe_code)]
