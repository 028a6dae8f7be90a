//! The names that `_FORTIFY_SOURCE` gives the same calls: the compiler knows the buffer's size and
//! has it checked first.

use core::ffi::c_int;

use libc::{c_long, c_void, nfds_t, pollfd, sigset_t, size_t, sockaddr, socklen_t, ssize_t};

use super::read;
use crate::ready::{Time, poll};

/// Ends the program, as glibc does, where a call could overrun its buffer.
pub(crate) fn check(wanted: size_t, room: size_t) {
    if wanted > room {
        // SAFETY: abort has no preconditions.
        unsafe { libc::abort() }
    }
}

/// read(2), checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __read_chk(
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    room: size_t,
) -> ssize_t {
    check(n, room);
    // SAFETY: passed on.
    unsafe { read::read(fd, buf, n) }
}

/// recv(2), checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recv_chk(
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    room: size_t,
    flags: c_int,
) -> ssize_t {
    check(n, room);
    // SAFETY: passed on.
    unsafe { read::recv(fd, buf, n, flags) }
}

/// recvfrom(2), checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    room: size_t,
    flags: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    check(n, room);
    // SAFETY: passed on.
    unsafe { read::recvfrom(fd, buf, n, flags, address, len) }
}

/// poll(2), checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __poll_chk(
    fds: *mut pollfd,
    n: nfds_t,
    timeout: c_int,
    room: size_t,
) -> c_int {
    check(n as size_t, room / size_of::<pollfd>());
    // SAFETY: passed on.
    unsafe { poll::poll(fds, n, timeout) }
}

/// ppoll(2), checked.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll_chk(
    fds: *mut pollfd,
    n: nfds_t,
    timeout: *const Time<c_long>,
    mask: *const sigset_t,
    room: size_t,
) -> c_int {
    check(n as size_t, room / size_of::<pollfd>());
    // SAFETY: passed on.
    unsafe { poll::ppoll(fds, n, timeout, mask) }
}
