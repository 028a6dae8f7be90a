//! Ground: creates the daemon's threads, with a name and a small stack, and lets them pause.

use std::fs;
use std::io;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

pub(crate) use interrupt::Thread;
use log::error;
use nix::poll::{PollTimeout, poll};
use nix::unistd::Uid;

/// Stack of a thread, in bytes. Pages that are not touched cost nothing. A TLS handshake with RSA
/// overflows 32 KiB in a release build, and debug builds need more.
const STACK: usize = if cfg!(debug_assertions) {
    512 << 10
} else {
    128 << 10
};

/// Time between two looks at threads that wait in a read.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// Returns the builder of a thread. ps(1) and the log of a panic show its name.
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
    // Boxed, so that all work has one type: std needs a kilobyte of code for each type.
    let work: Box<dyn FnOnce() + Send> = Box::new(work);
    named(name).spawn(work).map(drop)
}

/// Starts a thread that the daemon cannot do without. If it panics, the process exits with 1, so
/// that its supervisor starts it again.
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

/// A vital thread owns one, so that its drop sees a panic.
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

/// Pauses this thread. std's sleep panics on a 32-bit kernel without the old system calls for time
/// (CONFIG_COMPAT_32BIT_TIME), which has no nanosleep(2); this does not.
pub(crate) fn sleep(pause: Duration) {
    let end = Instant::now() + pause;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        // Rounded up, so that the last part of a millisecond is not a busy loop.
        let millis = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
        // A signal ends it early; the loop goes on.
        let _ = poll(
            &mut [],
            PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX),
        );
    }
}

/// Returns how many threads all processes of a user have; `None` if proc(5) cannot be read.
pub(crate) fn of_user(user: Uid) -> Option<usize> {
    let user = user.as_raw().to_string();
    let threads = fs::read_dir("/proc")
        .ok()?
        .flatten()
        // Leaves out the links to this process itself.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|process| fs::read_to_string(process.path().join("status")).ok())
        .filter(|status| field(status, "Uid:") == Some(&user))
        .filter_map(|status| field(&status, "Threads:")?.parse::<usize>().ok());
    Some(threads.sum())
}

/// Returns the first word of a line of /proc/PID/status (proc(5)).
fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_a_process_tells_its_user_and_its_threads() {
        let status = "Name:\tx\nUid:\t1000\t1001\t0\t0\nThreads:\t3\n";
        assert_eq!(field(status, "Uid:"), Some("1000"));
        assert_eq!(field(status, "Threads:"), Some("3"));
        assert_eq!(field(status, "Absent:"), None);
        assert!(of_user(Uid::current()) >= Some(1));
    }
}
