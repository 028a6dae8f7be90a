//! poll: readable means that a read would return at once.
//!
//! The kernel sees bytes where there may be half a header or a ping. Those
//! are dealt with here, and if no payload is behind them, the wait goes on
//! with the time that is left.

use core::ffi::c_int;

use libc::{POLLIN, POLLRDNORM, c_long, nfds_t, pollfd, sigset_t};

use crate::sys::{self, next};
use crate::{lingering, ready, table};

next! {
    fn next_poll = c"poll"(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int;
    fn next_ppoll = c"ppoll"(fds: *mut pollfd, n: nfds_t, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

/// A `timespec` or `timeval`: with words of a C long, or, where those have 32
/// bits, of 64 bits for the functions of the new time_t.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Time<W> {
    pub(crate) sec: W,
    pub(crate) part: W,
}

/// What a [`Time`] is made of.
pub(crate) trait Word: Copy + From<i32> + Into<i64> {}
impl Word for i32 {}
impl Word for i64 {}

/// The pointer that a C function takes for an optional time.
pub(crate) fn pointer<W>(time: &Option<Time<W>>) -> *const Time<W> {
    time.as_ref().map_or(core::ptr::null(), |time| time)
}

/// The end of a wait, in milliseconds of the monotonic clock.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(Option<i64>);

impl Deadline {
    /// `ms` from now; none if negative.
    pub(crate) fn after_ms(ms: i64) -> Self {
        Deadline((ms >= 0).then(|| sys::now_ms().saturating_add(ms)))
    }

    /// The time to wait, with a part of so many nanoseconds, rounded up; none
    /// if null.
    ///
    /// # Safety
    /// The pointer is null or valid.
    #[inline(never)]
    pub(crate) unsafe fn of<W: Word>(timeout: *const Time<W>, nanos: i64) -> Self {
        // SAFETY: the caller's promise.
        let Some(time) = (unsafe { timeout.as_ref() }) else {
            return Deadline(None);
        };
        // On 32-bit targets half of a wide part is padding.
        let part = i64::from(Into::<i64>::into(time.part) as i32) * nanos;
        let ms = Into::<i64>::into(time.sec).saturating_mul(1000);
        Deadline::after_ms(ms.saturating_add((part + 999_999) / 1_000_000).max(0))
    }

    /// How long to wait at a time, as poll takes it.
    #[inline(never)]
    pub(crate) fn left_ms(self) -> c_int {
        lingering::slice(self.0.map_or(-1, |end| {
            (end - sys::now_ms()).clamp(0, i64::from(c_int::MAX)) as c_int
        }))
    }

    /// How long to wait at a time, in seconds and parts of so many nanoseconds.
    pub(crate) fn left<W: Word>(self, nanos: i32) -> Option<Time<W>> {
        let ms = self.left_ms();
        (ms >= 0).then(|| Time {
            sec: W::from(ms / 1000),
            part: W::from(ms % 1000 * (1_000_000 / nanos)),
        })
    }

    /// True once it has passed.
    #[inline(never)]
    pub(crate) fn is_past(self) -> bool {
        self.0.is_some_and(|end| end <= sys::now_ms())
    }
}

/// Takes back what the kernel said of connections that have no payload;
/// returns how many entries are left.
#[inline(never)]
fn filter(entries: &mut [pollfd]) -> c_int {
    let mut ready = 0;
    for entry in entries {
        table::touch(entry.fd);
        if entry.revents & (POLLIN | POLLRDNORM) != 0
            && let Some(connection) = table::find(entry.fd)
            && !ready::is_readable(&connection, entry.fd)
        {
            entry.revents &= !(POLLIN | POLLRDNORM);
        }
        ready += c_int::from(entry.revents != 0);
    }
    ready
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
    loop {
        lingering::tend();
        let result = kernel();
        if result < 0 {
            return result;
        }
        let ready = filter(entries);
        if ready > 0 || deadline.is_past() {
            return ready;
        }
    }
}

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int {
    if n == 0 || fds.is_null() || lingering::is_all_foreign() {
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
    timeout: *const Time<c_long>,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe { ppoll_with(fds, n, timeout, |left| next_ppoll(fds, n, left, mask)) }
}

/// ppoll of either width of time.
///
/// # Safety
/// As ppoll demands of its arguments.
pub(crate) unsafe fn ppoll_with<W: Word>(
    fds: *mut pollfd,
    n: nfds_t,
    timeout: *const Time<W>,
    mut kernel: impl FnMut(*const Time<W>) -> c_int,
) -> c_int {
    if n == 0 || fds.is_null() || lingering::is_all_foreign() {
        return kernel(timeout);
    }
    // SAFETY: the caller's promise.
    unsafe {
        let deadline = Deadline::of(timeout, 1);
        wait(fds, n, deadline, || kernel(pointer(&deadline.left(1))))
    }
}
