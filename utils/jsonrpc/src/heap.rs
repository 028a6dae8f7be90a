//! How the C library keeps memory that was freed.
//!
//! glibc keeps what it once had to give, the more the larger the blocks were: a burst of long
//! requests would leave the server large for ever.

// mallopt and malloc_trim of the C library are called here.
#![allow(unsafe_code)]

/// Blocks from this size on, in bytes, go back to the system when they are freed, and so does what
/// is free at the end of a heap.
#[cfg(target_env = "gnu")]
const LARGE: nix::libc::c_int = 128 * 1024;

/// Heaps of the process: glibc would have eight a processor, and each keeps its own remains.
#[cfg(target_env = "gnu")]
const HEAPS: nix::libc::c_int = 2;

/// From now on memory that is freed goes back to the system at once, where the C library can be
/// told so (glibc; others do it by themselves).
pub fn give_back_at_once() {
    #[cfg(target_env = "gnu")]
    for (option, value) in [
        (nix::libc::M_MMAP_THRESHOLD, LARGE),
        (nix::libc::M_TRIM_THRESHOLD, LARGE),
        (nix::libc::M_ARENA_MAX, HEAPS),
    ] {
        // SAFETY: mallopt takes any option and value, and refuses what it does
        // not know: then memory is only given back later.
        unsafe { nix::libc::mallopt(option, value) };
    }
}

/// Gives what is free within the heaps back to the system too. Takes about a millisecond.
pub(crate) fn trim() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim changes no block that is in use.
    unsafe {
        nix::libc::malloc_trim(0);
    }
}
