//! Descriptors come and go: close, shutdown, dup, and the rest of fcntl and
//! ioctl that concerns a connection.

use core::ffi::{c_int, c_long, c_uint, c_ulong};
use core::sync::atomic::Ordering;

use libc::{FILE, c_void, sockaddr, socklen_t};

use crate::sys::{self, next};
use crate::{accept, closing, epoll, ready, table};

next! {
    #[allow(clippy::too_many_arguments)]
    fn next_syscall = c"syscall"(number: c_long, a: c_long, b: c_long, c: c_long, d: c_long, e: c_long, f: c_long, g: c_long) -> c_long;
    fn next_close = c"close"(fd: c_int) -> c_int;
    fn next_close_range = c"close_range"(first: c_uint, last: c_uint, flags: c_int) -> c_int;
    fn next_closefrom = c"closefrom"(first: c_int) -> ();
    fn next_fclose = c"fclose"(stream: *mut FILE) -> c_int;
    fn next_shutdown = c"shutdown"(fd: c_int, how: c_int) -> c_int;
    fn next_dup = c"dup"(fd: c_int) -> c_int;
    fn next_dup2 = c"dup2"(old: c_int, new: c_int) -> c_int;
    fn next_dup3 = c"dup3"(old: c_int, new: c_int, flags: c_int) -> c_int;
    fn next_fcntl = c"fcntl"(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn next_fcntl64 = c"fcntl64"(fd: c_int, command: c_int, arg: *mut c_void) -> c_int;
    fn next_ioctl = c"ioctl"(fd: c_int, request: c_ulong, arg: *mut c_void) -> c_int;
    fn next_getpeername = c"getpeername"(fd: c_int, address: *mut sockaddr, len: *mut socklen_t) -> c_int;
}

/// The descriptor is about to go: out of the table, and if it was the last of
/// its connection, the closing handshake. A vfork child does nothing of this:
/// the memory is its parent's.
fn forget(fd: c_int) {
    if !table::has(fd) || !table::is_our_process() {
        return;
    }
    if let Some((connection, last)) = table::remove(fd) {
        let ours = connection.is_ours();
        epoll::forget(&connection, fd);
        if last && ours {
            closing::finish(connection, fd);
        }
    }
}

/// The same of every descriptor from `first` to `last`.
fn forget_range(first: c_uint, last: c_uint) {
    table::for_each(|fd, _| {
        if (first..=last).contains(&(fd as c_uint)) {
            forget(fd);
        }
    });
}

/// The same before `old` becomes `new`, unless that is going to fail.
fn forget_replaced(old: c_int, new: c_int, flags: c_int) {
    // SAFETY: F_GETFD takes no argument.
    let is_open = || unsafe { sys::fcntl(old, libc::F_GETFD, 0) } >= 0;
    if table::has(new) && old != new && flags & !libc::O_CLOEXEC == 0 && is_open() {
        forget(new);
    }
}

/// A new descriptor of an old one's connection.
fn share(old: c_int, new: c_int) -> c_int {
    if new >= 0
        && new != old
        && table::is_our_process()
        && let Some(connection) = table::find(old)
    {
        table::share(new, &connection);
    }
    new
}

/// close(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(fd: c_int) -> c_int {
    forget(fd);
    // SAFETY: passed on.
    unsafe { next_close(fd) }
}

/// close_range(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn close_range(first: c_uint, last: c_uint, flags: c_int) -> c_int {
    before_close_range(first, last, flags);
    // SAFETY: passed on.
    unsafe { next_close_range(first, last, flags) }
}

/// Nothing is closed with CLOSE_RANGE_CLOEXEC, or flags that are unknown.
fn before_close_range(first: c_uint, last: c_uint, flags: c_int) {
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

/// fclose(3), of a stream that fdopen(3) has made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fclose(stream: *mut FILE) -> c_int {
    // SAFETY: passed on.
    unsafe {
        forget(libc::fileno(stream));
        next_fclose(stream)
    }
}

/// syscall(2), by which libuv closes. Its variable arguments are words; the
/// ones that were not given are passed on as they happen to be, and ignored.
#[unsafe(no_mangle)]
#[allow(clippy::too_many_arguments)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
    g: c_long,
) -> c_long {
    match number {
        libc::SYS_close => forget(a as c_int),
        libc::SYS_close_range => before_close_range(a as c_uint, b as c_uint, c as c_int),
        _ => {}
    }
    // SAFETY: passed on.
    unsafe { next_syscall(number, a, b, c, d, e, f, g) }
}

/// shutdown(2): the end of our stream is a Close frame, and TCP's own end of
/// stream waits until the client has sent its Close too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shutdown(fd: c_int, how: c_int) -> c_int {
    let Some(connection) = table::find(fd) else {
        // SAFETY: passed on.
        return unsafe { next_shutdown(fd, how) };
    };
    connection.touch();
    if matches!(how, libc::SHUT_WR | libc::SHUT_RDWR) {
        closing::end_output(&connection, fd, 0);
    }
    if how == libc::SHUT_WR && !closing::is_over(&connection) {
        return 0;
    }
    // SAFETY: passed on.
    unsafe { next_shutdown(fd, how) }
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
    share(old, unsafe { next_dup3(old, new, flags) })
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
    if let Some(connection) = table::find(fd) {
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
    // SAFETY: passed on.
    let result = unsafe { next_ioctl(fd, request, arg) };
    let number: *mut c_int = arg.cast();
    if result == 0 && request as u32 == libc::FIONBIO as u32 {
        // SAFETY: the kernel has just read an int there.
        set_nonblocking(fd, unsafe { *number } != 0);
    }
    if result == 0
        && request as u32 == libc::FIONREAD as u32
        && let Some(connection) = table::find(fd)
    {
        // SAFETY: the kernel has just written an int there.
        unsafe { *number = ready::available(&connection, fd, *number) };
    }
    result
}

/// getpeername(2): as with accept, a buffer of exactly a `sockaddr_un` gets a
/// UNIX address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpeername(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: passed on; what the kernel could write to, so can we.
    unsafe {
        let room = if len.is_null() { 0 } else { *len };
        let result = next_getpeername(fd, address, len);
        if result == 0 && table::has(fd) {
            accept::give_address(fd, address, len, room);
        }
        result
    }
}
