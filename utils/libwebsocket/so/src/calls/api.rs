//! websocket.h: the same connections, with messages, opcodes and close codes.
//!
//! The functions take the descriptor that `accept` or `websocket_accept` gave, so that a server
//! waits for it with poll as for any other.

use core::ffi::{c_char, c_int, c_uint};
use core::ptr::null;
use core::sync::atomic::Ordering;

use common::close;
use libc::{EINVAL, ENODATA, ENOTCONN, EPROTO, c_void, iovec, size_t, sockaddr, socklen_t, ssize_t};
use libwebsocket::Opcode;
use libwebsocket::frame::{FIN, MAX_CONTROL_PAYLOAD};

use super::{accept, descriptors, names};
use crate::connection::{CONNECTIONS, Ref, client};
use crate::receive::{self, Buffer};
use crate::sys::{self, Errno, to_c};
use crate::{control, fork, handover, transmit};

fn known(fd: c_int) -> Result<Ref, Errno> {
    client(fd).ok_or(Errno(ENOTCONN))
}

#[inline(never)]
fn reader(fd: c_int) -> Result<Ref, Errno> {
    handover::for_reading(fd, 0)?.ok_or(Errno(ENOTCONN))
}

#[inline(never)]
fn writer(fd: c_int) -> Result<Ref, Errno> {
    handover::for_writing(fd, 0)?.ok_or(Errno(ENOTCONN))
}

/// As accept(2), of handed-over clients only: a plain UNIX client is closed and gives EPROTO where
/// that shows at once. Later it counts as one that has left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_accept(
    listener: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's arguments, passed on.
    unsafe {
        let room = len.as_ref().copied();
        let fd = accept::accept4(listener, address, len, libc::SOCK_CLOEXEC);
        match CONNECTIONS.find(fd) {
            Some(connection) => {
                connection.messages.store(true, Ordering::Relaxed);
                if let (Some(room), true) = (room, connection.is_client()) {
                    *len = room;
                    names::getpeername(fd, address, len);
                }
                fd
            }
            None if fd >= 0 => {
                sys::close(fd);
                to_c(Err(Errno(EPROTO))) as c_int
            }
            None => fd,
        }
    }
}

/// Receives the client over a connection of the gateway that was accepted by other means; the
/// connection stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_receive(
    gateway: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    fork::watch();
    let result = handover::receive(gateway).map(|fd| {
        if !len.is_null() {
            // SAFETY: the caller's address and its length.
            unsafe { names::getpeername(fd, address, len) };
        }
        fd as usize
    });
    to_c(result) as c_int
}

/// 1 if the descriptor is a WebSocket connection, else 0.
#[unsafe(no_mangle)]
pub extern "C" fn websocket_is(fd: c_int) -> c_int {
    c_int::from(handover::for_asking(fd).is_some())
}

/// What the gateway has said of the client, by its number, as a string that lives as long as the
/// connection; null for what it has not said.
#[unsafe(no_mangle)]
pub extern "C" fn websocket_client_info(fd: c_int, what: c_int) -> *const c_char {
    let found = writer(fd).and_then(|connection| {
        let arrival = connection.arrival.lock();
        let value = arrival.told.as_ref().and_then(|told| told.find(what));
        value.ok_or(Errno(ENODATA))
    });
    found.unwrap_or_else(|error| {
        to_c(Err(error));
        null()
    })
}

/// Reads bytes of one message; `kind` gets its opcode, with FIN where the message ends.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_recv(
    fd: c_int,
    buf: *mut c_void,
    size: size_t,
    kind: *mut c_int,
) -> ssize_t {
    let buffer = Buffer {
        start: buf.cast(),
        len: size,
    };
    let result = reader(fd).and_then(|connection| {
        if size == 0 || kind.is_null() {
            return Err(Errno(EINVAL));
        }
        let (n, what) = receive::read_message(&connection, fd, buffer)?;
        // SAFETY: not null, and the caller's own variable.
        unsafe { *kind = c_int::from(what) };
        Ok(n)
    });
    to_c(result)
}

/// Sends one frame of a message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_send(
    fd: c_int,
    kind: c_int,
    buf: *const c_void,
    size: size_t,
) -> ssize_t {
    let result = writer(fd).and_then(|connection| {
        let bits = u8::try_from(kind).map_err(|_| Errno(EINVAL))?;
        let opcode = Opcode::from_bits(bits & !FIN).ok_or(Errno(EINVAL))?;
        let buffer = iovec {
            iov_base: buf.cast_mut(),
            iov_len: size,
        };
        transmit::write_message(&connection, fd, opcode, bits & FIN != 0, buffer)
    });
    to_c(result)
}

/// Sends a ping of up to 125 bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_ping(fd: c_int, buf: *const c_void, size: size_t) -> c_int {
    let result = writer(fd).and_then(|connection| {
        if size > MAX_CONTROL_PAYLOAD {
            return Err(Errno(EINVAL));
        }
        let payload = if size == 0 {
            &[]
        } else {
            // SAFETY: the caller's bytes.
            unsafe { core::slice::from_raw_parts(buf.cast::<u8>(), size) }
        };
        control::ping(&connection, fd, payload).map(|()| 0)
    });
    to_c(result) as c_int
}

/// How many pongs have come since the start.
#[unsafe(no_mangle)]
pub extern "C" fn websocket_pongs(fd: c_int) -> c_uint {
    known(fd).map_or(0, |connection| connection.pongs.load(Ordering::Relaxed))
}

/// How the client ended the connection: its close code, 1005 for a Close without one, 1006 for none
/// at all, 0 while it is open.
#[unsafe(no_mangle)]
pub extern "C" fn websocket_close_code(fd: c_int) -> c_int {
    let Ok(connection) = known(fd) else {
        return 0;
    };
    let Some(rx) = connection.rx.try_lock() else {
        return 0;
    };
    match rx.close_code() {
        Some(code) => c_int::from(code),
        None if rx.has_close() => 1005,
        None if rx.is_over() => 1006,
        None => 0,
    }
}

/// Closes with a code, 0 for that of the client or 1000, and a reason of up to 123 bytes of UTF-8,
/// or null; the descriptor is closed in any case but a bad code or reason.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn websocket_close(fd: c_int, code: c_int, reason: *const c_char) -> c_int {
    let result = known(fd).and_then(|connection| {
        if code == 0 {
            return Ok(());
        }
        let code = u16::try_from(code)
            .ok()
            .filter(|code| close::is_sendable(*code));
        let code = code.ok_or(Errno(EINVAL))?;
        let reason = if reason.is_null() {
            &[]
        } else {
            // SAFETY: the caller's string, which ends with NUL.
            unsafe { core::ffi::CStr::from_ptr(reason) }.to_bytes()
        };
        if reason.len() > MAX_CONTROL_PAYLOAD - 2 || core::str::from_utf8(reason).is_err() {
            return Err(Errno(EINVAL));
        }
        control::close_with(&connection, fd, code, reason);
        Ok(())
    });
    match result {
        // Its client has not come: there is nobody to say it to.
        Err(Errno(ENOTCONN)) if CONNECTIONS.has(fd) => {}
        Err(error) => return to_c(Err(error)) as c_int,
        Ok(()) => {}
    }
    // SAFETY: the server gives its descriptor up.
    unsafe { descriptors::close(fd) }
}
