//! Descriptors come and go: close, shutdown, dup, and the rest of fcntl and ioctl that concerns a
//! connection.

use core::ffi::{c_int, c_uint, c_ulong};
use core::sync::atomic::Ordering;

use libc::c_void;

use crate::closing::{self, forget};
use crate::connection::{CONNECTIONS, client};
use crate::sys::{self, next, process};
use crate::{handover, lookahead};

next! {
    fn next_close_range = c"close_range"(first: c_uint, last: c_uint, flags: c_int) -> c_int;
    fn next_closefrom = c"closefrom"(first: c_int) -> ();
    fn next_dup = c"dup"(fd: c_int) -> c_int;
    fn next_dup2 = c"dup2"(old: c_int, new: c_int) -> c_int;
    fn next_fcntl = c"fcntl"(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn next_fcntl64 = c"fcntl64"(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn next_ioctl = c"ioctl"(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int;
}

/// The descriptors from `first` to `last` are about to close.
fn forget_range(first: c_uint, last: c_uint) {
    CONNECTIONS.for_each(&mut |fd, _| {
        if (first..=last).contains(&(fd as c_uint)) {
            forget(fd);
        }
    });
}

/// The descriptor `new` is about to become `old`, unless that is going to fail.
fn forget_replaced(old: c_int, new: c_int, flags: c_int) {
    // SAFETY: F_GETFD takes no argument.
    let is_open = || unsafe { sys::fcntl(old, libc::F_GETFD, 0) } >= 0;
    if CONNECTIONS.has(new) && old != new && flags & !libc::O_CLOEXEC == 0 && is_open() {
        forget(new);
    }
}

/// A new descriptor of an old one's connection.
fn share(old: c_int, new: c_int) -> c_int {
    if new >= 0
        && new != old
        && process::is_owner()
        && let Some(connection) = CONNECTIONS.find(old)
    {
        CONNECTIONS.share(new, &connection);
    }
    new
}

/// close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    forget(fd);
    // SAFETY: passed on.
    unsafe { sys::close(fd) }
}

/// close_range(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    before_close_range(first, last, flags);
    // SAFETY: passed on.
    unsafe { next_close_range(first, last, flags) }
}

/// Nothing is closed with CLOSE_RANGE_CLOEXEC, or flags that are unknown.
pub(crate) fn before_close_range(first: c_uint, last: c_uint, flags: c_int) {
    if flags & !(libc::CLOSE_RANGE_UNSHARE as c_int) == 0 {
        forget_range(first, last);
    }
}

/// closefrom(3).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn closefrom(first: c_int) {
    forget_range(first.max(0) as c_uint, c_uint::MAX);
    // SAFETY: passed on.
    unsafe { next_closefrom(first) }
}

/// shutdown(2): the end of the server's stream is a Close frame, and TCP's own end of stream waits
/// until the client has sent its Close too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    // Where nothing has come yet, it is the kernel's: a server that writes no more will not serve
    // what comes.
    if let Some(connection) = handover::for_writing(fd, 0).unwrap_or_default() {
        connection.touch();
        if matches!(how, libc::SHUT_WR | libc::SHUT_RDWR) {
            closing::end_output(&connection, fd);
        }
        if how == libc::SHUT_WR && !closing::is_over(&connection) {
            return 0;
        }
    }
    // SAFETY: passed on.
    unsafe { sys::shutdown(fd, how) }
}

/// dup(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup(fd: c_int) -> c_int {
    // SAFETY: passed on.
    share(fd, unsafe { next_dup(fd) })
}

/// dup2(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup2(old: c_int, new: c_int) -> c_int {
    forget_replaced(old, new, 0);
    // SAFETY: passed on.
    share(old, unsafe { next_dup2(old, new) })
}

/// dup3(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn dup3(old: c_int, new: c_int, flags: c_int) -> c_int {
    forget_replaced(old, new, flags);
    // SAFETY: passed on.
    share(old, unsafe { sys::dup3(old, new, flags) })
}

fn after_fcntl(fd: c_int, command: c_int, arg: *mut c_void, result: c_int) -> c_int {
    match command {
        libc::F_DUPFD | libc::F_DUPFD_CLOEXEC => return share(fd, result),
        libc::F_SETFL if result == 0 => {
            set_nonblocking(fd, arg as usize as c_int & libc::O_NONBLOCK != 0);
        }
        _ => {}
    }
    result
}

fn set_nonblocking(fd: c_int, on: bool) {
    if let Some(connection) = CONNECTIONS.find(fd) {
        connection.nonblocking.store(on, Ordering::Relaxed);
    }
}

/// fcntl(2). Its variable argument is one word on every ABI we run on.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl(fd: c_int, command: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: passed on.
    after_fcntl(fd, command, arg, unsafe { next_fcntl(fd, command, arg) })
}

/// The 64-bit name of [`fcntl`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, arg: *mut c_void) -> c_int {
    // SAFETY: passed on.
    after_fcntl(fd, command, arg, unsafe { next_fcntl64(fd, command, arg) })
}

/// ioctl(2): FIONREAD tells what a read would give, and FIONBIO is noted.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int {
    if request as u32 == libc::FIONREAD as u32 {
        handover::for_asking(fd);
    }
    // SAFETY: passed on.
    let result = unsafe { next_ioctl(fd, request, arg) };
    let number: *mut c_int = arg.cast();
    if result == 0 && request as u32 == libc::FIONBIO as u32 {
        // SAFETY: the kernel has just read an int there.
        set_nonblocking(fd, unsafe { *number } != 0);
    }
    if result == 0
        && request as u32 == libc::FIONREAD as u32
        && let Some(connection) = client(fd)
    {
        // SAFETY: the kernel has just written an int there.
        unsafe { *number = lookahead::available(&connection, fd, *number) };
    }
    result
}
