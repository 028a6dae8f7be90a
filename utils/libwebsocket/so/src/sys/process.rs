//! Which process this is, and how often it has forked.

use core::ffi::c_int;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// Goes up in parent and child at every fork.
static GENERATION: AtomicU32 = AtomicU32::new(0);
/// The process that this memory belongs to; 0 before the first connection.
static OWNER: AtomicI32 = AtomicI32::new(0);

/// How often this process has forked or was forked since the start.
pub(crate) fn generation() -> u32 {
    GENERATION.load(Ordering::Relaxed)
}

/// The process that this memory belongs to; 0 before [`set_owner`].
pub(crate) fn owner() -> c_int {
    OWNER.load(Ordering::Relaxed)
}

/// This memory belongs to the calling process.
pub(crate) fn set_owner() {
    // SAFETY: getpid cannot fail.
    OWNER.store(unsafe { libc::getpid() }, Ordering::Relaxed);
}

/// Counts a fork.
pub(crate) fn forked() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// The calling process owns this memory: it is not a child that shares its parent's (vfork,
/// posix_spawn).
pub(crate) fn is_owner() -> bool {
    // SAFETY: getpid cannot fail.
    owner() == unsafe { libc::getpid() }
}
