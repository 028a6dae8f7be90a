//! poll and ppoll.

use core::ffi::c_int;

use libc::{POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM, c_long, nfds_t, pollfd, sigset_t};

use crate::connection::touch;
use crate::ready::{Deadline, Findings, Time, Truth, Word, ask, is_all_foreign, pointer};
use crate::sys::next;

next! {
    fn next_poll = c"poll"(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int;
    fn next_ppoll = c"ppoll"(fds: *mut pollfd, n: nfds_t, timeout: *const Time<c_long>, mask: *const sigset_t) -> c_int;
}

/// Takes back what the kernel said and is not true; returns how many entries are left.
#[inline(never)]
fn filter(entries: &mut [pollfd], findings: &mut Findings) -> c_int {
    let mut ready = 0;
    for entry in entries {
        touch(entry.fd);
        if entry.revents != 0 {
            let readable = POLLIN | POLLRDNORM;
            match findings.judge(entry.fd, entry.revents & readable != 0) {
                Truth::All => {}
                Truth::NotReadable => entry.revents &= !readable,
                Truth::Nothing => entry.revents &= !(readable | POLLOUT | POLLWRNORM),
                Truth::Old => entry.revents = 0,
            }
        }
        ready += c_int::from(entry.revents != 0);
    }
    ready
}

/// One of these waits, around the kernel's.
///
/// # Safety
/// As poll demands of its arguments.
#[inline(never)]
unsafe fn wait(
    fds: *mut pollfd,
    n: nfds_t,
    deadline: Deadline,
    kernel: &mut dyn FnMut(Deadline) -> c_int,
) -> c_int {
    // SAFETY: the server's array; n is not 0 here.
    let entries = unsafe { core::slice::from_raw_parts_mut(fds, n as usize) };
    loop {
        let result = ask(deadline, kernel);
        if result < 0 {
            return result;
        }
        let mut findings = Findings::new();
        let ready = filter(entries, &mut findings);
        if ready > 0 || !findings.go_on(deadline) {
            return ready;
        }
    }
}

/// poll(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn poll(fds: *mut pollfd, n: nfds_t, timeout: c_int) -> c_int {
    if n == 0 || fds.is_null() || is_all_foreign() {
        // SAFETY: passed on.
        return unsafe { next_poll(fds, n, timeout) };
    }
    let deadline = Deadline::after_ms(i64::from(timeout));
    // SAFETY: passed on.
    unsafe {
        wait(fds, n, deadline, &mut |time| {
            next_poll(fds, n, time.left_ms())
        })
    }
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
    if n == 0 || fds.is_null() || is_all_foreign() {
        return kernel(timeout);
    }
    // SAFETY: the caller's promise.
    unsafe {
        let deadline = Deadline::of(timeout, 1);
        wait(fds, n, deadline, &mut |time| kernel(pointer(&time.left(1))))
    }
}
