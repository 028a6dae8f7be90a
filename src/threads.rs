//! Ground: how the daemon's threads are made: named, and with small stacks.

use std::thread::Builder;

/// Stack of a thread, in bytes. What is not touched costs nothing; debug builds need more (a TLS
/// handshake with RSA overflows 32 KiB in release).
const STACK: usize = if cfg!(debug_assertions) {
    512 << 10
} else {
    128 << 10
};

/// A thread yet to be spawned, with a name for ps(1) and the log of a panic.
pub fn named(name: impl Into<String>) -> Builder {
    Builder::new().name(name.into()).stack_size(STACK)
}
