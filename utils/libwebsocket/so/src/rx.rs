//! From the client's socket to the server's buffer.

use core::ffi::c_int;
use core::sync::atomic::Ordering;

use libc::{EAGAIN, MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL};
use libwebsocket::Opcode;
use libwebsocket::frame::FIN;
use libwebsocket::receive::{Event, Receiver};

use crate::connection::Connection;
use crate::sys::{self, Errno, Guard, KeepErrno, from_c};
use crate::tx;

/// The caller's buffer, which may never have been written to.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    pub(crate) start: *mut u8,
    pub(crate) len: usize,
}

impl Buffer {
    /// What is left of it after the first `n` bytes.
    fn after(self, n: usize) -> Buffer {
        Buffer {
            start: self.start.wrapping_add(n),
            len: self.len - n,
        }
    }

    /// One recv(2) of at most `limit` bytes; gives those that came.
    fn fill(self, fd: c_int, limit: u64, flags: c_int) -> Result<&'static mut [u8], Errno> {
        let len = usize::try_from(limit).map_or(self.len, |limit| limit.min(self.len));
        // SAFETY: the server gave us this memory to write `len` bytes to, for
        // as long as its call lasts, and no longer is the slice used.
        unsafe {
            let n = from_c(sys::recv(fd, self.start.cast(), len, flags))?;
            Ok(core::slice::from_raw_parts_mut(self.start, n))
        }
    }
}

fn recv(fd: c_int, buffer: &mut [u8], flags: c_int) -> Result<usize, Errno> {
    // SAFETY: the buffer is a Rust slice.
    from_c(unsafe { sys::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

/// The receiving side, unless another thread blocks in it and we must not.
fn lock(connection: &Connection, fd: c_int, flags: c_int) -> Result<Guard<'_, Receiver>, Errno> {
    if let Some(guard) = connection.rx.try_lock() {
        return Ok(guard);
    }
    if flags & MSG_DONTWAIT != 0 || sys::file_flags(fd) & libc::O_NONBLOCK != 0 {
        return Err(Errno(EAGAIN));
    }
    Ok(connection.rx.lock())
}

/// read(2) and its family: payload of the current frame, 0 at the end.
pub(crate) fn read(
    connection: &Connection,
    fd: c_int,
    buffer: Buffer,
    mut flags: c_int,
) -> Result<usize, Errno> {
    connection.touch();
    if buffer.len == 0 {
        return Ok(0);
    }
    let mut rx = lock(connection, fd, flags)?;
    let greedy = connection.greedy.load(Ordering::Relaxed);
    let mut total = 0;
    loop {
        let step = read_once(connection, &mut rx, fd, buffer.after(total), flags);
        match step {
            Ok(0) => return Ok(total),
            Ok(n) => total += n,
            Err(_) if total > 0 => return Ok(total),
            Err(error) => return Err(error),
        }
        let all = flags & MSG_WAITALL != 0;
        if total == buffer.len || flags & MSG_PEEK != 0 || !(all || greedy) {
            return Ok(total);
        }
        if !all {
            flags |= MSG_DONTWAIT;
        }
    }
}

fn read_once(
    connection: &Connection,
    rx: &mut Receiver,
    fd: c_int,
    buffer: Buffer,
    flags: c_int,
) -> Result<usize, Errno> {
    let flags = flags & (MSG_DONTWAIT | MSG_PEEK);
    loop {
        match next_event(connection, rx, fd, flags & MSG_DONTWAIT)? {
            Event::Payload => {
                let bytes = buffer.fill(fd, rx.remaining(), flags)?;
                if flags & MSG_PEEK != 0 {
                    rx.peek_payload(bytes);
                    return Ok(bytes.len());
                }
                match take(connection, rx, fd, bytes) {
                    0 => {}
                    n => return Ok(n),
                }
            }
            Event::MessageEnd => {
                rx.take_end();
            }
            _ => return Ok(0),
        }
    }
}

/// Unmasks and checks what was read; 0 means that the connection is over.
fn take(connection: &Connection, rx: &mut Receiver, fd: c_int, bytes: &mut [u8]) -> usize {
    if bytes.is_empty() {
        rx.stop();
        return 0;
    }
    connection
        .text
        .store(rx.opcode() == Opcode::Text, Ordering::Relaxed);
    match rx.take_payload(bytes) {
        Ok(()) => bytes.len(),
        Err(violation) => {
            tx::fail(connection, fd, violation.close_code());
            0
        }
    }
}

/// The next event that is not a ping or a pong; those are dealt with here,
/// and so is what the end of the client's side asks for.
fn next_event(
    connection: &Connection,
    rx: &mut Receiver,
    fd: c_int,
    flags: c_int,
) -> Result<Event, Errno> {
    loop {
        match rx.advance(|space| recv(fd, space, flags))? {
            Event::Ping => tx::queue_pong(connection, fd, rx.control()),
            Event::Pong => {
                connection.pongs.fetch_add(1, Ordering::Relaxed);
            }
            Event::Close => {
                tx::end_input(connection, fd);
                return Ok(Event::Close);
            }
            Event::Violation(violation) => {
                tx::fail(connection, fd, violation.close_code());
                return Ok(Event::Violation(violation));
            }
            event => return Ok(event),
        }
    }
}

/// websocket_recv: payload with the opcode of its message, and FIN in the
/// same byte where the message ends with these bytes.
pub(crate) fn read_message(
    connection: &Connection,
    fd: c_int,
    buffer: Buffer,
) -> Result<(usize, u8), Errno> {
    connection.touch();
    connection.messages.store(true, Ordering::Relaxed);
    let mut rx = lock(connection, fd, 0)?;
    loop {
        match next_event(connection, &mut rx, fd, 0)? {
            Event::Payload => {
                let bytes = buffer.fill(fd, rx.remaining(), 0)?;
                let opcode = rx.opcode() as u8;
                match take(connection, &mut rx, fd, bytes) {
                    0 => {}
                    n if rx.take_end() => return Ok((n, opcode | FIN)),
                    n => return Ok((n, opcode)),
                }
            }
            Event::MessageEnd => {
                rx.take_end();
                return Ok((0, rx.opcode() as u8 | FIN));
            }
            Event::Violation(_) => return Err(Errno(libc::EPROTO)),
            _ => return Ok((0, Opcode::Close as u8 | FIN)),
        }
    }
}

/// Would a read return at once? Deals with control frames on the way.
///
/// Called when the kernel says that there are bytes; keeps errno.
pub(crate) fn is_readable(connection: &Connection, fd: c_int) -> bool {
    let _errno = KeepErrno::new();
    let Some(mut rx) = connection.rx.try_lock() else {
        return true;
    };
    loop {
        match next_event(connection, &mut rx, fd, MSG_DONTWAIT) {
            Ok(Event::Payload) => {
                let result = recv(fd, &mut [0], MSG_DONTWAIT | MSG_PEEK);
                return result != Err(Errno(EAGAIN));
            }
            Ok(Event::MessageEnd) if !connection.messages.load(Ordering::Relaxed) => {
                rx.take_end();
            }
            Err(Errno(EAGAIN)) => return false,
            _ => return true,
        }
    }
}

/// FIONREAD: payload that a read would give at once.
pub(crate) fn available(connection: &Connection, fd: c_int, queued: c_int) -> c_int {
    if !is_readable(connection, fd) {
        return 0;
    }
    let Some(rx) = connection.rx.try_lock() else {
        return 0;
    };
    if rx.is_over() {
        return 0;
    }
    c_int::try_from(rx.remaining()).map_or(queued, |left| left.min(queued))
}
