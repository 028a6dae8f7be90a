//! write and its kin.
//!
//! SAFETY, of every call here: its arguments are the server's, and go on to
//! the C library, or to the connection under the same promises.

use core::ffi::{c_int, c_uint};

use libc::{
    EOPNOTSUPP, MSG_OOB, c_void, iovec, mmsghdr, msghdr, size_t, sockaddr, socklen_t, ssize_t,
};

use super::buffers;
use super::read::one_message;
use crate::connection::Ref;
use crate::handover;
use crate::output::Source;
use crate::sys::{Errno, next, to_c};
use crate::transmit;

next! {
    fn next_write = c"write"(fd: c_int, buf: *const c_void, n: size_t) -> ssize_t;
    fn next_writev = c"writev"(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t;
    fn next_send = c"send"(fd: c_int, buf: *const c_void, n: size_t, flags: c_int) -> ssize_t;
    fn next_sendto = c"sendto"(fd: c_int, buf: *const c_void, n: size_t, flags: c_int, address: *const sockaddr, len: socklen_t) -> ssize_t;
    fn next_sendmsg = c"sendmsg"(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t;
    fn next_sendmmsg = c"sendmmsg"(fd: c_int, messages: *mut mmsghdr, n: c_uint, flags: c_int) -> c_int;
}

/// Writes to a client, or has the kernel write.
fn writing(
    fd: c_int,
    flags: c_int,
    kernel: impl FnOnce() -> ssize_t,
    client: impl FnOnce(&Ref) -> Result<usize, Errno>,
) -> ssize_t {
    match handover::for_writing(fd, flags) {
        Ok(None) => kernel(),
        Ok(Some(connection)) => to_c(client(&connection)),
        Err(error) => to_c(Err(error)),
    }
}

/// # Safety
/// As the kernel demands of writev.
unsafe fn write_from(
    client: &Ref,
    fd: c_int,
    parts: *const iovec,
    n: usize,
    flags: c_int,
) -> Result<usize, Errno> {
    if flags & MSG_OOB != 0 {
        return Err(Errno(EOPNOTSUPP));
    }
    // SAFETY: the caller's promise.
    let parts = unsafe { buffers(parts, n) }?;
    transmit::write(client, fd, Source::new(parts), flags)
}

fn write_one(
    client: &Ref,
    fd: c_int,
    buf: *const c_void,
    n: size_t,
    flags: c_int,
) -> Result<usize, Errno> {
    let part = iovec {
        iov_base: buf.cast_mut(),
        iov_len: n,
    };
    // SAFETY: one buffer, which the server vouches for.
    unsafe { write_from(client, fd, &part, 1, flags) }
}

/// write(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(fd: c_int, buf: *const c_void, n: size_t) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_write(fd, buf, n) };
    writing(fd, 0, kernel, |client| write_one(client, fd, buf, n, 0))
}

/// writev(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(fd: c_int, parts: *const iovec, n: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_writev(fd, parts, n) };
    // SAFETY: the server's buffers; a negative number is too many.
    writing(fd, 0, kernel, |client| unsafe {
        write_from(client, fd, parts, n as usize, 0)
    })
}

/// send(2).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn send(fd: c_int, buf: *const c_void, n: size_t, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_send(fd, buf, n, flags) };
    writing(fd, flags, kernel, |client| {
        write_one(client, fd, buf, n, flags)
    })
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
    // SAFETY: passed on.
    let kernel = || unsafe { next_sendto(fd, buf, n, flags, address, len) };
    writing(fd, flags, kernel, |client| {
        write_one(client, fd, buf, n, flags)
    })
}

/// sendmsg(2); there is nowhere for control data to go.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> ssize_t {
    // SAFETY: passed on.
    let kernel = || unsafe { next_sendmsg(fd, message, flags) };
    // SAFETY: the server's message header, as the kernel would use it.
    writing(fd, flags, kernel, |client| unsafe {
        let message = &*message;
        let n = message.msg_iovlen as usize;
        write_from(client, fd, message.msg_iov, n, flags)
    })
}

/// sendmmsg(2): one message at a time, which is always allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    n: c_uint,
    flags: c_int,
) -> c_int {
    match handover::for_writing(fd, flags) {
        Ok(Some(_)) if n > 0 => {}
        // SAFETY: passed on.
        Ok(_) => return unsafe { next_sendmmsg(fd, messages, n, flags) },
        Err(error) => return to_c(Err(error)) as c_int,
    }
    // SAFETY: the server's messages, of which there is one at least.
    unsafe { one_message(messages, sendmsg(fd, &raw const (*messages).msg_hdr, flags)) }
}
