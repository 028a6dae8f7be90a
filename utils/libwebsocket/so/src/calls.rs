//! read and write and their kin: a connection's go through frames.

use core::ffi::{c_int, c_uint};

use libc::{
    EINVAL, EOPNOTSUPP, MSG_OOB, c_void, iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t,
    ssize_t,
};

use crate::rx::{self, Buffer};
use crate::sys::{Errno, next, to_c};
use crate::table::{self, Ref};
use crate::tx::{self, Source};

/// Most buffers of one call (the kernel's UIO_MAXIOV).
const MAX_BUFFERS: usize = 1024;

next! {
    fn next_read = c"read"(fd: c_int, buf: *mut c_void, n: size_t) -> ssize_t;
    fn next_readv = c"readv"(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t;
    fn next_recv = c"recv"(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int) -> ssize_t;
    fn next_recvfrom = c"recvfrom"(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int, address: *mut sockaddr, len: *mut socklen_t) -> ssize_t;
    fn next_recvmsg = c"recvmsg"(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    fn next_write = c"write"(fd: c_int, buf: *const c_void, n: size_t) -> ssize_t;
    fn next_writev = c"writev"(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t;
    fn next_send = c"send"(fd: c_int, buf: *const c_void, n: size_t, flags: c_int) -> ssize_t;
    fn next_sendto = c"sendto"(fd: c_int, buf: *const c_void, n: size_t, flags: c_int, address: *const sockaddr, len: socklen_t) -> ssize_t;
    fn next_sendmsg = c"sendmsg"(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    fn next_recvmmsg = c"recvmmsg"(fd: c_int, messages: *mut mmsghdr, n: c_uint, flags: c_int, timeout: *mut c_void) -> c_int;
    fn next_sendmmsg = c"sendmmsg"(fd: c_int, messages: *mut mmsghdr, n: c_uint, flags: c_int) -> c_int;
    fn next_sendfile = c"sendfile"(to: c_int, from: c_int, offset: *mut libc::off_t, n: size_t) -> ssize_t;
    fn next_sendfile64 = c"sendfile64"(to: c_int, from: c_int, offset: *mut i64, n: size_t) -> ssize_t;
    fn next_splice = c"splice"(from: c_int, from_offset: *mut i64, to: c_int, to_offset: *mut i64, n: size_t, flags: c_uint) -> ssize_t;
}

fn read_one(connection: &Ref, fd: c_int, buf: *mut c_void, n: size_t, flags: c_int) -> ssize_t {
    if flags & MSG_OOB != 0 {
        return to_c(Err(Errno(EOPNOTSUPP)));
    }
    to_c(rx::read(
        connection,
        fd,
        Buffer {
            start: buf.cast(),
            len: n,
        },
        flags,
    ))
}

/// The buffers of one call, if there may be so many.
///
/// # Safety
/// As the kernel demands of readv and writev.
unsafe fn buffers<'a>(parts: *const iovec, n: usize) -> Result<&'a [iovec], Errno> {
    match n {
        0 => Ok(&[]),
        // SAFETY: the caller's promise.
        1..=MAX_BUFFERS => Ok(unsafe { core::slice::from_raw_parts(parts, n) }),
        _ => Err(Errno(EINVAL)),
    }
}

/// Reads into the first buffer that has room; a short read is always allowed.
///
/// # Safety
/// As the kernel demands of readv.
unsafe fn read_into(
    connection: &Ref,
    fd: c_int,
    parts: *const iovec,
    n: usize,
    flags: c_int,
) -> ssize_t {
    // SAFETY: the caller's promise.
    match unsafe { buffers(parts, n) } {
        Err(error) => to_c(Err(error)),
        Ok(parts) => match parts.iter().find(|part| part.iov_len > 0) {
            Some(part) => read_one(connection, fd, part.iov_base, part.iov_len, flags),
            None => 0,
        },
    }
}

/// # Safety
/// As the kernel demands of writev.
unsafe fn write_from(
    connection: &Ref,
    fd: c_int,
    parts: *const iovec,
    n: usize,
    flags: c_int,
) -> ssize_t {
    if flags & MSG_OOB != 0 {
        return to_c(Err(Errno(EOPNOTSUPP)));
    }
    // SAFETY: the caller's promise.
    let parts = unsafe { buffers(parts, n) };
    to_c(parts.and_then(|parts| tx::write(connection, fd, Source::new(parts), flags)))
}

fn write_one(connection: &Ref, fd: c_int, buf: *const c_void, n: size_t, flags: c_int) -> ssize_t {
    let part = iovec {
        iov_base: buf.cast_mut(),
        iov_len: n,
    };
    // SAFETY: one buffer, which the server vouches for.
    unsafe { write_from(connection, fd, &part, 1, flags) }
}

// SAFETY, of every call below: its arguments are the server's, and go on to
// libc, or to the connection under the same promises.

/// read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, n: size_t) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_read(fd, buf, n) },
        Some(connection) => read_one(&connection, fd, buf, n, 0),
    }
}

/// readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_readv(fd, parts, n) },
        // SAFETY: the server's buffers; a negative number is too many.
        Some(connection) => unsafe { read_into(&connection, fd, parts, n as usize, 0) },
    }
}

/// recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_recv(fd, buf, n, flags) },
        Some(connection) => read_one(&connection, fd, buf, n, flags),
    }
}

/// recvfrom(2); a stream has no address to tell.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    flags: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> ssize_t {
    let Some(connection) = table::find(fd) else {
        // SAFETY: passed on.
        return unsafe { next_recvfrom(fd, buf, n, flags, address, len) };
    };
    if !len.is_null() {
        // SAFETY: the server's own variable.
        unsafe { *len = 0 };
    }
    read_one(&connection, fd, buf, n, flags)
}

/// recvmsg(2); neither address nor control data come with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    let Some(connection) = table::find(fd) else {
        // SAFETY: passed on.
        return unsafe { next_recvmsg(fd, message, flags) };
    };
    // SAFETY: the server's message header, as the kernel would use it.
    unsafe {
        let message = &mut *message;
        message.msg_namelen = 0;
        message.msg_controllen = 0;
        message.msg_flags = 0;
        read_into(
            &connection,
            fd,
            message.msg_iov,
            message.msg_iovlen as usize,
            flags,
        )
    }
}

/// write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buf: *const c_void, n: size_t) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_write(fd, buf, n) },
        Some(connection) => write_one(&connection, fd, buf, n, 0),
    }
}

/// writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_writev(fd, parts, n) },
        // SAFETY: the server's buffers; a negative number is too many.
        Some(connection) => unsafe { write_from(&connection, fd, parts, n as usize, 0) },
    }
}

/// send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, buf: *const c_void, n: size_t, flags: c_int) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_send(fd, buf, n, flags) },
        Some(connection) => write_one(&connection, fd, buf, n, flags),
    }
}

/// sendto(2); a connected stream ignores the address.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    n: size_t,
    flags: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> ssize_t {
    match table::find(fd) {
        // SAFETY: passed on.
        None => unsafe { next_sendto(fd, buf, n, flags, address, len) },
        Some(connection) => write_one(&connection, fd, buf, n, flags),
    }
}

/// sendmsg(2); there is nowhere for control data to go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    let Some(connection) = table::find(fd) else {
        // SAFETY: passed on.
        return unsafe { next_sendmsg(fd, message, flags) };
    };
    // SAFETY: the server's message header, as the kernel would use it.
    unsafe {
        let message = &*message;
        write_from(
            &connection,
            fd,
            message.msg_iov,
            message.msg_iovlen as usize,
            flags,
        )
    }
}

/// recvmmsg(2): one message at a time, which is always allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
    timeout: *mut c_void,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        recvmmsg_with(fd, messages, n, flags, || {
            next_recvmmsg(fd, messages, n, flags, timeout)
        })
    }
}

/// recvmmsg with a timeout of either width.
///
/// # Safety
/// As recvmmsg demands of its arguments.
pub(crate) unsafe fn recvmmsg_with(
    fd: c_int,
    messages: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
    kernel: impl FnOnce() -> c_int,
) -> c_int {
    if !table::has(fd) || n == 0 {
        return kernel();
    }
    // SAFETY: the caller's promise.
    unsafe { one(messages, recvmsg(fd, &raw mut (*messages).msg_hdr, flags)) }
}

/// sendmmsg(2), as [`recvmmsg`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: passed on.
    unsafe {
        if !table::has(fd) || n == 0 {
            return next_sendmmsg(fd, messages, n, flags);
        }
        one(messages, sendmsg(fd, &raw const (*messages).msg_hdr, flags))
    }
}

/// How many of the messages were done, of which the first has `n` bytes.
///
/// # Safety
/// There is one.
unsafe fn one(messages: *mut mmsghdr, n: ssize_t) -> c_int {
    if n < 0 {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { (*messages).msg_len = n as c_uint };
    1
}

/// sendfile(2) would bypass the frames; EINVAL makes programs fall back to
/// reading and writing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile(
    to: c_int,
    from: c_int,
    offset: *mut libc::off_t,
    n: size_t,
) -> ssize_t {
    if is_connection(to) || is_connection(from) {
        return to_c(Err(Errno(EINVAL)));
    }
    // SAFETY: passed on.
    unsafe { next_sendfile(to, from, offset, n) }
}

/// The 64-bit name of [`sendfile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendfile64(
    to: c_int,
    from: c_int,
    offset: *mut i64,
    n: size_t,
) -> ssize_t {
    if is_connection(to) || is_connection(from) {
        return to_c(Err(Errno(EINVAL)));
    }
    // SAFETY: passed on.
    unsafe { next_sendfile64(to, from, offset, n) }
}

/// splice(2), as [`sendfile`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut i64,
    to: c_int,
    to_offset: *mut i64,
    n: size_t,
    flags: c_uint,
) -> ssize_t {
    if is_connection(to) || is_connection(from) {
        return to_c(Err(Errno(EINVAL)));
    }
    // SAFETY: passed on.
    unsafe { next_splice(from, from_offset, to, to_offset, n, flags) }
}

fn is_connection(fd: c_int) -> bool {
    table::find(fd).is_some()
}
