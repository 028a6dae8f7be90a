//! poll: readable means that a read would return at once.
//!
//! The kernel sees bytes where there may be half a header or a ping. Those
//! are dealt with here, and if no payload is behind them, the wait goes on
//! with the time that is left.

use core::ffi::c_int;

use libc::{POLLIN, POLLRDNORM, nfds_t, pollfd, sigset_t, timespec};

use crate::sys::{self, next};
use crate::{rx, table, tx};

next! {
    fn next_poll = c"poll"(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int;
    fn next_ppoll = c"ppoll"(fds: *mut pollfd, n: nfds_t, timeout: *const timespec, mask: *const sigset_t) -> c_int;
}

/// The end of a wait, in milliseconds of the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<i64>);

impl Deadline {
    /// `ms` from now; none if negative.
    pub(crate) fn after_ms(ms: i64) -> Self {
        Deadline((ms >= 0).then(|| sys::now_ms().saturating_add(ms)))
    }

    /// A time as ppoll and its like take it, rounded up.
    pub(crate) fn after_nanos(seconds: i64, nanos: i64) -> Self {
        Deadline::after_ms(
            seconds
                .saturating_mul(1000)
                .saturating_add((nanos + 999_999) / 1_000_000),
        )
    }

    /// No deadline.
    pub(crate) fn never() -> Self {
        Deadline(None)
    }

    /// What is left, as poll takes it.
    pub(crate) fn left_ms(self) -> c_int {
        match self.0 {
            None => -1,
            Some(end) => (end - sys::now_ms()).clamp(0, i64::from(c_int::MAX)) as c_int,
        }
    }

    /// What is left, as ppoll and pselect take it.
    pub(crate) fn left(self) -> Option<timespec> {
        self.0.map(|_| {
            let ms = self.left_ms();
            // SAFETY: an all-zero timespec is valid; it may have padding.
            let mut time: timespec = unsafe { core::mem::zeroed() };
            time.tv_sec = (ms / 1000) as _;
            time.tv_nsec = (ms % 1000 * 1_000_000) as _;
            time
        })
    }

    /// True once it has passed.
    pub(crate) fn is_past(self) -> bool {
        self.left_ms() == 0
    }
}

/// Takes back what the kernel said of connections that have no payload;
/// returns how many entries are left, and whether any was taken back.
fn filter(entries: &mut [pollfd]) -> (c_int, bool) {
    let mut ready = 0;
    let mut filtered = false;
    for entry in entries {
        if entry.revents & (POLLIN | POLLRDNORM) != 0
            && let Some(connection) = table::find(entry.fd)
            && !rx::is_readable(&connection, entry.fd)
        {
            entry.revents &= !(POLLIN | POLLRDNORM);
            filtered = true;
        }
        ready += c_int::from(entry.revents != 0);
    }
    (ready, filtered)
}

/// One of our waits, around a function that is the kernel's.
///
/// # Safety
/// As poll demands of its arguments.
unsafe fn wait(
    fds: *mut pollfd,
    n: nfds_t,
    deadline: Deadline,
    mut kernel: impl FnMut() -> c_int,
) -> c_int {
    // SAFETY: the server's array; n is not 0 here.
    let entries = unsafe { core::slice::from_raw_parts_mut(fds, n as usize) };
    tx::flush_stalled();
    loop {
        let result = kernel();
        if result <= 0 {
            return result;
        }
        let (ready, filtered) = filter(entries);
        if ready > 0 || !filtered {
            return ready;
        }
        if deadline.is_past() {
            return 0;
        }
    }
}

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int {
    if n == 0 || fds.is_null() || table::is_empty() {
        // SAFETY: passed on.
        return unsafe { next_poll(fds, n, timeout) };
    }
    let deadline = Deadline::after_ms(i64::from(timeout));
    // SAFETY: passed on.
    unsafe { wait(fds, n, deadline, || next_poll(fds, n, deadline.left_ms())) }
}

/// ppoll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ppoll(
    fds: *mut pollfd,
    n: nfds_t,
    timeout: *const timespec,
    mask: *const sigset_t,
) -> c_int {
    if n == 0 || fds.is_null() || table::is_empty() {
        // SAFETY: passed on.
        return unsafe { next_ppoll(fds, n, timeout, mask) };
    }
    // SAFETY: null or the server's.
    let deadline = unsafe { deadline(timeout) };
    // SAFETY: passed on; the time left is ours.
    unsafe {
        wait(fds, n, deadline, || {
            let left = deadline.left();
            next_ppoll(
                fds,
                n,
                left.as_ref().map_or(core::ptr::null(), |left| left),
                mask,
            )
        })
    }
}

/// The deadline of a timespec; a null pointer has none.
///
/// # Safety
/// The pointer is null or valid.
pub(crate) unsafe fn deadline(timeout: *const timespec) -> Deadline {
    // SAFETY: the caller's promise.
    match unsafe { timeout.as_ref() } {
        None => Deadline::never(),
        Some(time) => Deadline::after_nanos(time.tv_sec as i64, time.tv_nsec as i64),
    }
}
