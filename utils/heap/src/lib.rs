//! Memory that the C library keeps after a burst. Here, and not in the daemon, because the call
//! into glibc is unsafe code, which the daemon forbids.

/// Blocks from this size on, in bytes, are apart from the heaps after [`keep_large_apart`].
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

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

/// From now on a block of a megabyte or more goes back to the kernel when it is freed. glibc would
/// put it into a heap once it has seen one freed; there it can use the place of one aligned block
/// for no other (argon2 takes such blocks), so that each check of a password would take 4 MiB more.
/// To be called before there are threads.
pub fn keep_large_apart() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt(3) takes any option and value, and refuses what it does not know. No other
    // thread allocates yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
