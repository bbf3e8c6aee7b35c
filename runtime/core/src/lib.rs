//! Shapes, tensor views, graph and plan, operators with reference semantics, memory planner, Backend trait.
#![no_std]
#![forbid(unsafe_code)]
