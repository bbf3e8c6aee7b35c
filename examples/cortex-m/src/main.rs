//! A model on a microcontroller, and the judge of it.
//!
//! Built for a target without an operating system this is the firmware: the bundle lies in flash, real test images run through it,
//! and it prints label, digests, arena and stack. Built for the host it packs that bundle, runs the same images in the native session,
//! and compares every line that the firmware printed. `cargo xtask test --only embedded` does both.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
mod firmware;
#[cfg(not(target_os = "none"))]
mod judge;
#[cfg(all(target_os = "none", target_arch = "arm"))]
mod led;
#[cfg(target_os = "none")]
mod stack;

/// For each its label, then 28 × 28 pixels: the first of Fashion-MNIST's test images.
static IMAGES: &[u8] = include_bytes!("../model/images.bin");
/// Bytes of an image and its label.
const IMAGE_LEN: usize = 1 + 28 * 28;

#[cfg(not(target_os = "none"))]
fn main() -> anyhow::Result<()> {
    judge::main()
}
