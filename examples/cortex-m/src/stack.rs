//! How deep the stack was: the memory below is painted before a call, and looked at after it.
#![allow(unsafe_code)]

use core::hint::black_box;
use core::ptr::{read_volatile, write_volatile};

/// Words below the caller that are painted. The board has more stack than this.
const WINDOW: usize = 8192 / 4;
const PAINT: u32 = 0x5ac3_96e1;
/// Words that the painting itself may use.
const OWN: usize = 32;

/// Bytes of stack that `work` took, from the call on.
#[inline(never)]
pub(crate) fn used_by(work: impl FnOnce()) -> usize {
    let here = 0u32;
    let here = (black_box(&raw const here) as usize) & !3;
    paint(here);
    work();
    here - deepest(here)
}

#[inline(never)]
fn paint(here: usize) {
    for i in OWN..WINDOW {
        // SAFETY: memory.x leaves more stack than WINDOW below every caller of `used_by`, statics end below it, nothing but
        // calls that have returned has used it, and this function's own frame is within OWN words of the caller's.
        unsafe { write_volatile((here - i * 4) as *mut u32, PAINT) };
    }
}

/// The lowest address that was written.
#[inline(never)]
fn deepest(here: usize) -> usize {
    let lowest = (OWN..WINDOW).rev().map(|i| here - i * 4);
    // SAFETY: as in `paint`; words are only read.
    let mut written = lowest.filter(|&at| unsafe { read_volatile(at as *const u32) } != PAINT);
    written.next().unwrap_or(here)
}
