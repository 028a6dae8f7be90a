//! Memory that the C library keeps after a burst. Here, and not in the daemon, because the call
//! into glibc is unsafe code, which the daemon forbids.

/// Gives the whole pages that lie free within the heaps back to the kernel. glibc alone needs to be
/// told: it gives back no more than the end of a heap, and a small piece that is in use keeps it
/// from that. Takes about a millisecond for each 10 MB in the heaps, in which no other thread can
/// allocate from the heap that is being looked at.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim(3) has no precondition, and may be called by any thread at any time. It
    // touches no memory that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
