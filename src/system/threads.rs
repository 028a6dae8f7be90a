//! Ground: how the daemon's threads are made: named, and with small stacks.

use std::io;
use std::thread::Builder;

/// Stack of a thread, in bytes. What is not touched costs nothing; debug builds need more (a TLS
/// handshake with RSA overflows 32 KiB in release).
const STACK: usize = if cfg!(debug_assertions) {
    512 << 10
} else {
    128 << 10
};

/// A thread yet to be spawned, with a name for ps(1) and the log of a panic.
pub(crate) fn named(name: impl Into<String>) -> Builder {
    Builder::new().name(name.into()).stack_size(STACK)
}

/// Starts a thread that nobody joins.
///
/// # Errors
/// When it cannot be created: the work is dropped.
pub(crate) fn spawn(
    name: impl Into<String>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    // In a box all work is of one type: each costs std a kilobyte of code.
    let work: Box<dyn FnOnce() + Send> = Box::new(work);
    named(name).spawn(work).map(drop)
}
