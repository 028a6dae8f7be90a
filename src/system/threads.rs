//! Ground: how the daemon's threads are made and how they pause: named, with small stacks.

use std::io;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

use log::error;
use nix::poll::{PollTimeout, poll};

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

/// Starts a thread that the daemon cannot go on without: should it panic, the process ends with 1,
/// for whoever started it to start it again.
///
/// # Errors
/// When it cannot be created: the work is dropped.
pub(crate) fn spawn_vital(
    name: impl Into<String>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let name = name.into();
    let vital = Vital(name.clone());
    spawn(name, move || {
        let _vital = vital;
        work();
    })
}

/// Held by a vital thread.
struct Vital(String);

impl Drop for Vital {
    fn drop(&mut self) {
        if thread::panicking() {
            let Self(name) = self;
            error!("thread '{name}' has failed: the daemon cannot do without it and ends");
            log::logger().flush();
            std::process::exit(1);
        }
    }
}

/// Pauses this thread. Unlike std's sleep it does not panic on a 32-bit kernel without the old
/// system calls for time (CONFIG_COMPAT_32BIT_TIME), which has no nanosleep(2).
pub(crate) fn sleep(pause: Duration) {
    let end = Instant::now() + pause;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Rounded up: what is left of a millisecond must not become a busy loop.
        let millis = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
        // It fails where a signal comes, and is tried again.
        let _ = poll(
            &mut [],
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
        );
    }
}
