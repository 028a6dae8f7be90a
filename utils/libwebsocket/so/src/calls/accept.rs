//! accept: puts what is accepted into the table, and takes the client in if it is there already.

use core::ffi::c_int;

use libc::{SOCK_NONBLOCK, sockaddr, socklen_t};

use crate::sys::{self, Errno, KeepErrno, next, to_c};
use crate::{fork, handover, hold, lingering};

next! {
    fn next_accept = c"accept"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
    fn next_accept4 = c"accept4"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t, flags: c_int) -> c_int;
}

/// accept(2). The address is the one that the kernel gives for a UNIX client.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept(
    listener: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    hold::push_all();
    // SAFETY: the caller's arguments, passed on.
    step_in(unsafe { next_accept(listener, address, len) }, 0)
}

/// accept4(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn accept4(
    listener: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    hold::push_all();
    // SAFETY: the caller's arguments, passed on.
    let fd = unsafe { next_accept4(listener, address, len, flags) };
    step_in(fd, flags)
}

/// A fresh connection, of which it is not known yet what it is.
fn step_in(fd: c_int, flags: c_int) -> c_int {
    lingering::tend();
    let is_expected = || {
        sys::socket_option(fd, libc::SO_DOMAIN) == Some(libc::AF_UNIX)
            && sys::socket_option(fd, libc::SO_TYPE) == Some(libc::SOCK_STREAM)
    };
    let _errno = KeepErrno::new();
    if fd < 0 || !is_expected() {
        return fd;
    }
    fork::watch();
    match handover::expect(fd, flags & SOCK_NONBLOCK != 0) {
        Some(connection) => {
            handover::look(&connection, fd);
            fd
        }
        None => {
            // SAFETY: the connection is known to nobody else.
            unsafe { sys::close(fd) };
            drop(_errno);
            to_c(Err(Errno(libc::ENOMEM))) as c_int
        }
    }
}
