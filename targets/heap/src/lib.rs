//! What a process of ours asks of the C library's allocator.
//!
//! A model is a few large blocks: weights, packed weights, an arena. Two models lie in memory while an update is on
//! trial, and one of them goes. glibc maps a large block by itself and unmaps it when it is freed, but takes the first
//! such `free` as a hint that large blocks come and go: it raises the size from which it maps to that block's (up to
//! 32 MiB), and from then on models lie on the heap, where one small block above them keeps them from the system. An
//! agent with a 3 MB model rests at 31 MB then, and at 19 MB with the size fixed. musl, Android's and Apple's
//! allocators need no such word.
//!
//! It is the process's to say, so binaries say it; no library does.

/// Fixes the size from which blocks are mapped one by one at 128 KiB, glibc's own initial value. A mapping costs some
/// microseconds and a page fault each 4 KiB, which matters to nobody who keeps blocks as long as sessions do.
pub fn give_large_blocks_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two integers and may be called at any time from any thread (mallopt(3)); a value it
        // does not like is ignored, which leaves the allocator as it was.
        unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10) };
    }
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Resident pages of this process, in bytes.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux has /proc");
        let pages: usize = statm
            .split(' ')
            .nth(1)
            .and_then(|field| field.parse().ok())
            .expect("resident pages are the second number");
        pages * 4096
    }

    #[test]
    fn a_freed_block_is_gone_though_a_small_one_lies_above_it() {
        give_large_blocks_back();
        // Without the fixed size, this is the hint that raises it.
        drop(std::hint::black_box(vec![1_u8; 24 << 20]));
        let before = resident();
        let large = std::hint::black_box(vec![1_u8; 16 << 20]);
        let above = std::hint::black_box(vec![1_u8; 64 << 10]);
        let held = resident();
        drop(large);
        let after = resident();
        assert!(held > before + (15 << 20), "{before} {held}");
        assert!(after < before + (1 << 20), "{before} {after}");
        drop(above);
    }
}
