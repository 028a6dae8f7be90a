//! The names that the same calls have on 32-bit targets where time_t has 64 bits: `__select64` and
//! its like in glibc, `__select_time64` in musl.

use core::ffi::{c_int, c_uint};

use libc::{c_void, epoll_event, fd_set, mmsghdr, msghdr, nfds_t, pollfd, sigset_t, ssize_t};

use super::{descriptors, fortify, read, write};
use crate::ready::{Time, epoll, poll, select};
use crate::sys::next;

/// One call under the name of one C library.
macro_rules! waits {
    ($(($select:ident $select_c:literal $pselect:ident $pselect_c:literal
        $ppoll:ident $ppoll_c:literal $next_select:ident $next_pselect:ident $next_ppoll:ident))*) => {$(
        next! {
            fn $next_select = $select_c(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *mut Time<i64>) -> c_int;
            fn $next_pselect = $pselect_c(n: c_int, reads: *mut fd_set, writes: *mut fd_set, others: *mut fd_set, timeout: *const Time<i64>, mask: *const sigset_t) -> c_int;
            fn $next_ppoll = $ppoll_c(fds: *mut pollfd, n: nfds_t, timeout: *const Time<i64>, mask: *const sigset_t) -> c_int;
        }

        /// select(2).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $select(
            n: c_int,
            reads: *mut fd_set,
            writes: *mut fd_set,
            others: *mut fd_set,
            timeout: *mut Time<i64>,
        ) -> c_int {
            // SAFETY: passed on.
            unsafe {
                select::select_with(n, [reads, writes, others], timeout, || {
                    $next_select(n, reads, writes, others, timeout)
                })
            }
        }

        /// pselect(2).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $pselect(
            n: c_int,
            reads: *mut fd_set,
            writes: *mut fd_set,
            others: *mut fd_set,
            timeout: *const Time<i64>,
            mask: *const sigset_t,
        ) -> c_int {
            // SAFETY: passed on.
            unsafe {
                select::pselect_with(n, [reads, writes, others], timeout, |left| {
                    $next_pselect(n, reads, writes, others, left, mask)
                })
            }
        }

        /// ppoll(2).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $ppoll(
            fds: *mut pollfd,
            n: nfds_t,
            timeout: *const Time<i64>,
            mask: *const sigset_t,
        ) -> c_int {
            // SAFETY: passed on.
            unsafe {
                poll::ppoll_with(fds, n, timeout, |left| $next_ppoll(fds, n, left, mask))
            }
        }
    )*};
}

#[cfg(target_env = "gnu")]
waits! {
    (__select64 c"__select64" __pselect64 c"__pselect64" __ppoll64 c"__ppoll64"
        next_select next_pselect next_ppoll)
}
#[cfg(target_env = "musl")]
waits! {
    (__select_time64 c"__select_time64" __pselect_time64 c"__pselect_time64"
        __ppoll_time64 c"__ppoll_time64" next_select next_pselect next_ppoll)
}

next! {
    fn next_pwait2 = c"__epoll_pwait2_time64"(epoll: c_int, events: *mut epoll_event, n: c_int, timeout: *const Time<i64>, mask: *const sigset_t) -> c_int;
}

/// epoll_pwait2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __epoll_pwait2_time64(
    epoll: c_int,
    events: *mut epoll_event,
    n: c_int,
    timeout: *const Time<i64>,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        epoll::pwait2_with(epoll, events, timeout, |left| {
            next_pwait2(epoll, events, n, left, mask)
        })
    }
}

/// fcntl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __fcntl_time64(fd: c_int, command: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: passed on.
    unsafe { descriptors::fcntl64(fd, command, arg) }
}

/// ioctl(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ioctl_time64(
    fd: c_int,
    request: libc::c_ulong,
    arg: *mut c_void,
) -> c_int {
    // SAFETY: passed on.
    unsafe { descriptors::ioctl(fd, request, arg) }
}

/// recvmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __recvmsg64(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    unsafe { read::recvmsg(fd, message, flags) }
}

/// sendmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sendmsg64(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    unsafe { write::sendmsg(fd, message, flags) }
}

/// recvmmsg(2) under the name of one C library.
macro_rules! recvmmsg {
    ($name:ident $symbol:literal) => {
        next! {
            fn next_recvmmsg = $symbol(fd: c_int, messages: *mut mmsghdr, n: c_uint, flags: c_int, timeout: *mut c_void) -> c_int;
        }

        /// recvmmsg(2).
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            fd: c_int,
            messages: *mut mmsghdr,
            n: c_uint,
            flags: c_int,
            timeout: *mut c_void,
        ) -> c_int {
            // SAFETY: passed on.
            unsafe {
                read::recvmmsg_with(fd, messages, n, flags, || {
                    next_recvmmsg(fd, messages, n, flags, timeout)
                })
            }
        }
    };
}

#[cfg(target_env = "gnu")]
recvmmsg!(__recvmmsg64 c"__recvmmsg64");
#[cfg(target_env = "musl")]
recvmmsg!(__recvmmsg_time64 c"__recvmmsg_time64");

/// sendmmsg(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __sendmmsg64(
    fd: c_int,
    messages: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: passed on.
    unsafe { write::sendmmsg(fd, messages, n, flags) }
}

/// ppoll(2), checked.
#[cfg(target_env = "gnu")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn __ppoll64_chk(
    fds: *mut pollfd,
    n: nfds_t,
    timeout: *const Time<i64>,
    mask: *const sigset_t,
    room: libc::size_t,
) -> c_int {
    fortify::check(n as libc::size_t, room / size_of::<pollfd>());
    // SAFETY: passed on.
    unsafe { __ppoll64(fds, n, timeout, mask) }
}
