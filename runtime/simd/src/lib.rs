//! Instruction sets as values: ISA tokens and the vector traits that kernels are written over.
#![no_std]
