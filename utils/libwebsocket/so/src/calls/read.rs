//! read and its kin.
//!
//! SAFETY, of every call here: its arguments are the server's, and go on to
//! the C library, or to the connection under the same promises.

use core::ffi::{c_int, c_uint};

use libc::{
    EOPNOTSUPP, MSG_OOB, c_void, iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t,
};

use super::buffers;
use crate::connection::Ref;
use crate::receive::{self, Buffer};
use crate::sys::{Errno, next, to_c};
use crate::{handover, hold};

next! {
    fn next_read = c"read"(fd: c_int, buf: *mut c_void, n: size_t) -> ssize_t;
    fn next_readv = c"readv"(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t;
    fn next_recv = c"recv"(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int) -> ssize_t;
    fn next_recvfrom = c"recvfrom"(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int, address: *mut sockaddr, len: *mut socklen_t) -> ssize_t;
    fn next_recvmsg = c"recvmsg"(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t;
    fn next_recvmmsg = c"recvmmsg"(fd: c_int, messages: *mut mmsghdr, n: c_uint, flags: c_int, timeout: *mut c_void) -> c_int;
}

/// Reads from a client, or has the kernel read.
fn reading(
    fd: c_int,
    flags: c_int,
    kernel: impl FnOnce() -> ssize_t,
    client: impl FnOnce(&Ref) -> Result<usize, Errno>,
) -> ssize_t {
    match handover::for_reading(fd, flags) {
        Ok(None) => {
            hold::push_all();
            kernel()
        }
        Ok(Some(connection)) => to_c(client(&connection)),
        Err(error) => to_c(Err(error)),
    }
}

// MSG_TRUNC is ignored, as by a UNIX stream; to TCP it would mean to drop the bytes.
fn read_one(
    client: &Ref,
    fd: c_int,
    buf: *mut c_void,
    n: size_t,
    flags: c_int,
) -> Result<usize, Errno> {
    if flags & MSG_OOB != 0 {
        return Err(Errno(EOPNOTSUPP));
    }
    let buffer = Buffer {
        start: buf.cast(),
        len: n,
    };
    receive::read(client, fd, buffer, flags)
}

/// Reads into the first buffer that has room; a short read is always allowed.
///
/// # Safety
/// As the kernel demands of readv.
unsafe fn read_into(
    client: &Ref,
    fd: c_int,
    parts: *const iovec,
    n: usize,
    flags: c_int,
) -> Result<usize, Errno> {
    // SAFETY: the caller's promise.
    let parts = unsafe { buffers(parts, n) }?;
    match parts.iter().find(|part| part.iov_len > 0) {
        Some(part) => read_one(client, fd, part.iov_base, part.iov_len, flags),
        None => Ok(0),
    }
}

/// read(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, n: size_t) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_read(fd, buf, n) };
    reading(fd, 0, kernel, |client| read_one(client, fd, buf, n, 0))
}

/// readv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_readv(fd, parts, n) };
    // SAFETY: the server's buffers; a negative number is too many.
    reading(fd, 0, kernel, |client| unsafe {
        read_into(client, fd, parts, n as usize, 0)
    })
}

/// recv(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, n: size_t, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_recv(fd, buf, n, flags) };
    reading(fd, flags, kernel, |client| {
        read_one(client, fd, buf, n, flags)
    })
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
    // SAFETY: passed on.
    let kernel = || unsafe { next_recvfrom(fd, buf, n, flags, address, len) };
    reading(fd, flags, kernel, |client| {
        if !len.is_null() {
            // SAFETY: the server's own variable.
            unsafe { *len = 0 };
        }
        read_one(client, fd, buf, n, flags)
    })
}

/// recvmsg(2); neither address nor control data come with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_recvmsg(fd, message, flags) };
    // SAFETY: the server's message header, as the kernel would use it.
    reading(fd, flags, kernel, |client| unsafe {
        let message = &mut *message;
        message.msg_namelen = 0;
        message.msg_controllen = 0;
        message.msg_flags = 0;
        let n = message.msg_iovlen as usize;
        read_into(client, fd, message.msg_iov, n, flags)
    })
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
    match handover::for_reading(fd, flags) {
        Ok(Some(_)) if n > 0 => {}
        Ok(_) => return kernel(),
        Err(error) => return to_c(Err(error)) as c_int,
    }
    // SAFETY: the caller's promise.
    unsafe { one_message(messages, recvmsg(fd, &raw mut (*messages).msg_hdr, flags)) }
}

/// How many of the messages were done, of which the first has `n` bytes.
///
/// # Safety
/// There is one.
pub(crate) unsafe fn one_message(messages: *mut mmsghdr, n: ssize_t) -> c_int {
    if n < 0 {
        return -1;
    }
    // SAFETY: the caller's promise.
    unsafe { (*messages).msg_len = n as c_uint };
    1
}
